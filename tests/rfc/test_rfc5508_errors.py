# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5508 REQ-3 to REQ-6, RFC 4787 REQ-12, RFC 5382 REQ-9 and REQ-10: ICMP errors."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR

from hybrid_gateway.bpf import StaticRecord
from hybrid_gateway.lab import LAN, LAN2, WAN
from tests.bpf.plane import ONE_TO_ONE, Plane, forwarded
from tests.bpf.site import STRAY
from tests.lib.packets import SERVER, SERVER2, echo, to_lan, to_wan, udp, wire

from .errors import (
    FORWARDED,
    KINDS,
    MINIMUM,
    ROUTER_FAR,
    changed,
    deadline,
    error,
    opened,
    with_options,
)
from .expected import HIT

every_kind = pytest.mark.parametrize("kind", KINDS)
whole_or_least = pytest.mark.parametrize("length", [MINIMUM, None], ids=["least", "whole"])
ERRORS = [
    *((3, code) for code in (0, 1, 2, 3, 9, 10, 13)),
    (11, 0),
    (11, 1),
    (12, 0),
]


@every_kind
@whole_or_least
def test_rfc5508_req4a_an_inbound_error_is_reverted(
    plane: Plane, kind: str, length: int | None
) -> None:
    """MUST: addresses, port or identifier and checksums of the embedded packet become those
    that the inside host sent; the error goes to that host (c), from whoever sent it
    (RFC 4787 REQ-12a)."""
    flow = opened(plane, kind)
    quoted = bytes(flow.outbound(translated=True, ttl=60))[:length]
    reverted = bytes(flow.outbound(translated=False, ttl=60))[:length]

    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted, 11, 0))

    forwarded(outcome, to_lan(error(ROUTER_FAR, LAN.ip, reverted, 11, 0, ttl=63)))
    assert outcome.counted == FORWARDED


@pytest.mark.parametrize(("icmp", "code"), ERRORS)
def test_rfc5508_req4b_type_and_code_stay(plane: Plane, icmp: int, code: int) -> None:
    """MUST: type and code unchanged (and RFC 4787 REQ-12b: unreachables are supported)."""
    flow = opened(plane, "udp")
    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, flow.outbound(translated=True), icmp, code))

    quoted = flow.outbound(translated=False)
    forwarded(outcome, to_lan(error(ROUTER_FAR, LAN.ip, quoted, icmp, code, ttl=63)))


def test_rfc5382_req9_fragmentation_needed_keeps_its_mtu(plane: Plane) -> None:
    """SHOULD: unreachables about TCP are translated; path-MTU discovery needs this one."""
    flow = opened(plane, "tcp")
    quoted = flow.outbound(translated=True)
    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted, 3, 4, nexthopmtu=1280))

    reverted = flow.outbound(translated=False)
    expected = error(ROUTER_FAR, LAN.ip, reverted, 3, 4, nexthopmtu=1280, ttl=63)
    forwarded(outcome, to_lan(expected))
    assert outcome.counted == FORWARDED


@every_kind
def test_rfc5508_req4_an_inbound_error_about_nothing(plane: Plane, kind: str) -> None:
    """SHOULD be dropped silently: no inside host gets it. The kernel may have sent the packet
    itself, so it looks at the error and forgets it (see docs/rfc.md)."""
    flow = opened(plane, kind)
    quoted = flow.outbound(translated=True)
    plane.dataplane.clear_sessions()

    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted, 3, 3))

    assert outcome.counted == {"PUNT_ICMP": 1}


@every_kind
@whole_or_least
def test_rfc5508_req5_an_outbound_error_is_reverted(
    plane: Plane, kind: str, length: int | None
) -> None:
    """MUST: the embedded packet becomes what the Internet host sent (a), type and code stay
    (b), and the sender is the public address (c)."""
    flow = opened(plane, kind)
    quoted = bytes(flow.inbound(translated=True, ttl=60))[:length]
    reverted = bytes(flow.inbound(translated=False, ttl=60))[:length]

    outcome = plane.lan(error(LAN.ip, SERVER, quoted, 3, 3))

    forwarded(outcome, to_wan(error(WAN.ip, SERVER, reverted, 3, 3, ttl=63)))
    assert outcome.counted == FORWARDED


def test_rfc5508_req5c_an_inside_router_s_error(plane: Plane) -> None:
    """MUST: it has no mapping of its own and gets the NAT's public address."""
    flow = opened(plane, "udp")
    quoted, reverted = flow.inbound(translated=True), flow.inbound(translated=False)

    outcome = plane.lan(error(STRAY, SERVER, quoted, 11, 0))

    forwarded(outcome, to_wan(error(WAN.ip, SERVER, reverted, 11, 0, ttl=63)))


def test_rfc5508_req5c_an_error_of_a_one_to_one_host(plane: Plane) -> None:
    """MUST: under basic NAT its source becomes its own public address, both ways."""
    plane.statics(StaticRecord(0, ONE_TO_ONE, 0, IPv4Address(LAN2.ip), 0))
    public = str(ONE_TO_ONE)
    plane.lan(udp(LAN2.ip, SERVER, 7, 53), LAN2)

    quoted = wire(udp(SERVER, LAN2.ip, 53, 7))
    outcome = plane.lan(error(LAN2.ip, SERVER, quoted, 3, 3), LAN2)
    expected = error(public, SERVER, wire(udp(SERVER, public, 53, 7)), 3, 3, ttl=63)
    forwarded(outcome, to_wan(expected))

    inbound = error(ROUTER_FAR, public, wire(udp(public, SERVER, 7, 53)), 11, 0)
    reverted = error(ROUTER_FAR, LAN2.ip, wire(udp(LAN2.ip, SERVER, 7, 53)), 11, 0, ttl=63)
    forwarded(plane.wan(inbound), to_lan(reverted, LAN2))


