# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the agent over its socket: JSON-RPC 2.0, one object a line.

Imports next to nothing, for every command of gwctl pays for it.
"""

import json
import os
import socket
import struct
from typing import Any, Self

from .errors import GwError, NotRunningError, PermissionDeniedError, RemoteError
from .instance import DEFAULT_INSTANCE, Instance

LINE_MAX = 1 << 20
TIMEOUT = 30.0
"""Seconds that one answer may take; applying a configuration is the longest."""


class Client:
    """One connection to the agent of an instance; a context manager."""

    def __init__(self, instance: Instance, timeout: float = TIMEOUT) -> None:
        self._instance = instance
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._next_id = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def call(self, method: str, **params: Any) -> Any:
        """The result of one method. Parameters that are None are left out.

        Raises NotRunningError, PermissionDeniedError, RemoteError (what the
        agent answered), or GwError when the connection breaks or is too slow.
        """
        request = {
            "jsonrpc": "2.0",
            "id": self._next_id,
            "method": method,
            "params": {name: value for name, value in params.items() if value is not None},
        }
        self._next_id += 1
        connection = self._connected()
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError as error:
            raise self._too_slow(method) from error
        except OSError:
            # It may have answered and hung up before it read anything: that answer tells why.
            pass
        return self._result(self._answer(connection, method, request["id"]))

    def peer_process(self) -> int:
        """A pidfd of the agent, readable once it has ended; the caller closes it."""
        credentials = self._connected().getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        pid, _, _ = struct.unpack("3i", credentials)
        return os.pidfd_open(pid)

    def _connected(self) -> socket.socket:
        if self._socket:
            return self._socket
        path = str(self._instance.socket)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
                raise NotRunningError(self._not_running(path)) from error
            if isinstance(error, PermissionError):
                message = f"{path}: only root and members of the groups gw-admin and gw may ask"
                raise PermissionDeniedError(message) from error
            raise GwError(f"{path}: {error.strerror or error}", code="agent.socket") from error
        self._socket = connection
        return connection

    def _not_running(self, path: str) -> str:
        name = self._instance.name
        if name == DEFAULT_INSTANCE:
            return f"the agent does not run (nobody listens on {path}); systemctl start gw-agent"
        return f"the agent of instance {name} does not run (nobody listens on {path})"

    def _too_slow(self, method: str) -> GwError:
        return GwError(
            f"the agent did not answer {method} within {self._timeout:g} s", code="agent.timeout"
        )

    def _answer(self, connection: socket.socket, method: str, number: object) -> dict[str, Any]:
        """The answer to our request, past notifications."""
        while True:
            try:
                answer = json.loads(self._line(connection))
            except TimeoutError as error:
                self.close()
                raise self._too_slow(method) from error
            except (OSError, ValueError) as error:
                self.close()
                message = f"the agent ended the connection during {method}"
                raise GwError(message, code="agent.connection") from error
            if not isinstance(answer, dict) or answer.get("id") not in (number, None):
                continue
            if "error" in answer or "result" in answer:
                return answer

    def _line(self, connection: socket.socket) -> bytes:
        while b"\n" not in self._buffer:
            received = connection.recv(65536)
            if not received or len(self._buffer) > LINE_MAX:
                raise ConnectionError
            self._buffer += received
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = bytearray(rest)
        return bytes(line)

    @staticmethod
    def _result(answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        data = error.get("data")
        if not isinstance(data, dict):
            data = {"code": "agent.protocol", "message": error.get("message"), "where": None}
        raise RemoteError(str(error.get("message")), data)
