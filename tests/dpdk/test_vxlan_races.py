# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes while frames are on their way: nobody is served twice, or halfway."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hybrid_gateway.lab import namespaces
from tests.dpdk.stretched import Stretched
from tests.dpdk.vxlan import HERE, NOBODY, OTHER, THERE, between
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

UNKNOWN = "02:00:00:00:09:99"
TURNS = 300
"""Of what changes, there and back; each may hit a burst at the wrong moment."""
AT_ONCE = 64
"""Frames between two looks whether all turns are done."""


@pytest.fixture(scope="module")
def sides() -> Iterator[Stretched]:
    with Stretched.running("vz") as running:
        running.as_made()
        yield running


@contextmanager
def turning(sides: Stretched, program: str, *lines: str) -> Iterator["subprocess.Popen[str]"]:
    """The program's batch of these lines, TURNS times over, while the block runs."""
    argv = namespaces.inside(sides.bench.gw, [program, "-force", "-batch", "-"])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin
            process.stdin.write("".join(f"{line}\n" for line in lines) * TURNS)
            process.stdin.close()
            yield process
        finally:
            process.kill()
    sides.bench.settle()


def test_a_flood_list_that_is_the_kernels_now_and_then(sides: Stretched) -> None:
    """All VTEPs get a copy from here, or all of them from the kernel."""
    segment = sides.segments[4]
    member = f"{NOBODY} dev {segment.device} dst {OTHER[4]} self"
    # By a device that is not the segment's own: for the kernel to send.
    lines = (f"fdb append {member} permanent via core", f"fdb del {member} via core")
    frame = bytes(between(HERE, UNKNOWN))
    counting = sides.bench.counting("p4")
    with turning(sides, "bridge", *lines) as process:
        while process.poll() is None:
            sides.access[4].far.send([frame] * AT_ONCE)

    def is_drained() -> bool:
        """A frame that comes behind all others has been forwarded."""
        sides.access[4].far.send([between(HERE, THERE)])
        return "FORWARD_BRIDGE" in counting.now()

    eventually(is_drained, "the storm is over")
    moved = counting.now()
    assert {"VXLAN_FLOOD", "PUNT_BRIDGE_MISS"} <= moved.keys(), "both have flooded"
    assert moved["VXLAN_COPY"] == moved["VXLAN_FLOOD"]
