# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare connection to the agent's socket: also for what a proper client would never send."""

import json
import socket
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 10.0


class RawConnection:
    """Bytes to and from the socket; a context manager."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.connect(str(path))
        self._read = b""

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The next line; empty when the agent has closed the connection."""
        while b"\n" not in self._read:
            try:
                part = self._socket.recv(1 << 16)
            except ConnectionResetError:
                part = b""
            if not part:
                return b""
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line


def call(path: Path, method: str, **params: Any) -> Any:
    """The result of one method; AssertionError with the agent's error."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with RawConnection(path) as connection:
        connection.send(json.dumps(request).encode() + b"\n")
        answer = json.loads(connection.line())
    assert "error" not in answer, answer
    return answer["result"]
