# SPDX-License-Identifier: GPL-2.0-or-later
"""A steady exchange of numbered datagrams with an echo server. A program of its own.

Usage: stream.py ADDRESS PORT RATE. Sends RATE datagrams a second at most until its standard input
ends, then waits for the last answers, and prints as JSON how many it sent, which of them nobody
answered, and as whom the server saw it. Prints `begun` once the first one was answered.

It is late where the machine is busy, and then does not hurry: what a burst loses in the receive
buffer of a server that is not run meanwhile, no gateway has lost.
"""

import json
import os
import select
import socket
import sys
import time
from itertools import islice

WINDOW = 16
"""Datagrams that may wait for answers: a default receive buffer holds more than twice as many,
though each that comes from an XDP program takes a page of it."""
PATIENCE = 1.0
"""Seconds until one that is not answered makes room for another: where nothing arrives any more,
the stream has to be there when that ends."""
LAST_SECONDS = 2.0
"""Of silence, after which the missing are lost."""


class Stream:
    """One socket; a datagram is its number, and the answer ends with it."""

    def __init__(self, address: str, port: int) -> None:
        self.sent = 0
        self.missing: dict[int, float] = {}
        """When each was sent, in that order."""
        self.seen: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.connect((address, port))

    def close(self) -> None:
        self._socket.close()

    def send(self) -> None:
        self._socket.send(str(self.sent).encode())
        self.missing[self.sent] = time.monotonic()
        self.sent += 1

    def receive(self) -> None:
        """One answer, which has to be there."""
        who, _, number = self._socket.recv(200).decode().partition(" ")
        self.seen.add(who)
        self.missing.pop(int(number), None)

    def room_at(self) -> float:
        """When the next one may be sent if no answer comes."""
        waiting = reversed(self.missing.values())
        return next(islice(waiting, WINDOW - 1, None), -PATIENCE) + PATIENCE

    def may_go_on(self, due: float, stdin: int) -> bool:
        """Takes answers until the next one is due and has room; False: nobody wants more."""
        own = self._socket.fileno()
        while True:
            patience = max(due, self.room_at()) - time.monotonic()
            ready = select.select([own, stdin], [], [], max(0.0, patience))[0]
            if own in ready:
                self.receive()
            if stdin in ready and not os.read(stdin, 1):
                return False
            if patience <= 0:
                return True

    def last_answers(self) -> None:
        """Until all have come, or none does any more."""
        while self.missing and select.select([self._socket], [], [], LAST_SECONDS)[0]:
            self.receive()


def main() -> None:
    address, port, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    stream, begun = Stream(address, port), False
    stream.send()
    while stream.may_go_on(time.monotonic() + 1 / rate, sys.stdin.fileno()):
        stream.send()
        if stream.seen and not begun:
            begun = True
            print("begun", flush=True)
    stream.last_answers()
    answer = {"sent": stream.sent, "lost": sorted(stream.missing), "seen": sorted(stream.seen)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
