# SPDX-License-Identifier: GPL-2.0-or-later
"""What the EVPN speaker is asked, by the configuration and the devices that are there."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, ip_network

import pytest

from hybrid_gateway.evpn.wanted import MAIN_TABLE, EvpnTable, EvpnWanted
from hybrid_gateway.model import (
    Address,
    Config,
    Evpn,
    EvpnDaemon,
    EvpnNeighbor,
    EvpnPrefixes,
    Link,
    Observed,
    Segment,
)
from hybrid_gateway.resolve import resolve
from hybrid_gateway.resolve_evpn import evpn_of, problems_of, warnings_of
from tests.unit import vxlan_site
from tests.unit.vxlan_site import BRIDGE, BRIDGE_MAC, CONFIG, LOCAL, OBSERVED, PEER

NEIGHBOR = EvpnNeighbor(PEER, 64512)
SECTION = Evpn(asn=64512, router_id=LOCAL, neighbors=(NEIGHBOR,))
PREFIX, OTHER = ip_network("192.168.110.0/24"), ip_network("2001:db8:110::/48")
RED, TABLE = 9, 1001
HOST = IPv4Address("192.168.110.1")


def with_section(evpn: Evpn) -> Config:
    return replace(CONFIG, evpn=evpn)


def with_prefixes(*entries: EvpnPrefixes) -> Config:
    return with_section(replace(SECTION, prefixes=entries))


def in_red(observed: Observed = OBSERVED) -> Observed:
    """The bridge is in a VRF."""
    red = Link(RED, "red", kind="vrf", table=TABLE)
    found = vxlan_site.with_link("br0", observed, master=RED)
    return replace(found, links=(*found.links, red))


def asked(config: Config, observed: Observed = OBSERVED) -> EvpnWanted:
    found = evpn_of(config, resolve(config, observed).segments, observed)
    assert found
    return found


def segments(observed: Observed = OBSERVED) -> tuple[Segment, ...]:
    return resolve(CONFIG, observed).segments


# ---- segments -------------------------------------------------------------------------


def test_a_segment_with_its_bridge() -> None:
    observed = replace(
        OBSERVED, addresses=(*OBSERVED.addresses, Address(BRIDGE, IPv4Interface(f"{HOST}/24")))
    )
    found = asked(with_section(SECTION), observed)

    assert found.section == SECTION
    (segment,) = found.segments
    assert segment.segment.vni == 100
    assert (segment.up, segment.mac) == (True, BRIDGE_MAC)
    assert segment.addresses == frozenset({HOST})
    assert found.addresses >= {HOST, segment.segment.local}
    assert found.tables == ()


def test_without_carrier_it_is_down() -> None:
    (segment,) = asked(with_section(SECTION), vxlan_site.with_link("br0", carrier=False)).segments

    assert not segment.up


@pytest.mark.parametrize(
    "observed",
    [
        vxlan_site.with_link("vni100", up=False),
        vxlan_site.made(local=IPv4Address("192.0.2.99")),
        vxlan_site.made(replace(OBSERVED, vteps=()), local=None),
    ],
    ids=["down", "the address is missing", "no address"],
)
def test_left_out(observed: Observed) -> None:
    assert asked(with_section(SECTION), observed).segments == ()


def test_nobody_is_asked() -> None:
    assert evpn_of(CONFIG, segments(), OBSERVED) is None
    assert evpn_of(with_section(Evpn(EvpnDaemon.FRR)), segments(), OBSERVED) is None


def test_a_vni_counts_once() -> None:
    (segment,) = segments()

    found = evpn_of(with_section(SECTION), (segment, replace(segment, name="x")), OBSERVED)

    assert found
    assert [one.segment.name for one in found.segments] == ["vni100"]


# ---- prefixes -------------------------------------------------------------------------


def test_the_main_table() -> None:
    config = with_prefixes(EvpnPrefixes(100, "", (PREFIX, OTHER)))
    observed = replace(OBSERVED, present=frozenset({(MAIN_TABLE, PREFIX), (TABLE, OTHER)}))

    assert asked(config, observed).tables == (EvpnTable(100, MAIN_TABLE, (PREFIX,)),)
    assert problems_of(config, segments(), observed) == []


def test_the_table_of_a_vrf() -> None:
    config = with_prefixes(EvpnPrefixes(100, "red", (PREFIX, OTHER)))
    observed = replace(in_red(), present=frozenset({(MAIN_TABLE, PREFIX), (TABLE, OTHER)}))

    assert asked(config, observed).tables == (EvpnTable(100, TABLE, (OTHER,)),)
    assert problems_of(config, segments(observed), observed) == []


@pytest.mark.parametrize(
    ("entry", "observed", "problem"),
    [
        (
            EvpnPrefixes(100, "blue", line=9),
            in_red(),
            "gateway.yaml:9: evpn.prefixes[0].vrf: there is no network device blue",
        ),
        (
            EvpnPrefixes(100, "wan0", line=9),
            OBSERVED,
            "gateway.yaml:9: evpn.prefixes[0].vrf: wan0 is no VRF device",
        ),
        (
            EvpnPrefixes(200, line=9),
            OBSERVED,
            "gateway.yaml:9: evpn.prefixes[0].vni: no device of vxlan has VNI 200, or it is down",
        ),
        (
            EvpnPrefixes(100, line=9),
            in_red(),
            "gateway.yaml:9: evpn.prefixes[0].vni: br0 is in VRF red, and has to be in none",
        ),
        (
            EvpnPrefixes(100, "red", line=9),
            vxlan_site.with_link("br0", in_red(), master=0),
            "gateway.yaml:9: evpn.prefixes[0].vni: br0 is in no VRF, and has to be in VRF red",
        ),
    ],
)
def test_what_does_not_fit(entry: EvpnPrefixes, observed: Observed, problem: str) -> None:
    config = with_prefixes(entry)

    found = vxlan_site.refused(config, observed)
    assert problem in found
    told = problem.removeprefix("gateway.yaml:9: ")
    assert told in resolve(config, observed).warnings


# ---- what is told ---------------------------------------------------------------------


def test_a_device_that_learns_is_told_of() -> None:
    observed = vxlan_site.made(learning=True)

    for section in (SECTION, Evpn(EvpnDaemon.FRR)):
        (warning,) = warnings_of(with_section(section), segments(observed), observed)
        assert warning == (
            "vni100 learns from what arrives, and EVPN says where stations are: "
            "ip link set vni100 type vxlan nolearning; bridge link set dev vni100 learning off"
        )
    assert not list(warnings_of(CONFIG, segments(observed), observed))


def test_a_device_without_an_address_is_told_of() -> None:
    observed = vxlan_site.made(replace(OBSERVED, vteps=()), local=None)

    assert list(warnings_of(with_section(SECTION), segments(observed), observed)) == [
        "vni100 has no local address: EVPN announces no VTEP for it"
    ]
