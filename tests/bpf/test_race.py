# SPDX-License-Identifier: GPL-2.0-or-later
"""Two cores at the same tables: one opens sessions, the other ends or brings back what it can.

Nothing is left of any of them: see the check for leaks after every test.
"""

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.lib.packets import LAN, LAN2, SERVER, from_lan, udp

from .fixtures import CAPACITY
from .plane import Plane
from .saved import copy, exported, imported

ROUNDS = 200
FLOWS = CAPACITY - 1
ACTIONS = ("REDIRECT", "DROP", "TX")
"""Sent, refused, or refused with an ICMP error."""


def _again_until(step: Callable[[], object], closed: int) -> None:
    """Until the other end of the pipe is closed."""
    os.set_blocking(closed, False)
    while True:
        step()
        try:
            if not os.read(closed, 1):
                return
        except BlockingIOError:
            continue


def _child(step: Callable[[], object], reading: int, writing: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.close(writing)
        _again_until(step, reading)
        status = 0
    except BaseException:  # noqa: BLE001 - a child of fork must not go on as a second pytest
        traceback.print_exc()
    os._exit(status)


@contextmanager
def _meanwhile(step: Callable[[], object]) -> Iterator[None]:
    """Another process does this over and over."""
    reading, writing = os.pipe()
    child = _child(step, reading, writing)
    try:
        yield
    finally:
        os.close(writing)
        _, status = os.waitpid(child, 0)
        os.close(reading)
    assert os.waitstatus_to_exitcode(status) == 0


def _all_can_be_opened(plane: Plane, frames: list[bytes]) -> None:
    plane.dataplane.clear_sessions()
    for frame in frames:
        assert plane.run(frame, "lan0").verdict == "FORWARD"


def test_sessions_that_end_while_they_open(plane: Plane) -> None:
    frames = [bytes(from_lan(udp(LAN.ip, SERVER, 4000, 1 + i))) for i in range(FLOWS)]

    with _meanwhile(plane.dataplane.clear_sessions):
        for _ in range(ROUNDS):
            for frame in frames:
                assert plane.run_uncounted(frame, "lan0")[0] in ACTIONS

    _all_can_be_opened(plane, frames)


def test_sessions_that_come_back_while_they_open(plane: Plane) -> None:
    """And end: of the same endpoints and ports, and of others who want these ports."""
    plane.configure(ports=(20000, 20063))
    frames = [bytes(from_lan(udp(LAN.ip, SERVER, 4000 + i % 64, 1 + i))) for i in range(200)]
    for frame in frames:
        plane.run_uncounted(frame, "lan0")
    mine = exported(plane)
    other = int.from_bytes(bytes(map(int, LAN2.ip.split("."))), "little")
    saved = [*mine, *(copy(record, arrives__saddr=other) for record in mine)]

    with _meanwhile(lambda: imported(plane, saved)):
        for _ in range(ROUNDS // 2):
            plane.dataplane.clear_sessions()
            for frame in frames:
                assert plane.run_uncounted(frame, "lan0")[0] in ACTIONS

    _all_can_be_opened(plane, frames)
