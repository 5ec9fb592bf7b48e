# SPDX-License-Identifier: GPL-2.0-or-later
"""The way to a VTEP: the kernel's FIB has it, and what fits there is cut or left to the kernel."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from _gw_native import lib
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import DEV_PORT, DEV_UNDERLAY, VXLAN_ANY_PATH, VXLAN_ON
from tests.lib.packets import ROUTER, WAN

from . import segment
from .plane import Handover, Outcome
from .segment import FAMILIES, FAR, HERE, NARROW, NARROW_MTU, SILENT, WIDE
from .stretched import SETTINGS, TUNNELS, Stretched, same_frame
from .test_memo import _tick
from .test_vxlan_encapsulate import as_it_is
from .vxlan_frames import SIZES, between, leaving, outer_of

BASE = lib.GW_TUNNEL_CHECKSUM | lib.GW_TUNNEL_FRAGMENT
ETHERNET, INNER_HEADERS = 14, 42
families = pytest.mark.parametrize("family", FAMILIES)


def _long(family: int, length: int, **fields: Any) -> Packet:
    """An inner frame of so many bytes."""
    return between(HERE, FAR[family], payload=bytes(length - INNER_HEADERS), **fields)


def _send(stretched: Stretched, frame: Packet) -> Outcome:
    return stretched.run(frame, "seg0", to="core0")


# ---- which way -------------------------------------------------------------------------


@families
def test_a_vtep_without_a_known_mac_address(stretched: Stretched, family: int) -> None:
    stretched.tunnel(family, remote=SILENT[family])

    assert _send(stretched, between(HERE, FAR[family])).counted == {"PUNT_UNDERLAY": 1}


@pytest.mark.parametrize(
    "remote", ["10.66.0.1", "10.67.0.1", "10.68.0.1", "10.99.0.5", "192.168.150.11", "192.0.2.1"]
)
def test_a_vtep_that_no_underlay_port_leads_to(stretched: Stretched, remote: str) -> None:
    """Unreachable, blackhole, prohibited, behind a device without a role or a bridge, ourselves."""
    stretched.tunnel(4, remote=remote)

    assert _send(stretched, between(HERE, FAR[4])).counted == {"PUNT_UNDERLAY": 1}


def test_an_ipv6_vtep_without_a_route(stretched: Stretched) -> None:
    for remote in ("2001:db8:9::1", "::1", "2001:db8:1::1", "ff02::1"):
        stretched.tunnel(6, remote=remote)
        assert _send(stretched, between(HERE, FAR[6])).counted == {"PUNT_UNDERLAY": 1}


@families
def test_a_port_that_is_no_underlay(stretched: Stretched, family: int) -> None:
    for flags in (DEV_PORT, DEV_UNDERLAY):
        stretched.devices(core0=flags)
        outcome = stretched.run(between(HERE, FAR[family]), "seg0")
        assert outcome.counted == {"PUNT_UNDERLAY": 1}


def test_by_a_router_at_nats_outside_port(stretched: Stretched) -> None:
    """The underlay may be the port that NAT has outside."""
    stretched.underlay_at_wan()
    stretched.tunnel(4, local=WAN.ip, remote="198.51.100.1")
    inner = between(HERE, FAR[4])
    outcome = stretched.run(inner, "seg0", to="wan0")

    ends: dict[str, Any] = {
        "source": WAN.ip,
        "target": "198.51.100.1",
        "macs": (WAN.mac, ROUTER.mac),
    }
    same_frame(outcome, bytes(leaving(inner, 4, **ends, **as_it_is(outcome.frame))))
    assert outcome.counted == {"BRIDGE": 1, "VXLAN_ENCAP": 1}


# ---- what fits -------------------------------------------------------------------------


@families
def test_too_long_for_the_device(stretched: Stretched, family: int) -> None:
    stretched.tunnel(family, mtu=1400)

    fits, too_long = _long(family, 1400 + ETHERNET), _long(family, 1401 + ETHERNET)
    assert _send(stretched, fits).counted == {"BRIDGE": 1, "VXLAN_ENCAP": 1}
    assert _send(stretched, too_long).counted == {"PUNT_TOO_BIG": 1}


@families
def test_to_be_cut(stretched: Stretched, family: int) -> None:
    """Whole, with its checksum, and with the MTU that it has to be cut for."""
    stretched.tunnel(family, remote=NARROW[family])
    most = NARROW_MTU + ETHERNET - SIZES[family]
    fits, too_long = _long(family, most), _long(family, most + 1)
    assert _send(stretched, fits).counted == {"BRIDGE": 1, "VXLAN_ENCAP": 1}
    outcome = _send(stretched, too_long)

    assert outcome.counted == {"PUNT_TUNNEL_CUT": 1, "VXLAN_ENCAP": 1}
    core = stretched.core.ifindex
    assert outcome.handover == Handover(core, NARROW_MTU, lib.GW_HANDOVER_TUNNELLED)
    expected = leaving(too_long, family, target=NARROW[family], **as_it_is(outcome.frame))
    same_frame(outcome, bytes(expected))
    # What is cut needs an identification.
    assert family == 6 or outer_of(outcome.frame)[IP].id


@families
def test_not_to_be_cut(stretched: Stretched, family: int) -> None:
    stretched.tunnel(family, remote=NARROW[family], flags=lib.GW_TUNNEL_CHECKSUM)

    assert _send(stretched, _long(family, 1514)).counted == {"PUNT_TOO_BIG": 1}


@pytest.mark.parametrize("df", [False, True])
@pytest.mark.parametrize("inherit", [False, True])
def test_df_forbids_it(stretched: Stretched, df: bool, inherit: bool) -> None:
    flag = lib.GW_TUNNEL_DF_INHERIT if inherit else lib.GW_TUNNEL_DF
    stretched.tunnel(4, remote=NARROW[4], flags=BASE | flag)
    outcome = _send(stretched, _long(4, 1514, df=df))

    assert outcome.verdict == ("PUNT_TUNNEL_CUT" if inherit and not df else "PUNT_TOO_BIG")


def test_ipv6_inside_says_df(stretched: Stretched) -> None:
    """As the kernel's VXLAN device with `df inherit` has it."""
    stretched.tunnel(4, remote=NARROW[4], flags=BASE | lib.GW_TUNNEL_DF_INHERIT)
    for length, verdict in ((600, "BRIDGE"), (1460, "PUNT_TOO_BIG")):
        packet = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / Raw(bytes(length))
        outcome = _send(stretched, Ether(src=HERE.mac, dst=FAR[4].mac) / packet)
        assert outcome.verdict == verdict
        assert length > 600 or outer_of(outcome.frame)[IP].flags == "DF"