@every_kind
def test_rfc5508_req5_an_outbound_error_about_nothing(plane: Plane, kind: str) -> None:
    """SHOULD be dropped: it is not translated, and what the kernel does is tested live."""
    flow = opened(plane, kind)
    quoted = flow.inbound(translated=True)
    plane.dataplane.clear_sessions()

    assert plane.lan(error(LAN.ip, SERVER, quoted, 3, 3)).counted == {"PUNT_ICMP": 1}


@every_kind
def test_rfc5508_req3_a_wrong_checksum_of_the_error(plane: Plane, kind: str) -> None:
    """SHOULD be dropped silently, in both directions."""
    flow = opened(plane, kind)
    inbound = wire(error(ROUTER_FAR, WAN.ip, flow.outbound(translated=True), 3, 3))
    outbound = wire(error(LAN.ip, SERVER, flow.inbound(translated=True), 3, 3))
    for broken in (inbound, outbound):
        broken[ICMP].chksum ^= 0x0100

    assert plane.wan(inbound).counted == {"DROP_CHECKSUM": 1}
    assert plane.lan(outbound).counted == {"DROP_CHECKSUM": 1}


@every_kind
def test_rfc5508_req3a_a_wrong_checksum_of_the_embedded_header(plane: Plane, kind: str) -> None:
    """SHOULD be dropped silently, in both directions."""

    def break_header(quoted: IP) -> None:
        quoted[IP].chksum ^= 0x0100

    flow = opened(plane, kind)
    inbound = changed(flow.outbound(translated=True), break_header)
    outbound = changed(flow.inbound(translated=True), break_header)

    assert plane.wan(error(ROUTER_FAR, WAN.ip, inbound)).counted == {"DROP_CHECKSUM": 1}
    assert plane.lan(error(LAN.ip, SERVER, outbound)).counted == {"DROP_CHECKSUM": 1}


@every_kind
@pytest.mark.parametrize(
    "options",
    [[IPOption_NOP()] * 4, [IPOption_RR(routers=["10.0.0.1"] * 9)]],
    ids=["one word", "ten words"],
)
def test_rfc5508_req3b_embedded_options_are_skipped(
    plane: Plane, kind: str, options: list[object]
) -> None:
    """MUST: the transport header is behind the options, however many there are."""
    flow = opened(plane, kind)
    quoted = with_options(flow.outbound(translated=True), options)
    reverted = with_options(flow.outbound(translated=False), options)

    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted, 11, 0))
    forwarded(outcome, to_lan(error(ROUTER_FAR, LAN.ip, reverted, 11, 0, ttl=63)))

    quoted = with_options(flow.inbound(translated=True), options)
    reverted = with_options(flow.inbound(translated=False), options)
    outcome = plane.lan(error(LAN.ip, SERVER, quoted, 3, 3))
    forwarded(outcome, to_wan(error(WAN.ip, SERVER, reverted, 3, 3, ttl=63)))


@every_kind
def test_rfc5508_req3c_the_embedded_transport_checksum_is_not_verified(
    plane: Plane, kind: str
) -> None:
    """SHOULD NOT: a wrong one is translated, and is as wrong as before for the inside host."""
    layer = {"udp": UDP, "tcp": TCP, "echo": ICMP}[kind]
    flow = opened(plane, kind)
    right = flow.outbound(translated=False)[layer].chksum

    def break_transport(quoted: IP) -> None:
        quoted[layer].chksum = (quoted[layer].chksum + 5) % 0xFFFF

    quoted = changed(flow.outbound(translated=True), break_transport)
    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted))

    assert outcome.counted == FORWARDED
    found = IP(bytes(outcome.packet[ICMP].payload))
    assert (found[layer].chksum - right) % 0xFFFF == 5
    reverted = changed(
        flow.outbound(translated=False),
        lambda copy: setattr(copy[layer], "chksum", found[layer].chksum),
    )
    forwarded(outcome, to_lan(error(ROUTER_FAR, LAN.ip, reverted, ttl=63)))


@every_kind
@pytest.mark.parametrize(("icmp", "code"), [*ERRORS, (3, 4), (4, 0), (5, 1)])
def test_rfc4787_req12_no_icmp_ends_or_refreshes_a_session(
    plane: Plane, kind: str, icmp: int, code: int
) -> None:
    """MUST NOT end a mapping or TCP connection (RFC 5382 REQ-10), nor refresh or delete the
    session (RFC 5508 REQ-6, RFC 7857 7.1), whichever side the message comes from."""
    flow = opened(plane, kind)
    before = deadline(plane), plane.session().state
    plane.configure(udp=9999, icmp=9999, tcp_transitory=9999, tcp_established=9999)

    plane.wan(error(ROUTER_FAR, WAN.ip, flow.outbound(translated=True), icmp, code))
    plane.lan(error(LAN.ip, SERVER, flow.inbound(translated=True), icmp, code))
    plane.wan(echo(SERVER2, WAN.ip, 9))

    assert (deadline(plane), plane.session().state) == before
    back = plane.wan(flow.inbound(translated=False))
    forwarded(back, to_lan(flow.inbound(translated=True, ttl=63)))
    assert back.counted == HIT
