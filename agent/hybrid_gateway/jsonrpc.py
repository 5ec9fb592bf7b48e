# SPDX-License-Identifier: GPL-2.0-or-later
"""One end of a JSON-RPC 2.0 connection over a Unix socket, one object a line.

Imports next to nothing, for every command of gwctl pays for it.
"""

import json
import socket
import struct
from pathlib import Path
from typing import Any

LINE_MAX = 1 << 20


class Connection:
    """Made at the first call, and made anew after one that failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._next_id = 1

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None
            self._buffer.clear()

    def call(self, method: str, params: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The answer, which has "result" or "error", within so many seconds at a time.

        FileNotFoundError and ConnectionRefusedError: nobody listens. TimeoutError: too slow.
        ConnectionAbortedError: the other end hung up, or said what is no answer. OSError: the
        connection cannot be made for another reason, such as PermissionError.
        """
        number = self._next_id
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        connection = self.connected(timeout)
        connection.settimeout(timeout)
        try:
            try:
                connection.sendall(json.dumps(request).encode() + b"\n")
            except TimeoutError:
                raise
            except OSError:
                # It may have answered and hung up before it read anything: that answer tells why.
                pass
            return self._answer(connection, number)
        except TimeoutError:
            self.close()
            raise
        except (OSError, ValueError) as error:
            self.close()
            raise ConnectionAbortedError from error

    def notification(self) -> str:
        """Which one was sent, on a connection that is readable without a call under way.

        ConnectionAbortedError: none, and the other end hung up.
        """
        if self._socket is None:
            raise ConnectionAbortedError
        try:
            said = json.loads(self._line(self._socket))
        except (OSError, ValueError) as error:
            self.close()
            raise ConnectionAbortedError from error
        return str(said.get("method")) if isinstance(said, dict) else ""

    def peer(self, timeout: float) -> int:
        """The process that listens at the other end."""
        credentials = self.connected(timeout).getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        pid: int = struct.unpack("3i", credentials)[0]
        return pid

    def connected(self, timeout: float) -> socket.socket:
        """The socket; when it is readable without a call under way, see `notification`."""
        if self._socket:
            return self._socket
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        self._socket = connection
        return connection

    def _answer(self, connection: socket.socket, number: int) -> dict[str, Any]:
        """The answer to our request, past notifications."""
        while True:
            answer = json.loads(self._line(connection))
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