def test_df_is_ipv4s(stretched: Stretched) -> None:
    """As in the kernel, which knows no DF over IPv6."""
    for flag in (lib.GW_TUNNEL_DF, lib.GW_TUNNEL_DF_INHERIT):
        stretched.tunnel(6, remote=NARROW[6], flags=BASE | flag)
        assert _send(stretched, _long(6, 1514)).verdict == "PUNT_TUNNEL_CUT"


@families
def test_a_route_that_promises_more_than_its_device(stretched: Stretched, family: int) -> None:
    """The redirect would be refused silently."""
    stretched.tunnel(family, remote=WIDE[family])
    most = segment.CORE_MTU + ETHERNET - SIZES[family]

    assert _send(stretched, _long(family, most)).verdict == "BRIDGE"
    outcome = _send(stretched, _long(family, most + 1))
    assert outcome.verdict == "PUNT_TUNNEL_CUT"
    assert outcome.handover is not None
    assert outcome.handover.mtu == segment.CORE_MTU


# ---- what is remembered for a moment ---------------------------------------------------


class TestMemory:
    """A way that was asked for holds for its tunnel alone, and until the coarse clock ticks."""

    @pytest.fixture(autouse=True)
    def _one_core(self) -> Iterator[None]:
        """The memory is each core's own."""
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        yield
        os.sched_setaffinity(0, cores)

    def _after(self, stretched: Stretched, change: Any, *, same_tick: bool = True) -> str:
        """What becomes of a second frame when the core port is taken away between the two."""
        frame = bytes(between(HERE, FAR[4]))
        for _ in range(1000):
            stretched.tunnel(4)
            stretched.devices()
            stretched.forget_ways()
            before = _tick()
            assert stretched.plane.run_uncounted(frame, "seg0")[0] == "REDIRECT"
            change()
            sent = _tick()
            while not same_tick and _tick() == sent:
                pass
            action, _ = stretched.plane.run_uncounted(frame, "seg0")
            if not same_tick or _tick() == before:
                return action
        raise AssertionError("the clock ticks faster than this machine runs")

    def _no_way(self, stretched: Stretched) -> None:
        """The least that changes what the way is: one write, for a tick is short."""
        table = stretched.plane.dataplane.table("gw_devices")
        slot = stretched.core.ifindex % lib.GW_DEVICES_MAX
        device = table.get(slot)
        assert device is not None
        device.flags = DEV_PORT
        table.set(slot, device)

    def test_it_holds(self, stretched: Stretched) -> None:
        assert self._after(stretched, lambda: self._no_way(stretched)) == "REDIRECT"

    def test_until_the_clock_ticks(self, stretched: Stretched) -> None:
        action = self._after(stretched, lambda: self._no_way(stretched), same_tick=False)
        assert action == "PASS"

    def test_not_at_all(self, stretched: Stretched) -> None:
        """Where the path may hang on the ports of the packet."""
        changes = SETTINGS | {"vxlan": VXLAN_ON | VXLAN_ANY_PATH}
        stretched.plane.configure(**changes)
        assert self._after(stretched, lambda: self._no_way(stretched)) == "PASS"

    def test_a_tunnel_that_was_written_anew(self, stretched: Stretched) -> None:
        def change() -> None:
            stretched.tunnel(4)
            self._no_way(stretched)

        assert self._after(stretched, change) == "PASS"

    def test_a_tunnel_that_is_gone(self, stretched: Stretched) -> None:
        assert self._after(stretched, lambda: stretched.no_tunnel(TUNNELS[4])) == "PASS"

    def test_a_tunnel_that_leads_elsewhere(self, stretched: Stretched) -> None:
        """Its index was freed and given to another VTEP within a tick."""
        inner = bytes(between(HERE, FAR[4]))
        for _ in range(1000):
            stretched.tunnel(4)
            stretched.forget_ways()
            before = _tick()
            stretched.plane.run_uncounted(inner, "seg0")
            stretched.tunnel(4, remote=SILENT[4])
            action, frame = stretched.plane.run_uncounted(inner, "seg0")
            if _tick() == before:
                assert (action, frame) == ("PASS", inner)
                return
        raise AssertionError("the clock ticks faster than this machine runs")

    def test_tunnels_that_share_a_place(self, stretched: Stretched) -> None:
        """256 ways are remembered: the tunnel after so many has the place of another."""
        other = TUNNELS[4] + 256
        stretched.tunnel(4, other, remote=NARROW[4], generation=1)
        stretched.tunnel(4, generation=1)
        inner = bytes(_long(4, 1514))
        for _ in range(1000):
            stretched.station(FAR[4], tunnel=1 + TUNNELS[4])
            before = _tick()
            actions = [stretched.plane.run_uncounted(inner, "seg0")[0]]
            stretched.station(FAR[4], tunnel=1 + other)
            actions.append(stretched.plane.run_uncounted(inner, "seg0")[0])
            if _tick() == before:
                break
        stretched.no_tunnel(other)
        # The route to the second one is narrow: its packets are cut.
        assert actions == ["REDIRECT", "PASS"]
