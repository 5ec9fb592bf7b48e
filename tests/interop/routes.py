# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP messages with EVPN routes, byte by byte: what a neighbour may send, be it right or wrong."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
AFI_L2VPN, SAFI_EVPN = 25, 70
MARKER = b"\xff" * 16
ORIGIN, AS_PATH, LOCAL_PREF, MP_REACH, MP_UNREACH, COMMUNITIES, PMSI = 1, 2, 5, 14, 15, 16, 22
TRANSITIVE, OPTIONAL, EXTENDED = 0x40, 0x80, 0x10
INGRESS_REPLICATION = 6
MESSAGE_MAX = 4096


def message(kind: int, body: bytes = b"") -> bytes:
    """RFC 4271 section 4.1."""
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def opening(asn: int, router_id: str, hold: int) -> bytes:
    """With EVPN and four-byte AS numbers."""
    abilities = struct.pack("!BBHBB", 1, 4, AFI_L2VPN, 0, SAFI_EVPN)
    abilities += struct.pack("!BBI", 65, 4, asn)
    optional = struct.pack("!BB", 2, len(abilities)) + abilities
    head = struct.pack("!BHH", 4, min(asn, 23456) if asn > 0xFFFF else asn, hold)
    return message(OPEN, head + IPv4Address(router_id).packed + bytes([len(optional)]) + optional)


@dataclass(frozen=True, slots=True)
class Path:
    """What the routes of one UPDATE have in common."""

    next_hop: str
    asn: int
    vni: int
    sequence: int | None = None
    sticky: bool = False
    tunnel: bytes | None = None
    """Value of the PMSI tunnel attribute, of type-3 routes."""
    router_mac: str = ""

    def communities(self) -> bytes:
        """Route target, encapsulation VXLAN, mobility, router's MAC."""
        packed = struct.pack("!BBHI", 0, 2, self.asn, self.vni)
        packed += struct.pack("!BBIH", 3, 12, 0, 8)
        if self.sequence is not None:
            packed += struct.pack("!BBBBI", 6, 0, int(self.sticky), 0, self.sequence)
        if self.router_mac:
            packed += bytes([6, 3]) + mac_bytes(self.router_mac)
        return packed


def update(path: Path, routes: Sequence[bytes]) -> list[bytes]:
    """As many UPDATEs as the routes fill."""
    hop = ip_address(path.next_hop).packed
    head = struct.pack("!HBB", AFI_L2VPN, SAFI_EVPN, len(hop)) + hop + b"\0"
    common = _attribute(TRANSITIVE, ORIGIN, b"\0") + _attribute(TRANSITIVE, AS_PATH, b"")
    common += _attribute(TRANSITIVE, LOCAL_PREF, struct.pack("!I", 100))
    common += _attribute(OPTIONAL | TRANSITIVE, COMMUNITIES, path.communities())
    if path.tunnel is not None:
        common += _attribute(OPTIONAL | TRANSITIVE, PMSI, path.tunnel)
    room = MESSAGE_MAX - 23 - len(common) - 4 - len(head)
    return [
        _update(common + _attribute(OPTIONAL, MP_REACH, head + part))
        for part in _parts(routes, room)
    ]


def withdrawal(routes: Sequence[bytes]) -> list[bytes]:
    head = struct.pack("!HB", AFI_L2VPN, SAFI_EVPN)
    return [
        _update(_attribute(OPTIONAL, MP_UNREACH, head + part))
        for part in _parts(routes, MESSAGE_MAX - 30)
    ]


END_OF_RIB = message(
    UPDATE,
    b"\0\0" + struct.pack("!H", 6) + struct.pack("!BBBHB", OPTIONAL, MP_UNREACH, 3, 25, 70),
)
"""RFC 4724 section 2."""


CEASE = message(NOTIFICATION, bytes([6, 2]))
"""Administrative shutdown (RFC 4486)."""


def mac_route(
    distinguisher: bytes, mac: str, vni: int, address: str = "", *, tag: int = 0, bits: int = 48
) -> bytes:
    """Type 2 (RFC 7432 section 7.2)."""
    packed = ip_address(address).packed if address else b""
    body = distinguisher + bytes(10) + struct.pack("!IB", tag, bits) + mac_bytes(mac)
    return _route(2, body + bytes([8 * len(packed)]) + packed + vni.to_bytes(3, "big"))


def flood_route(distinguisher: bytes, originator: str) -> bytes:
    """Type 3 (section 7.3)."""
    packed = ip_address(originator).packed
    return _route(3, distinguisher + bytes(4) + bytes([8 * len(packed)]) + packed)


def prefix_route(distinguisher: bytes, prefix: str, vni: int) -> bytes:
    """Type 5 (RFC 9136 section 3.1), without a gateway."""
    network: IPv4Network | IPv6Network = ip_network(prefix)
    packed = network.network_address.packed
    body = distinguisher + bytes(14) + bytes([network.prefixlen]) + packed + bytes(len(packed))
    return _route(5, body + vni.to_bytes(3, "big"))


def distinguisher(router_id: str, number: int) -> bytes:
    """Of type 1 (RFC 4364 section 4.2)."""
    return b"\0\1" + IPv4Address(router_id).packed + struct.pack("!H", number)


def tunnel(vni: int, vtep: str) -> bytes:
    """PMSI tunnel attribute (RFC 6514 section 5), ingress replication."""
    return bytes([0, INGRESS_REPLICATION]) + vni.to_bytes(3, "big") + ip_address(vtep).packed


def without_tunnel(path: Path) -> Path:
    return replace(path, tunnel=None)


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _route(kind: int, body: bytes) -> bytes:
    return bytes([kind, len(body)]) + body


def _attribute(flags: int, kind: int, value: bytes) -> bytes:
    if len(value) > 0xFF:
        return struct.pack("!BBH", flags | EXTENDED, kind, len(value)) + value
    return bytes([flags, kind, len(value)]) + value


def _update(attributes: bytes) -> bytes:
    return message(UPDATE, b"\0\0" + struct.pack("!H", len(attributes)) + attributes)


def _parts(routes: Sequence[bytes], room: int) -> list[bytes]:
    """Joined, none longer than `room`."""
    parts, part = [], b""
    for route in routes:
        if len(part) + len(route) > room:
            parts.append(part)
            part = b""
        part += route
    return [*parts, part] if part else parts
