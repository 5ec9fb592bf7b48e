# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbours that send nonsense: it is refused with its reason, and nobody else is harmed."""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from gw_gobgp import attribute_pb2 as wire
from gw_gobgp import gobgp_pb2 as api
from hypothesis import given
from hypothesis import strategies as some

from hybrid_gateway.evpn import attributes
from hybrid_gateway.evpn.codec import FAMILY
from hybrid_gateway.evpn.keys import route_key
from hybrid_gateway.evpn.received import received
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import (
    FloodRoute,
    MacRoute,
    RouteChange,
    RouteRefused,
    RouteTarget,
)

from .bgp import ASN, Following, Speaker, Watch, neighbor, wired
from .raw import HOLD_SECONDS, RawNeighbor

VTEP = ip_address("2001:db8:0:66::11")
TARGETS = (RouteTarget(ASN, 550),)
MAC = bytes.fromhex("0200000000b1")
STATION = MacRoute("192.0.2.66:550", MAC, 550, VTEP, TARGETS)
FLOOD = FloodRoute("192.0.2.66:550", VTEP, 550, VTEP, TARGETS)
EXTENDED = attributes.extended(STATION)
DISTINGUISHER = struct.pack("!HIH", 2, 64512, 550)


@dataclass(frozen=True, slots=True)
class Site:
    """The gateway, and a neighbour that is up to something."""

    gateway: Speaker
    bad: RawNeighbor
    address: IPv4Address
    other: RawNeighbor
    """A second one, that does no harm."""
    other_address: IPv4Address


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("bgp")
    other, gateway = Speaker("other", 66, directory), Speaker("gateway", 2, directory)
    with ExitStack() as stack:
        wired(other, gateway, stack)
        second = IPv4Address("10.9.0.67")
        namespaces.ip_batch(other.namespace, [f"address add {second}/24 dev wire"])
        addresses = (other.address4, second)
        section = gateway.section(
            *(neighbor(other, address=one, passive=True) for one in addresses),
            hold_time=HOLD_SECONDS,
        )
        gateway.client.configure(section)
        bad, good = (
            stack.enter_context(
                RawNeighbor(other.namespace, str(gateway.address4), router_id, ASN, str(one))
            )
            for one, router_id in zip(addresses, (other.router_id, second), strict=True)
        )
        yield Site(gateway, bad, other.address4, good, second)


def nlri(kind: int, value: bytes) -> bytes:
    return struct.pack("!BB", kind, len(value)) + value


def reach(value: bytes, hop: str = str(VTEP)) -> bytes:
    return attributes.reach(ip_address(hop), value)


def pmsi(kind: int) -> bytes:
    value = struct.pack("!BB", 0, kind) + attributes.label(550) + VTEP.packed
    return attributes.attribute(0xC0, 22, value)


def crowded(count: int) -> bytes:
    found = (RouteTarget(ASN, number) for number in range(550, 550 + count - 1))
    return attributes.extended(replace(STATION, targets=tuple(found)))


def encapsulation(kind: int) -> bytes:
    targets = attributes.target(TARGETS[0])
    return attributes.attribute(0xC0, 16, targets + struct.pack("!BB4xH", 3, 12, kind))


MAC_NLRI = attributes.mac_nlri(STATION)
FLOOD_NLRI = attributes.flood_nlri(FLOOD)
TAGGED_NLRI = MAC_NLRI[:23] + b"\5" + MAC_NLRI[24:]
DISCOVERY_NLRI = nlri(1, DISTINGUISHER + bytes(10) + bytes(4) + bytes(3))
SEGMENT_NLRI = nlri(4, DISTINGUISHER + bytes(10) + b"\x20" + bytes(4))
"""Route types 1 and 4, of multihoming."""

