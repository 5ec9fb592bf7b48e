# SPDX-License-Identifier: GPL-2.0-or-later
"""What tells one EVPN route from another, and the numbers that routes are named by. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address

from ..model import EvpnRoute, FloodRoute, IPAddress, IPNetwork, MacRoute, RouteTarget

MacKey = tuple[str, str, bytes, IPAddress | None]
RouteKey = MacKey | tuple[str, str, IPAddress] | tuple[str, str, IPNetwork]
ClaimKey = tuple[IPAddress, RouteKey]
"""With the neighbour that says so: a route that several send, who reflect it, is there as often.
Nobody can keep another's out by sending one with the same key first."""
NUMBER_MAX = 0xFFFF
"""Of a route distinguisher with an IPv4 address (RFC 4364 section 4.2, type 1)."""
STATIONS = 0x8000
"""What tells the number of a VNI's stations from the one of the VNI itself."""
ASN_SHORT_MAX = 0xFFFF


def route_key(route: EvpnRoute) -> RouteKey:
    """RFC 7432 section 7: of the fields of the NLRI, those that count; neither label nor ESI."""
    if isinstance(route, MacRoute):
        return mac_key(route.rd, route.mac, route.address)
    if isinstance(route, FloodRoute):
        return "flood", route.rd, route.originator
    return "prefix", route.rd, route.prefix


def mac_key(rd: str, mac: bytes, address: IPAddress | None) -> MacKey:
    return "mac", rd, mac, address


def target(asn: int, vni: int) -> RouteTarget:
    """As FRR derives it: next to a four-byte AS number there is no room for a VNI, so the number
    is cut to two bytes. Importing goes by the VNI alone."""
    return RouteTarget(asn & ASN_SHORT_MAX, vni)


def distinguishers(router_id: IPv4Address, vnis: Iterable[int]) -> dict[int, str]:
    """`router-id:VNI` where sixteen bits are enough, else the next number that is free, as is the
    one that follows from it for the stations of that VNI."""
    taken: set[int] = set()
    found: dict[int, str] = {}
    for vni in sorted(vnis):
        number = vni & NUMBER_MAX
        while number in taken or number in (0, STATIONS):
            number = (number + 1) & NUMBER_MAX
        taken |= {number, number ^ STATIONS}
        found[vni] = f"{router_id}:{number}"
    return found


@lru_cache(maxsize=256)
def stations_of(rd: str) -> str:
    """The route distinguisher that routes of type 2 have, next to the VNI's own: so all of them,
    and nothing else, can be withdrawn by it (mass.py)."""
    router_id, _, number = rd.rpartition(":")
    return f"{router_id}:{int(number) ^ STATIONS}" if rd else ""
