# SPDX-License-Identifier: GPL-2.0-or-later
"""Two cores at the same tables: one opens sessions, the other ends all that it finds."""

import os
import traceback

from tests.lib.packets import LAN, SERVER, from_lan, udp

from .fixtures import CAPACITY
from .plane import Plane

ROUNDS = 200
FLOWS = CAPACITY - 1


def _clear_until(plane: Plane, closed: int) -> None:
    """Ends every session again and again until the other end of the pipe is closed."""
    os.set_blocking(closed, False)
    while True:
        plane.dataplane.clear_sessions()
        try:
            if not os.read(closed, 1):
                return
        except BlockingIOError:
            continue


def _clearing_child(plane: Plane, reading: int, writing: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.close(writing)
        _clear_until(plane, reading)
        status = 0
    except BaseException:  # noqa: BLE001 - a child of fork must not go on as a second pytest
        traceback.print_exc()
    os._exit(status)


def test_sessions_that_end_while_they_open(plane: Plane) -> None:
    """Nothing is left of any of them: see the check for leaks after every test."""
    frames = [bytes(from_lan(udp(LAN.ip, SERVER, 4000, 1 + i))) for i in range(FLOWS)]
    reading, writing = os.pipe()
    child = _clearing_child(plane, reading, writing)
    try:
        for _ in range(ROUNDS):
            for frame in frames:
                assert plane.run_uncounted(frame, "lan0")[0] in ("REDIRECT", "DROP")
    finally:
        os.close(writing)
        _, status = os.waitpid(child, 0)
        os.close(reading)
    assert os.waitstatus_to_exitcode(status) == 0
    plane.dataplane.clear_sessions()
    for frame in frames:
        assert plane.run(frame, "lan0").verdict == "FORWARD"