REFUSED = [
    ((reach(TAGGED_NLRI), EXTENDED), "its Ethernet tag is not 0"),
    ((reach(MAC_NLRI, "ff02::1"), EXTENDED), "its next hop is no unicast address"),
    ((reach(MAC_NLRI, "::1"), EXTENDED), "its next hop is no unicast address"),
    ((reach(MAC_NLRI, "fe80::1"), EXTENDED), "its next hop is no unicast address"),
    ((reach(MAC_NLRI, "224.0.0.5"), EXTENDED), "its next hop is no unicast address"),
    ((reach(MAC_NLRI), encapsulation(10)), "its encapsulation is not VXLAN"),
    ((reach(MAC_NLRI), crowded(65)), "more extended communities than it may have"),
    ((reach(MAC_NLRI), crowded(400)), "more extended communities than it may have"),
    ((reach(FLOOD_NLRI), EXTENDED), "without a PMSI tunnel"),
    ((reach(FLOOD_NLRI), EXTENDED, pmsi(3)), "its PMSI tunnel is not for ingress replication"),
    ((reach(DISCOVERY_NLRI), EXTENDED), "of a route type that is not used"),
    ((reach(SEGMENT_NLRI), EXTENDED), "of a route type that is not used"),
]


@pytest.mark.parametrize(("update", "reason"), REFUSED)
def test_what_makes_no_sense_is_refused(
    site: Site,
    watch: Following,
    update: tuple[bytes, ...],
    reason: str,
) -> None:
    told = watch(site.gateway)

    site.bad.update(*update)
    site.bad.update(reach(attributes.mac_nlri(STATION)), EXTENDED)

    # The one after it is taken: the session lives, and so does the watch.
    events = told.until(lambda events: RouteChange(STATION, peer=site.address) in events)
    refusals = [event for event in events if isinstance(event, RouteRefused)]
    assert refusals == [RouteRefused(reason, site.address)]
    withdraw(site, told)


def withdraw(site: Site, told: Watch) -> None:
    """Everything: what comes back says nothing of what was refused."""
    value = b"".join((MAC_NLRI, TAGGED_NLRI, FLOOD_NLRI, DISCOVERY_NLRI, SEGMENT_NLRI))
    unreach = struct.pack("!HB", attributes.AFI_L2VPN, attributes.SAFI_EVPN) + value
    site.bad.update(attributes.attribute(0x80, 15, unreach))
    key = route_key(STATION)
    told.until(
        lambda events: any(
            isinstance(event, RouteChange) and event.withdrawn and route_key(event.route) == key
            for event in events
        )
    )


def test_a_bad_route_takes_the_place_of_a_good_one(site: Site, watch: Following) -> None:
    told = watch(site.gateway)
    site.bad.update(reach(MAC_NLRI), EXTENDED)
    told.routes([STATION], peer=site.address)

    site.bad.update(reach(MAC_NLRI), encapsulation(10))

    gone, refused = told.until(lambda events: len(events) >= 2)
    assert isinstance(gone, RouteChange)
    assert (gone.withdrawn, route_key(gone.route)) == (True, route_key(STATION))
    assert refused == RouteRefused("its encapsulation is not VXLAN", site.address)
    site.bad.update(reach(MAC_NLRI), EXTENDED)
    withdraw(site, told)


def test_a_route_may_have_many_communities(site: Site, watch: Following) -> None:
    told = watch(site.gateway)

    site.bad.update(reach(MAC_NLRI), crowded(64))

    (event,) = told.until(bool)
    assert isinstance(event, RouteChange)
    assert len(event.route.targets) == 63
    withdraw(site, told)


def test_two_neighbours_may_send_the_same_route(site: Site, watch: Following) -> None:
    """Both are told: the first to say it may be up to something."""
    told = watch(site.gateway)
    worthless = replace(STATION, targets=(RouteTarget(ASN, 551),))
    site.bad.update(reach(MAC_NLRI), attributes.extended(worthless))
    told.routes([worthless], peer=site.address)

    site.other.update(reach(MAC_NLRI), EXTENDED)

    told.routes([STATION], peer=site.other_address)
    withdraw(site, told)
    unreach = struct.pack("!HB", attributes.AFI_L2VPN, attributes.SAFI_EVPN) + MAC_NLRI
    site.other.update(attributes.attribute(0x80, 15, unreach))
    told.gone([STATION], peer=site.other_address)


