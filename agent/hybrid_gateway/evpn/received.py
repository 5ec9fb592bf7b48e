# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN routes as gobgpd tells them. Whatever a neighbour sent: nothing here raises for it.

Reasons for a refusal are a fixed set, without values of the sender's choice, so that counting them
takes no more memory than there are reasons.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from google.protobuf.message import DecodeError
from gw_gobgp import attribute_pb2 as wire
from gw_gobgp import gobgp_pb2 as api

from ..model import (
    EvpnRoute,
    FloodRoute,
    IPAddress,
    MacRoute,
    PrefixRoute,
    RouteChange,
    RouteRefused,
    RouteTarget,
)
from .attributes import GONE, INGRESS_REPLICATION, TUNNEL_VXLAN
from .codec import COMPAT_FLOOD

_NOWHERE = IPv4Address(0)
_ROUTE_TARGET = 2
"""Subtype (RFC 4360 section 4)."""

COMMUNITIES_MAX = 64
"""Extended ones of a route. A message has room for some 500 of them, which take 60 kB here, of each
route; nobody needs a tenth of that."""


class _Refused(Exception):
    """With the reason."""


@dataclass(frozen=True, slots=True)
class _Communities:
    """What the extended communities of a route say."""

    targets: tuple[RouteTarget, ...] = ()
    tunnel: int | None = None
    sequence: int = 0
    sticky: bool = False
    router_mac: bytes = b""
    gone: tuple[str, ...] = ()


def received(path: api.Path) -> list[RouteChange | RouteRefused]:
    """What one of gobgpd's best paths means.

    A route that is refused takes the place of the one that its neighbour sent before, which is
    then withdrawn. Nothing at all comes of the withdrawal of a route that was refused, and of our
    own type-3 routes in their compatible form.
    """
    peer = _peer(path.neighbor_ip)
    try:
        key = _key(path.nlri)
    except (_Refused, DecodeError, ValueError) as error:
        return [] if path.is_withdraw else [RouteRefused(_reason(error), peer)]
    gone = RouteChange(key, withdrawn=True, peer=peer)
    try:
        found = {_kind(attribute): attribute.value for attribute in path.pattrs}
        if peer is None and _is_compatible_form(found.get("CommunitiesAttribute", b"")):
            return []
        if path.is_withdraw or path.is_nexthop_invalid:
            return [gone]
        return [RouteChange(_complete(key, found), peer=peer)]
    except (_Refused, DecodeError, ValueError) as error:
        return [gone] if path.is_withdraw else [gone, RouteRefused(_reason(error), peer)]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _Refused) else "malformed"


@lru_cache(maxsize=1024)
def _peer(text: str) -> IPAddress | None:
    """None: gobgpd has it from us, and writes `<nil>`."""
    try:
        return ip_address(text)
    except ValueError:
        return None


# ---- NLRI ------------------------------------------------------------------------------


def _key(nlri: Any) -> EvpnRoute:
    """A route with what the NLRI has, which is all that a withdrawal needs."""
    read = _READERS.get(_kind(nlri))
    if read is None:
        raise _Refused("of a route type that is not used")
    return read(nlri.value)


def _kind(value: Any) -> str:
    return str(value.type_url.rpartition(".")[2])


def _mac_key(value: bytes) -> MacRoute:
    nlri = wire.EVPNMACIPAdvertisementRoute.FromString(value)
    mac = bytes.fromhex(nlri.mac_address.replace(":", ""))
    if nlri.ethernet_tag:
        raise _Refused("its Ethernet tag is not 0")
    if len(mac) != 6 or not nlri.labels:
        raise ValueError
    return MacRoute(
        rd=_distinguisher(nlri.rd.type_url, nlri.rd.value),
        mac=mac,
        vni=nlri.labels[0],
        next_hop=_NOWHERE,
        targets=(),
        address=_address(nlri.ip_address),
        l3vni=nlri.labels[1] if len(nlri.labels) > 1 else 0,
        esi=_esi(nlri.esi),
    )


def _flood_key(value: bytes) -> FloodRoute:
    nlri = wire.EVPNInclusiveMulticastEthernetTagRoute.FromString(value)
    if nlri.ethernet_tag:
        raise _Refused("its Ethernet tag is not 0")
    return FloodRoute(
        rd=_distinguisher(nlri.rd.type_url, nlri.rd.value),
        originator=ip_address(nlri.ip_address),
        vni=0,
        next_hop=_NOWHERE,
        targets=(),
    )


def _prefix_key(value: bytes) -> PrefixRoute:
    nlri = wire.EVPNIPPrefixRoute.FromString(value)
    if nlri.ethernet_tag:
        raise _Refused("its Ethernet tag is not 0")
    gateway = _address(nlri.gw_address)
    return PrefixRoute(
        rd=_distinguisher(nlri.rd.type_url, nlri.rd.value),
        prefix=ip_network(f"{nlri.ip_prefix}/{nlri.ip_prefix_len}"),
        vni=nlri.label,
        next_hop=_NOWHERE,
        targets=(),
        gateway=None if gateway is None or gateway.is_unspecified else gateway,
    )


