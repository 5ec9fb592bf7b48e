# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN as the owner of a box has it: gw-bgp under systemd, with the gobgpd of each release."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hybrid_gateway.lab import LAN
from hybrid_gateway.lab.branch import HOME, VXLAN
from tests.lib.programs import pinged
from tests.vm import evpn, vxlan
from tests.vm.conftest import Appliance
from tests.vm.evpn import NOBODY, Joined
from tests.vm.gateway import GuestGateway
from tests.vm.machine import Guest

pytestmark = pytest.mark.vm

UNIT = "gw-bgp"
BIND_SERVICE = 1 << 10
"""Of capabilities: ports below 1024."""
SEEN = """
for field in Uid CapEff CapBnd NoNewPrivs Seccomp; do
    grep "^$field:" /proc/$1/status
done
echo "Memory: $(cat /sys/fs/cgroup/system.slice/gw-bgp.service/memory.max)"
"""


@pytest.fixture(scope="module")
def built(
    appliance: Appliance, gateway: GuestGateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Joined]:
    guest = appliance.guest
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("branch")
        built = stack.enter_context(evpn.joined(appliance.site, gateway, directory))
        guest.write("/etc/gw/gateway.yaml", evpn.CONFIGURATION.encode())
        gateway.start()
        stack.callback(guest.check, "systemctl", "disable", "--now", UNIT)
        guest.check("systemctl", "enable", "--now", UNIT)
        yield built


@pytest.fixture
def joined(built: Joined) -> Joined:
    """Whatever was before, both have said all, and both hosts are known."""
    built.until(built.synchronized, "the agent and the branch are synchronized")
    built.branch.meet("lan", HOME.ip)
    return built


def unit(guest: Guest, *properties: str) -> list[str]:
    """What systemd says of it, in the order of the names."""
    said = guest.check("systemctl", "show", UNIT, *(f"--property={name}" for name in properties))
    values = dict(line.split("=", 1) for line in said.splitlines())
    return [values[name] for name in properties]


def main_pid(guest: Guest) -> int:
    return int(unit(guest, "MainPID")[0])


def test_what_is_shown(joined: Joined) -> None:
    shown = joined.show()

    assert shown["summary"]["daemon"] == "gobgp"
    assert shown["summary"]["error"] is None
    (neighbor,) = shown["neighbors"]
    assert (neighbor["address"], neighbor["state"]) == (vxlan.VTEP6, "established")
    assert (shown["refused"], shown["kernel_failures"]) == ([], 0)
    (vni,) = shown["vnis"]
    assert (vni["device"], vni["local"], vni["up"], vni["vteps"]) == (VXLAN, vxlan.WAN6, True, 1)


def test_stations_of_both_ends(joined: Joined) -> None:
    """Told by BGP, for no device learns; and XDP forwards to them."""
    joined.until(lambda: joined.told().get(LAN.mac) == vxlan.WAN6, "the branch knows our host")
    stations = joined.stations()
    assert stations[LAN.mac] == ("local", None)
    assert stations[HOME.mac] == ("remote", vxlan.VTEP6)
    entered = joined.entered()
    assert (entered[HOME.mac], entered[NOBODY]) == (vxlan.VTEP6, vxlan.VTEP6)
    assert joined.told()[NOBODY] == vxlan.WAN6
    with joined.branch.counts(VXLAN_ENCAP=10, VXLAN_DECAP=10):
        assert pinged(joined.branch.lab, "lan", HOME.ip, count=10) == 10


def test_the_daemon_has_few_rights(joined: Joined) -> None:
    """One capability, no user of the system's, and memory that ends before the box's does."""
    guest = joined.gateway.guest
    said = guest.check("sh", "-ec", SEEN, "sh", str(main_pid(guest)))
    seen = dict(line.split(":", 1) for line in said.splitlines())

    assert 0 not in map(int, seen["Uid"].split())
    assert {int(seen[name], 16) for name in ("CapEff", "CapBnd")} == {BIND_SERVICE}
    assert (int(seen["NoNewPrivs"]), int(seen["Seccomp"])) == (1, 2)
    assert int(seen["Memory"]) == 1 << 30


def test_nobody_but_root_asks_it(joined: Joined) -> None:
    guest = joined.gateway.guest
    argv = ["gobgp", "--target", "unix:///run/gw/bgp.sock", "neighbor"]

    assert vxlan.VTEP6 in guest.check(*argv)
    assert guest.run("setpriv", "--reuid=65534", "--clear-groups", *argv).code != 0


def test_a_killed_daemon_is_told_all_again(joined: Joined) -> None:
    """It is started again, though its socket is still there; our frames go on meanwhile."""
    guest = joined.gateway.guest
    (restarts,) = unit(guest, "NRestarts")
    before = main_pid(guest)
    joined.until(lambda: LAN.mac in joined.told(), "the branch knows our host")

    with joined.branch.counts(VXLAN_ENCAP=3):
        guest.check("kill", "-KILL", str(before))
        # Nobody answers: whose session has ended that way forgets us at once.
        joined.deliver(LAN, HOME, count=3)

    joined.until(lambda: main_pid(guest) not in (0, before), "there is another one")
    joined.until(joined.synchronized, "it is told everything")
    joined.until(lambda: joined.told().get(LAN.mac) == vxlan.WAN6, "which the branch hears")
    joined.until(lambda: joined.entered().get(HOME.mac) == vxlan.VTEP6, "and tells")
    assert unit(guest, "NRestarts", "ActiveState") == [str(int(restarts) + 1), "active"]


def test_without_the_section_nothing_stays(joined: Joined) -> None:
    joined.branch.configure(vxlan.NAT_CONFIGURATION)
    try:
        assert joined.entered() == {}
        joined.until(lambda: not joined.told(), "the branch has forgotten us")
        assert unit(joined.gateway.guest, "ActiveState") == ["active"]
    finally:
        joined.branch.configure(evpn.CONFIGURATION)
