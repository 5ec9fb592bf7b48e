# SPDX-License-Identifier: GPL-2.0-or-later
"""A BGP speaker that sends what it is told to, be it nonsense. A program, and what starts it.

Usage: speaker.py ASN ROUTER-ID LOCAL PEER. It calls until the session stands, prints
`established`, keeps it alive, writes whatever comes in by its standard input as length (four
bytes) and octets to the neighbour, and prints `ended CODE SUBCODE` when that ends the session
(zeros: without a NOTIFICATION). Then it calls again.
"""

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]

from tests.interop import routes  # noqa: E402 - the program has no other way to its own package

HOLD = 30
KEEPALIVE_SECONDS = 0.9
"""The hold times of the lab are three seconds."""
RETRY_SECONDS = 0.3
CEASE_SECONDS = 2.0


class Session:
    """One connection after another."""

    def __init__(self, asn: int, router_id: str, local: str, peer: str) -> None:
        self._opening = routes.opening(asn, router_id, HOLD)
        self._local = local
        self._peer = peer
        self._orders = b""

    def run(self) -> None:
        while True:
            # The other side refuses for some seconds whom it has just let go.
            with contextlib.suppress(OSError):
                self._once()
            time.sleep(RETRY_SECONDS)

    def _once(self) -> None:
        family = socket.AF_INET6 if ":" in self._peer else socket.AF_INET
        with socket.socket(family) as connection:
            connection.bind((self._local, 0))
            connection.connect((self._peer, 179))
            connection.sendall(self._opening + routes.message(routes.KEEPALIVE))
            if not self._established(connection):
                return
            print("established", flush=True)
            code, subcode = 0, 0
            with contextlib.suppress(OSError):
                code, subcode = self._serve(connection)
            print(f"ended {code} {subcode}", flush=True)

    def _established(self, connection: socket.socket) -> bool:
        wanted = (routes.OPEN, routes.KEEPALIVE)
        return all(_message(connection)[0] == kind for kind in wanted)

    def _serve(self, connection: socket.socket) -> tuple[int, int]:
        """Until it ends: what the NOTIFICATION said."""
        due = time.monotonic()
        while True:
            if (left := due - time.monotonic()) <= 0:
                connection.sendall(routes.message(routes.KEEPALIVE))
                due = time.monotonic() + KEEPALIVE_SECONDS
                continue
            ready, _, _ = select.select([connection, sys.stdin], [], [], left)
            if connection in ready:
                kind, body = _message(connection)
                if kind == routes.NOTIFICATION:
                    return body[0], body[1]
            elif sys.stdin in ready:
                connection.sendall(_order())


def _message(connection: socket.socket) -> tuple[int, bytes]:
    head = _exactly(connection, 19)
    length, kind = struct.unpack("!HB", head[16:])
    return kind, _exactly(connection, length - 19)


def _exactly(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionError
        got += part
    return got


def _order() -> bytes:
    """One of those on the standard input; its end is that of the program."""
    return _ordered(struct.unpack("!I", _ordered(4))[0])


def _ordered(size: int) -> bytes:
    """A pipe breaks what is written into it anywhere, when it is full."""
    got = b""
    while len(got) < size:
        part = os.read(sys.stdin.fileno(), size - len(got))
        if not part:
            sys.exit()
        got += part
    return got


class Speaker:
    """The program, running."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def send(self, messages: Iterable[bytes]) -> None:
        """One after the other, as they are."""
        assert self._process.stdin
        for one in messages:
            self._process.stdin.write(struct.pack("!I", len(one)) + one)
        self._process.stdin.flush()

    def cease(self) -> None:
        """As who ends in good order; fine when the session has ended already."""
        with contextlib.suppress(AssertionError):
            self.send([routes.CEASE])
            self.until("ended", CEASE_SECONDS)

    def until(self, word: str, seconds: float = 30.0) -> str:
        """The next line that begins so; AssertionError if none comes."""
        assert self._process.stdout
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._process.stdout], [], [], left)[0]:
                break
            line = self._process.stdout.readline().decode().strip()
            if line.startswith(word):
                return line
            assert line or self._process.poll() is None, "the speaker has ended"
        raise AssertionError(f"the speaker did not say {word!r} in {seconds} s")


@contextmanager
def speaking(
    prefix: list[str], asn: int, router_id: str, local: str, peer: str
) -> Iterator[Speaker]:
    """A session that stands, from where the command line `prefix` leads to."""
    argv = [*prefix, sys.executable, __file__, str(asn), router_id, local, peer]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=ROOT
    )
    try:
        speaker = Speaker(process)
        speaker.until("established")
        yield speaker
        speaker.cease()
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


if __name__ == "__main__":
    Session(int(sys.argv[1]), *sys.argv[2:5]).run()