_READERS: dict[str, Callable[[bytes], EvpnRoute]] = {
    "EVPNMACIPAdvertisementRoute": _mac_key,
    "EVPNInclusiveMulticastEthernetTagRoute": _flood_key,
    "EVPNIPPrefixRoute": _prefix_key,
}


@lru_cache(maxsize=4096)
def _distinguisher(type_url: str, value: bytes) -> str:
    kind = type_url.rpartition(".")[2]
    reader = getattr(wire, kind, None) if kind.startswith("RouteDistinguisher") else None
    if reader is None:
        raise ValueError
    rd = reader.FromString(value)
    return f"{rd.admin}:{rd.assigned}"


def _address(text: str) -> IPAddress | None:
    return None if text in ("", "<nil>") else ip_address(text)


def _esi(esi: Any) -> str:
    value = bytes((esi.type,)) + esi.value
    return value.hex(":") if any(value) else ""


# ---- attributes ------------------------------------------------------------------------


def _complete(key: EvpnRoute, found: dict[str, bytes]) -> EvpnRoute:
    said = _communities(found.get("ExtendedCommunitiesAttribute", b""))
    if said.tunnel not in (None, TUNNEL_VXLAN):
        raise _Refused("its encapsulation is not VXLAN")
    next_hop = _next_hop(found.get("MpReachNLRIAttribute", b""))
    if isinstance(key, MacRoute):
        return replace(
            key,
            next_hop=next_hop,
            targets=said.targets,
            sequence=said.sequence,
            sticky=said.sticky,
            router_mac=said.router_mac,
        )
    if isinstance(key, PrefixRoute):
        return replace(key, next_hop=next_hop, targets=said.targets, router_mac=said.router_mac)
    vni = _flood_vni(found.get("PmsiTunnelAttribute"))
    return replace(key, vni=vni, next_hop=next_hop, targets=said.targets, gone=said.gone)


def _next_hop(value: bytes) -> IPAddress:
    hops = wire.MpReachNLRIAttribute.FromString(value).next_hops
    return _vtep(hops[0] if hops else "::")


@lru_cache(maxsize=4096)
def _vtep(text: str) -> IPAddress:
    hop = ip_address(text)
    if hop.is_unspecified or hop.is_multicast or hop.is_loopback or hop.is_link_local:
        raise _Refused("its next hop is no unicast address")
    return hop


def _flood_vni(value: bytes | None) -> int:
    """The VTEP is the next hop, whatever the tunnel's identifier says."""
    if value is None:
        raise _Refused("without a PMSI tunnel")
    pmsi = wire.PmsiTunnelAttribute.FromString(value)
    if pmsi.type != INGRESS_REPLICATION:
        raise _Refused("its PMSI tunnel is not for ingress replication")
    return int(pmsi.label)


@lru_cache(maxsize=64)
def _is_compatible_form(value: bytes) -> bool:
    return COMPAT_FLOOD in wire.CommunitiesAttribute.FromString(value).communities


@lru_cache(maxsize=4096)
def _communities(value: bytes) -> _Communities:
    """Routes of one VTEP and VNI have the same ones; the cache saves most of the decoding."""
    targets: list[RouteTarget] = []
    gone: list[str] = []
    more: dict[str, Any] = {}
    communities = wire.ExtendedCommunitiesAttribute.FromString(value).communities
    if len(communities) > COMMUNITIES_MAX:
        raise _Refused("more extended communities than it may have")
    for one in communities:
        kind = _kind(one)
        if kind in ("TwoOctetAsSpecificExtended", "FourOctetAsSpecificExtended"):
            as_specific = getattr(wire, kind).FromString(one.value)
            if as_specific.sub_type == _ROUTE_TARGET and as_specific.is_transitive:
                targets.append(RouteTarget(as_specific.asn, as_specific.local_admin))
        elif kind == "IPv4AddressSpecificExtended":
            ip4 = wire.IPv4AddressSpecificExtended.FromString(one.value)
            if ip4.sub_type == _ROUTE_TARGET and ip4.is_transitive:
                targets.append(RouteTarget(int(IPv4Address(ip4.address)), ip4.local_admin))
        elif kind == "EncapExtended":
            more["tunnel"] = wire.EncapExtended.FromString(one.value).tunnel_type
        elif kind == "MacMobilityExtended":
            mobility = wire.MacMobilityExtended.FromString(one.value)
            more |= {"sequence": mobility.sequence_num, "sticky": mobility.is_sticky}
        elif kind == "RouterMacExtended":
            mac = wire.RouterMacExtended.FromString(one.value).mac
            more["router_mac"] = bytes.fromhex(mac.replace(":", ""))
        elif kind == "UnknownExtended":
            unknown = wire.UnknownExtended.FromString(one.value)
            if (unknown.type, *unknown.value[:1]) == GONE and len(unknown.value) == 7:
                address, number = unknown.value[1:5], unknown.value[5:]
                gone.append(f"{IPv4Address(address)}:{int.from_bytes(number, 'big')}")
    return _Communities(targets=tuple(targets), gone=tuple(gone), **more)
