# SPDX-License-Identifier: GPL-2.0-or-later
"""The stream of datagrams waits for a server that is not run, and not for ever."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hybrid_gateway.lab.stream import PATIENCE, WINDOW, Stream


class Server:
    """Takes what comes, and answers when it is told to."""

    def __init__(self, stack: ExitStack) -> None:
        self._socket = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.bind(("127.0.0.1", 0))
        self.stream = Stream(*self._socket.getsockname())
        stack.callback(self.stream.close)

    def take(self) -> bytes:
        number, self._client = self._socket.recvfrom(200)
        return number

    def answer(self, number: bytes) -> None:
        self._socket.sendto(b"192.0.2.1:4000 " + number, self._client)


@pytest.fixture
def server() -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(stack)


@pytest.fixture
def stdin() -> Iterator[int]:
    """From which nothing comes."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


def test_a_window_waits_for_answers(server: Server, stdin: int) -> None:
    stream, begun = server.stream, time.monotonic()
    for _ in range(WINDOW - 1):
        stream.send()
    assert stream.room_at() <= begun
    stream.send()
    assert stream.room_at() >= begun + PATIENCE
    taken = [server.take() for _ in range(WINDOW)]
    for number in taken:
        server.answer(number)
    assert stream.may_go_on(begun, stdin)
    assert (stream.sent, stream.seen) == (WINDOW, {"192.0.2.1:4000"})
    assert len(stream.missing) < WINDOW
    stream.last_answers()
    assert not stream.missing


def test_what_nobody_answers_makes_room_in_the_end(server: Server, stdin: int) -> None:
    """Forgiven, not forgotten; and a late answer counts."""
    stream, begun = server.stream, time.monotonic()
    for _ in range(WINDOW):
        stream.send()
    assert stream.may_go_on(begun, stdin)
    assert time.monotonic() >= begun + PATIENCE
    stream.send()
    assert list(stream.missing) == list(range(WINDOW + 1))
    for _ in range(WINDOW):
        server.answer(server.take())
    stream.last_answers()
    assert list(stream.missing) == [WINDOW]


def test_that_nobody_wants_more_is_seen_at_once(server: Server) -> None:
    """However late the next one is, and whether or not there is room for it."""
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading):
        assert not server.stream.may_go_on(0.0, reading)
        for _ in range(WINDOW):
            server.stream.send()
        assert not server.stream.may_go_on(0.0, reading)
