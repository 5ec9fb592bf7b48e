# SPDX-License-Identifier: GPL-2.0-or-later
"""Path attributes and NLRI of EVPN routes on the wire (RFC 4271, 4360, 4760, 6514, 7432, 9136).

gobgpd takes them as bytes, which costs a tenth of describing them in its own messages.
"""

import struct
from ipaddress import IPv4Address

from ..errors import EvpnError
from ..model import FloodRoute, IPAddress, MacRoute, PrefixRoute, RouteTarget

AFI_L2VPN = 25
SAFI_EVPN = 70

TYPE_MAC, TYPE_FLOOD, TYPE_PREFIX = 2, 3, 5
"""Route types (RFC 7432 section 7, RFC 9136 section 3)."""

TUNNEL_VXLAN = 8
"""In the encapsulation community (RFC 8365 section 11)."""
INGRESS_REPLICATION = 6
"""Type of a PMSI tunnel (RFC 6514 section 5)."""

_ORIGIN, _COMMUNITIES, _MP_REACH, _EXTENDED, _PMSI = 1, 8, 14, 16, 22
_WELL_KNOWN, _OPTIONAL, _OPTIONAL_TRANSITIVE = 0x40, 0x80, 0xC0
_LONG = 0x10
_VXLAN = bytes.fromhex("030c000000000008")
GONE = (0x8A, 0x57)
"""Type and subtype of a community of ours: all stations by a route distinguisher are gone. It
passes through other speakers, who know nothing of it (RFC 7153 section 5.1: experimental)."""
_SINGLE_HOMED = bytes(10)
_NO_TAG = bytes(4)
LABEL_MAX = 0xFFFFFF


def attribute(flags: int, kind: int, value: bytes) -> bytes:
    if len(value) > 0xFF:
        return struct.pack("!BBH", flags | _LONG, kind, len(value)) + value
    return struct.pack("!BBB", flags, kind, len(value)) + value


ORIGIN_IGP = attribute(_WELL_KNOWN, _ORIGIN, b"\0")


def communities(*values: int) -> bytes:
    """RFC 1997."""
    return attribute(_OPTIONAL_TRANSITIVE, _COMMUNITIES, struct.pack(f"!{len(values)}I", *values))


def label(vni: int) -> bytes:
    """All 24 bits of it are the VNI (RFC 8365 section 5.1.3)."""
    if not 0 <= vni <= LABEL_MAX:
        raise EvpnError(f"VNI {vni} has more than 24 bits")
    return vni.to_bytes(3, "big")


def distinguisher(text: str) -> bytes:
    """RFC 4364 section 4.2, by what stands before the colon."""
    before, _, after = text.rpartition(":")
    try:
        number = int(after)
        if "." in before:
            return struct.pack("!H4sH", 1, IPv4Address(before).packed, number)
        if int(before) <= 0xFFFF:
            return struct.pack("!HHI", 0, int(before), number)
        return struct.pack("!HIH", 2, int(before), number)
    except (ValueError, struct.error) as error:
        raise EvpnError(f"{text!r} is no route distinguisher") from error


def target(value: RouteTarget) -> bytes:
    """RFC 4360 section 4, RFC 5668: two-byte AS and four-byte number, or the other way round."""
    try:
        if value.asn <= 0xFFFF:
            return struct.pack("!BBHI", 0, 2, value.asn, value.number)
        return struct.pack("!BBIH", 2, 2, value.asn, value.number)
    except struct.error as error:
        raise EvpnError(f"{value} does not fit into a route target") from error


def extended(route: MacRoute | FloodRoute | PrefixRoute) -> bytes:
    """Targets, encapsulation, and what else the kind of route needs.

    No ND flags (RFC 9047): gobgpd 3.10 and 3.36 take the community for malformed, and every route
    that has it as withdrawn.
    """
    value = b"".join(target(one) for one in route.targets) + _VXLAN
    if isinstance(route, MacRoute) and (route.sequence or route.sticky):
        value += struct.pack("!BBBxI", 6, 0, int(route.sticky), route.sequence)
    if isinstance(route, FloodRoute):
        value += b"".join(bytes(GONE) + distinguisher(rd)[2:] for rd in route.gone)
    elif route.router_mac:
        value += b"\x06\x03" + route.router_mac
    return attribute(_OPTIONAL_TRANSITIVE, _EXTENDED, value)


def reach(next_hop: IPAddress, nlri: bytes) -> bytes:
    hop = next_hop.packed
    head = struct.pack("!HBB", AFI_L2VPN, SAFI_EVPN, len(hop))
    return attribute(_OPTIONAL, _MP_REACH, head + hop + b"\0" + nlri)


def pmsi(vni: int, tunnel: IPAddress) -> bytes:
    """Nine bytes with an IPv4 tunnel, twenty-one with an IPv6 one."""
    value = struct.pack("!BB", 0, INGRESS_REPLICATION) + label(vni) + tunnel.packed
    return attribute(_OPTIONAL_TRANSITIVE, _PMSI, value)


def _nlri(kind: int, value: bytes) -> bytes:
    return struct.pack("!BB", kind, len(value)) + value


def mac_nlri(route: MacRoute) -> bytes:
    if len(route.mac) != 6:
        raise EvpnError(f"{route.mac.hex(':')!r} is no MAC address")
    address = route.address.packed if route.address else b""
    labels = label(route.vni) + (label(route.l3vni) if route.l3vni else b"")
    return _nlri(
        TYPE_MAC,
        distinguisher(route.rd)
        + (_SINGLE_HOMED + _NO_TAG + b"\x30" + route.mac)
        + struct.pack("!B", 8 * len(address))
        + (address + labels),
    )


def flood_nlri(route: FloodRoute) -> bytes:
    originator = route.originator.packed
    return _nlri(
        TYPE_FLOOD,
        distinguisher(route.rd) + _NO_TAG + struct.pack("!B", 8 * len(originator)) + originator,
    )


def prefix_nlri(route: PrefixRoute) -> bytes:
    network = route.prefix.network_address.packed
    gateway = route.gateway.packed if route.gateway else bytes(len(network))
    if len(gateway) != len(network):
        raise EvpnError(f"{route.gateway} is no gateway for {route.prefix}")
    return _nlri(
        TYPE_PREFIX,
        distinguisher(route.rd)
        + (_SINGLE_HOMED + _NO_TAG)
        + struct.pack("!B", route.prefix.prefixlen)
        + (network + gateway + label(route.vni)),
    )
