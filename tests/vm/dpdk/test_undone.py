# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever ends the services: the kernel has its devices and its memory again."""

import pytest

from hybrid_gateway.lab import EAST
from tests.lib.fibre import WEST6
from tests.vm.dpdk.box import SECONDS, Fibre

pytestmark = pytest.mark.vm


def everything_is_back(fibre: Fibre) -> None:
    fibre.returned()
    assert fibre.hugepages() == 0
    assert not fibre.guest.run("sh", "-c", "ls /run/systemd/network/*gw*").stdout
    fibre.reach(EAST.ip)
    fibre.reach(WEST6)


@pytest.mark.parametrize("together", [False, True], ids=["agent-first", "together"])
def test_without_an_agent_the_unit_gives_back(fibre: Fibre, together: bool) -> None:
    """As when the package is removed, which stops both at once."""
    stop = ("systemctl", "stop", "gw-agent")
    try:
        if together:
            fibre.guest.check(*stop, "gw-worker", seconds=SECONDS)
        else:
            fibre.guest.check(*stop)
            fibre.guest.check("systemctl", "stop", "gw-worker", seconds=SECONDS)
        everything_is_back(fibre)
    finally:
        fibre.start_worker()
        fibre.start()


def test_detach_gives_everything_back(fibre: Fibre) -> None:
    fibre.guest.check("gwctl", "detach", seconds=SECONDS)
    everything_is_back(fibre)
