# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes out to neighbours, byte for byte."""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import EvpnRoute, FloodRoute, MacRoute, PrefixRoute, RouteTarget

from .bgp import ASN, Speaker, neighbor, wired
from .raw import HOLD_SECONDS, RawNeighbor

OTHER_ASN = 64513
VTEP = ip_address("2001:db8:0:1::11")
HOP = "20010db8000000010000000000000011"
TARGETS = (RouteTarget(ASN, 550),)
RD = "0001 c0000202 0226"
IBGP = ["40 01 01 00", "40 02 00", "40 05 04 00000064"]
EBGP = ["40 01 01 00", "40 02 06 0201 0000fc00"]
COMMUNITIES = "0002 fc00 00000226  030c 00000000 0008"

STATION = MacRoute("192.0.2.2:550", bytes.fromhex("0200000000d1"), 550, VTEP, TARGETS)
FLOOD = FloodRoute("192.0.2.2:550", VTEP, 550, VTEP, TARGETS)
PREFIX = PrefixRoute(
    "192.0.2.2:5001",
    ip_network("10.1.0.0/16"),
    5001,
    VTEP,
    (RouteTarget(ASN, 5001),),
    router_mac=bytes.fromhex("0200000000fe"),
)


@dataclass(frozen=True, slots=True)
class Neighbors:
    gateway: Speaker
    inner: RawNeighbor
    outer: RawNeighbor
    """Of another AS."""
    compat: RawNeighbor
    """With `pmsi-compat`."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbors]:
    directory = tmp_path_factory.mktemp("bgp")
    other, gateway = Speaker("other", 66, directory), Speaker("gateway", 2, directory)
    wanted = {
        "10.9.0.66": {"asn": ASN},
        "10.9.0.67": {"asn": OTHER_ASN},
        "10.9.0.68": {"asn": ASN, "pmsi_compat": True},
    }
    with ExitStack() as stack:
        wired(other, gateway, stack)
        lines = [f"address add {address}/24 dev wire" for address in list(wanted)[1:]]
        namespaces.ip_batch(other.namespace, lines)
        section = gateway.section(
            *(
                neighbor(other, address=ip_address(address), passive=True, **more)
                for address, more in wanted.items()
            ),
            hold_time=HOLD_SECONDS,
        )
        gateway.client.configure(section)
        found = []
        for address, more in wanted.items():
            local = str(gateway.address4)
            router_id = IPv4Address(address)
            raw = RawNeighbor(other.namespace, local, router_id, more["asn"], address)
            found.append(stack.enter_context(raw))
        yield Neighbors(gateway, *found)


def attributes(*texts: str) -> set[bytes]:
    return {bytes.fromhex(text) for text in texts}


def reach(nlri: str) -> str:
    value = bytes.fromhex(f"0019 46 10 {HOP} 00 {nlri}")
    return f"80 0e {len(value):02x} {value.hex()}"


def extended(text: str) -> str:
    return f"c0 10 {len(bytes.fromhex(text)):02x} {text}"


MAC_NLRI = f"02 21 {RD} {'00' * 10} 00000000 30 0200000000d1 00 000226"
MOBILE = "0600 00 00 00000005"
STICKY = "0600 01 00 00000000"
ROUTER = "0603 0200000000fe"


@pytest.mark.parametrize(
    ("route", "wanted"),
    [
        # RFC 7432 section 7.2, RFC 8365 sections 5.1.3 and 5.1.2.1.
        (STATION, [reach(MAC_NLRI), extended(COMMUNITIES)]),
        # Section 7.7.
        (replace(STATION, sequence=5), [reach(MAC_NLRI), extended(COMMUNITIES + MOBILE)]),
        (
            replace(STATION, sticky=True, address=ip_address("fd00::5")),
            [
                reach(
                    f"02 31 {RD} {'00' * 10} 00000000 30 0200000000d1 80 "
                    f"fd000000000000000000000000000005 000226"
                ),
                extended(COMMUNITIES + STICKY),
            ],
        ),
        # RFC 9135 section 5.2.
        (
            replace(
                STATION,
                address=ip_address("192.168.110.5"),
                l3vni=5001,
                router_mac=PREFIX.router_mac,
            ),
            [
                reach(f"02 28 {RD} {'00' * 10} 00000000 30 0200000000d1 20 c0a86e05 000226 001389"),
                extended(COMMUNITIES + ROUTER),
            ],
        ),
        # RFC 9136 section 3.1.
        (
            PREFIX,
            [
                reach(f"05 22 0001 c0000202 1389 {'00' * 10} 00000000 10 0a010000 00000000 001389"),
                extended("0002 fc00 00001389 030c 00000000 0008" + ROUTER),
            ],
        ),
        # RFC 7432 section 7.3, RFC 6514 section 5.
        (
            FLOOD,
            [
                reach(f"03 1d {RD} 00000000 80 {HOP}"),
                extended(COMMUNITIES),
                f"c0 16 15 00 06 000226 {HOP}",
            ],
        ),
    ],
)
def test_each_kind_of_route(site: Neighbors, route: EvpnRoute, wanted: list[str]) -> None:
    site.gateway.client.announce([route])

    assert set(site.inner.received_update()) == attributes(*IBGP, *wanted)
    # The VTEP stays the next hop beyond the AS.
    assert set(site.outer.received_update()) == attributes(*EBGP, *wanted)
    compat = site.compat.received_update()
    if route is FLOOD:
        wanted = [
            reach(f"03 11 {RD} 00000000 20 c0000202"),
            extended(COMMUNITIES),
            "c0 16 09 00 06 000226 c0000202",
        ]
    assert set(compat) == attributes(*IBGP, *wanted)

    site.gateway.client.withdraw([route])
    for one in (site.inner, site.outer, site.compat):
        (gone,) = one.received_update()
        assert gone[:6] == bytes.fromhex("80 0f") + gone[2:3] + bytes.fromhex("0019 46")


def test_what_is_offered_at_the_beginning(site: Neighbors) -> None:
    version, asn, hold, router_id = struct.unpack_from("!BHH4s", site.inner.opened)
    assert (version, asn, hold) == (4, ASN, HOLD_SECONDS)
    assert router_id == site.gateway.router_id.packed
    # EVPN and nothing else (RFC 4760), four-byte AS numbers, and routes that are kept for two
    # minutes while the daemon restarts; this is not such a time (RFC 4724 section 3).
    for capability in ("01 04 0019 00 46", "41 04 0000fc00", "40 06 0078 0019 46 00"):
        assert bytes.fromhex(capability) in site.inner.opened
    assert site.inner.opened.count(bytes.fromhex("01 04")) == 1


def test_a_daemon_that_restarts_says_so(tmp_path: Path) -> None:
    other, gateway = Speaker("otherr", 66, tmp_path), Speaker("restarted", 2, tmp_path)
    with ExitStack() as stack:
        wired(other, gateway, stack)
        section = gateway.section(
            neighbor(other, address=other.address4, passive=True), hold_time=HOLD_SECONDS
        )
        assert gateway.client.configure(section, [STATION], restarting=True) is True

        arguments = (other.namespace, str(gateway.address4), other.router_id, ASN)
        raw = stack.enter_context(RawNeighbor(*arguments))

        # It restarts, and what forwards did so all the while.
        assert bytes.fromhex("40 06 8078 0019 46 80") in raw.opened
        assert attributes(reach(MAC_NLRI)) <= set(raw.received_update())
