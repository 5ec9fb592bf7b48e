# SPDX-License-Identifier: GPL-2.0-or-later
"""gobgpd's gRPC socket: calls that block, with deadlines, and errors of ours."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from gw_gobgp import gobgp_pb2_grpc

from ..errors import EvpnAbsentError, EvpnError

CALL_SECONDS = 10.0
STREAM_SECONDS = 120.0
"""gobgpd 3.10 walks its table for every MAC route that it is told."""

_OPTIONS = (
    # Its whole table is one message of a watch.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A proxy of the environment is for others.
    ("grpc.enable_http_proxy", 0),
    # A new channel tries at once, whatever became of those before it.
    ("grpc.use_local_subchannel_pool", 1),
)


class Channel:
    """One connection, for any number of threads.

    Everything raises EvpnAbsentError when nobody answers, or `close` was called, and EvpnError for
    what gobgpd answers with. Nobody answered: the next call connects anew, and at once.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._closed = False
        self._channel: grpc.Channel | None = None

    def close(self) -> None:
        """Ends every call that is under way, and fails all later ones."""
        with self._lock:
            self._closed = True
        self._drop()

    def _drop(self) -> None:
        """gRPC would leave a channel that could not connect alone for five seconds."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _method(self, name: str) -> Any:
        with self._lock:
            if self._closed:
                raise EvpnAbsentError(f"gobgpd at {self._target}: the connection was closed")
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._target, options=_OPTIONS)
                self._stub = gobgp_pb2_grpc.GobgpApiStub(self._channel)
            return getattr(self._stub, name)

    def call(self, method: str, request: Any, seconds: float = CALL_SECONDS) -> Any:
        with self._failing():
            return self._method(method)(request, timeout=seconds)

    def listed(
        self, method: str, request: Any, seconds: float | None = CALL_SECONDS
    ) -> Iterator[Any]:
        """The answers of a call that has many; without a deadline when `seconds` is None."""
        with self._failing():
            yield from self._method(method)(request, timeout=seconds)

    def sent(self, method: str, requests: Iterable[Any], seconds: float = STREAM_SECONDS) -> None:
        with self._failing():
            self._method(method)(iter(requests), timeout=seconds)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            # So says gRPC of a channel that was closed meanwhile.
            raise EvpnAbsentError(f"gobgpd at {self._target}: the connection was closed") from error
        except grpc.RpcError as error:
            raise self._failed(error) from error

    def _failed(self, error: Any) -> EvpnError:
        code, details = error.code(), error.details() or "no details"
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            self._drop()
            return EvpnAbsentError(f"gobgpd at {self._target} does not answer: {details}")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return EvpnError(f"gobgpd at {self._target} takes too long", code="evpn.timeout")
        return EvpnError(f"gobgpd: {details}")