def test_the_mark_of_our_own_routes_hides_nobody_elses(site: Site, watch: Following) -> None:
    told = watch(site.gateway)
    mark = attributes.communities(0xFFFE_0009)

    site.bad.update(reach(FLOOD_NLRI), EXTENDED, pmsi(6), mark)

    told.routes([FLOOD], peer=site.address)
    site.bad.update(reach(MAC_NLRI), EXTENDED)
    withdraw(site, told)


# ---- whatever gobgpd may say -----------------------------------------------------------

TEXTS = some.text(max_size=20) | some.sampled_from(
    ["", "<nil>", "::", "10.0.0.1", "fe80::1%eth0", "02:00:00:00:00:01", "02:00"]
)
NUMBERS = some.integers(0, 0xFFFFFFFF)
RDS = some.builds(wire.RouteDistinguisherIPAddress, admin=TEXTS, assigned=NUMBERS) | some.builds(
    wire.RouteDistinguisherTwoOctetASN, admin=NUMBERS, assigned=NUMBERS
)


def packed(message: object) -> AnyMessage:
    found = AnyMessage()
    found.Pack(message)
    return found


ESIS = some.builds(
    wire.EthernetSegmentIdentifier, type=some.integers(0, 0xFF), value=some.binary(max_size=10)
)
NLRIS = (
    some.builds(
        wire.EVPNMACIPAdvertisementRoute,
        rd=RDS.map(packed),
        esi=ESIS,
        ethernet_tag=NUMBERS,
        mac_address=TEXTS,
        ip_address=TEXTS,
        labels=some.lists(NUMBERS, max_size=3),
    )
    | some.builds(wire.EVPNInclusiveMulticastEthernetTagRoute, rd=RDS.map(packed), ip_address=TEXTS)
    | some.builds(
        wire.EVPNIPPrefixRoute,
        rd=RDS.map(packed),
        ip_prefix=TEXTS,
        ip_prefix_len=NUMBERS,
        gw_address=TEXTS,
        label=NUMBERS,
    )
    | RDS
).map(packed)
COMMUNITIES = some.lists(
    (
        some.builds(wire.IPv4AddressSpecificExtended, sub_type=some.just(2), address=TEXTS)
        | some.builds(wire.RouterMacExtended, mac=TEXTS)
        | some.builds(wire.MacMobilityExtended, sequence_num=NUMBERS)
        | some.builds(wire.EncapExtended, tunnel_type=some.sampled_from([8, 10]))
    ).map(packed),
    max_size=3,
)
ATTRIBUTES = some.lists(
    (
        some.builds(wire.MpReachNLRIAttribute, next_hops=some.lists(TEXTS, max_size=2))
        | some.builds(wire.ExtendedCommunitiesAttribute, communities=COMMUNITIES)
        | some.builds(wire.PmsiTunnelAttribute, type=some.sampled_from([3, 6]), label=NUMBERS)
    ).map(packed)
    | some.builds(AnyMessage, type_url=TEXTS, value=some.binary(max_size=30)),
    max_size=4,
)
PATHS = some.builds(
    api.Path,
    nlri=NLRIS,
    pattrs=ATTRIBUTES,
    is_withdraw=some.booleans(),
    family=some.just(FAMILY),
    neighbor_ip=TEXTS,
)


@given(PATHS)
def test_nothing_that_gobgpd_says_is_an_error(path: api.Path) -> None:
    said = received(path)

    assert len(said) <= 2
    assert not any(isinstance(event, RouteRefused) for event in said) or not path.is_withdraw
