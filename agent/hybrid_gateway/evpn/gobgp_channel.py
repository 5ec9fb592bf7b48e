# SPDX-License-Identifier: GPL-2.0-or-later
"""gobgpd's gRPC socket: calls that block, with deadlines, and errors of ours."""

from collections.abc import Iterable, Iterator
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
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Channel:
    """One connection, for any number of threads.

    Everything raises EvpnAbsentError when nobody answers, or `close` was called, and EvpnError for
    what gobgpd answers with.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._stub = gobgp_pb2_grpc.GobgpApiStub(self._channel)

    def close(self) -> None:
        """Ends every call that is under way."""
        self._channel.close()

    def call(self, method: str, request: Any, seconds: float = CALL_SECONDS) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=seconds)
        except (grpc.RpcError, ValueError) as error:
            raise self.failed(error) from error

    def listed(
        self, method: str, request: Any, seconds: float | None = CALL_SECONDS
    ) -> Iterator[Any]:
        """The answers of a call that has many; without a deadline when `seconds` is None."""
        try:
            yield from getattr(self._stub, method)(request, timeout=seconds)
        except (grpc.RpcError, ValueError) as error:
            raise self.failed(error) from error

    def sent(self, method: str, requests: Iterable[Any], seconds: float = STREAM_SECONDS) -> None:
        try:
            getattr(self._stub, method)(iter(requests), timeout=seconds)
        except (grpc.RpcError, ValueError) as error:
            raise self.failed(error) from error

    def failed(self, error: Exception) -> EvpnError:
        """ValueError is what gRPC says of a channel that was closed."""
        if not isinstance(error, grpc.RpcError):
            return EvpnAbsentError(f"gobgpd at {self._target}: the connection was closed")
        code, details = error.code(), error.details() or "no details"
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return EvpnAbsentError(f"gobgpd at {self._target} does not answer: {details}")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return EvpnError(f"gobgpd at {self._target} takes too long", code="evpn.timeout")
        return EvpnError(f"gobgpd: {details}")
