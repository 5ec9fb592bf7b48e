# SPDX-License-Identifier: GPL-2.0-or-later
"""A steady exchange of numbered datagrams with an echo server. A program of its own.

Usage: stream.py ADDRESS PORT RATE. Sends RATE datagrams a second until its standard input ends,
then waits for the last answers, and prints as JSON how many it sent, which of them nobody
answered, and as whom the server saw it. Prints `begun` once the first one was answered.
"""

import json
import os
import select
import socket
import sys
import time

LAST_SECONDS = 2.0


class Stream:
    """One socket; a datagram is its number, and the answer ends with it."""

    def __init__(self, address: str, port: int) -> None:
        self.sent = 0
        self.missing: set[int] = set()
        self.seen: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.connect((address, port))

    def send(self) -> None:
        self._socket.send(str(self.sent).encode())
        self.missing.add(self.sent)
        self.sent += 1

    def answers_until(self, deadline: float, *others: int) -> bool:
        """Whether one of the other descriptors became readable before."""
        own = self._socket.fileno()
        while (patience := deadline - time.monotonic()) > 0:
            ready = select.select([own, *others], [], [], patience)[0]
            if own in ready:
                who, _, number = self._socket.recv(200).decode().partition(" ")
                self.seen.add(who)
                self.missing.discard(int(number))
            if set(others) & set(ready):
                return True
        return False


def main() -> None:
    address, port, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    stream, due, stdin, begun = Stream(address, port), time.monotonic(), sys.stdin.fileno(), False
    while True:
        stream.send()
        due += 1 / rate
        if stream.answers_until(due, stdin) and not os.read(stdin, 1):
            break
        if stream.seen and not begun:
            begun = True
            print("begun", flush=True)
    deadline = time.monotonic() + LAST_SECONDS
    while stream.missing and time.monotonic() < deadline:
        stream.answers_until(min(deadline, time.monotonic() + 0.05))
    answer = {"sent": stream.sent, "lost": sorted(stream.missing), "seen": sorted(stream.seen)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
