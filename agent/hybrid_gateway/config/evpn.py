# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP EVPN: who speaks it, with whom, and which prefixes go along."""

from collections.abc import Sequence
from ipaddress import IPv4Address

from ..model import (
    Evpn,
    EvpnDaemon,
    EvpnNeighbor,
    EvpnPrefixes,
    IPAddress,
    IPNetwork,
    Notice,
    Vxlan,
)
from . import endpoint
from .document import Document, Path

AT = "evpn"
OF_GOBGP = ("asn", "router-id", "neighbors", "hold-time", "restart-time", "port", "prefixes")
"""Keys that say what the daemon is to do, when it is ours."""
RESERVED = {23456: "AS_TRANS, which stands for others (RFC 6793)", 65535: "reserved (RFC 7300)"}
"""AS numbers of nobody."""


def evpn_of(document: Document, vxlan: Sequence[Vxlan], notices: list[Notice]) -> Evpn | None:
    """`evpn`; None when there is no such section, or nothing of it can be read."""
    if document.get(AT) is None:
        return None
    if not vxlan and not document.is_bad(("vxlan",)):
        message = "has no effect without vxlan: there is no segment to speak of"
        notices.append(Notice(document.where((AT,)), message))
    if document.get(AT, "daemon") == EvpnDaemon.FRR.value:
        for key in OF_GOBGP:
            if document.has(AT, key):
                message = "is FRR's to know: with daemon: frr nothing but the kernel is looked at"
                document.add((AT, key), message, "config.conflict")
        return Evpn(EvpnDaemon.FRR, line=document.line((AT,)))
    _require(document)
    asn = _asn(document, (AT, "asn")) or 0
    values = {
        name: value
        for name, key in (("hold_time", "hold-time"), ("restart_time", "restart-time"))
        if (value := document.get(AT, key)) is not None
    }
    if (port := document.get(AT, "port")) is not None:
        values["port"] = port
    return Evpn(
        asn=asn,
        router_id=_router_id(document),
        neighbors=_neighbors(document, asn, notices),
        prefixes=_prefixes(document),
        line=document.line((AT,)),
        **values,
    )


def _require(document: Document) -> None:
    """What gobgpd cannot do without."""
    for key in ("asn", "router-id"):
        if not document.has(AT, key):
            document.add((AT, key), "required, but missing", "config.missing-key")


def _asn(document: Document, path: Path) -> int | None:
    asn: int | None = document.get(*path)
    if asn in RESERVED:
        document.add(path, f"AS {asn} is {RESERVED[asn]}")
        return None
    return asn


def _router_id(document: Document) -> IPv4Address | None:
    text = document.get(AT, "router-id")
    return endpoint.address(document, (AT, "router-id"), text) if text else None


# ---- neighbors ------------------------------------------------------------------------


def _neighbors(document: Document, asn: int, notices: list[Notice]) -> tuple[EvpnNeighbor, ...]:
    found: dict[IPAddress, EvpnNeighbor] = {}
    for path, _ in document.under(AT, "neighbors"):
        neighbor = _neighbor(document, path, asn, notices)
        if neighbor is None:
            continue
        if before := found.get(neighbor.address):
            message = f"{neighbor.address} is on line {before.line} already"
            document.add((*path, "address"), message, "config.conflict")
            continue
        found[neighbor.address] = neighbor
    return tuple(found.values())


def _neighbor(
    document: Document, path: Path, asn: int, notices: list[Notice]
) -> EvpnNeighbor | None:
    text = document.get(*path, "address")
    address = endpoint.either_address(document, (*path, "address"), text) if text else None
    if address is None:
        return None
    its = _asn(document, (*path, "asn")) or asn
    multihop = document.get(*path, "multihop") or 0
    if multihop and its == asn:
        where = document.where((*path, "multihop"))
        notices.append(Notice(where, f"has no effect within AS {asn}: iBGP may take any way"))
    _check_passive(document, path)
    limit = document.get(*path, "routes-max")
    return EvpnNeighbor(
        address=address,
        asn=its,
        local=_local(document, (*path, "local"), address),
        pmsi_compat=document.get(*path, "pmsi-compat") is True,
        password=document.get(*path, "password") or "",
        multihop=multihop,
        passive=document.get(*path, "passive") is True,
        line=document.line(path),
        **({"port": port} if (port := document.get(*path, "port")) else {}),
        **({"routes_max": limit} if limit else {}),
    )


def _check_passive(document: Document, path: Path) -> None:
    if document.get(*path, "passive") is not True:
        return
    if document.get(AT, "port") == 0:
        message = "nobody can call where evpn.port is 0: that daemon does not listen"
        document.add((*path, "passive"), message, "config.conflict")
    elif document.has(*path, "port"):
        message = "has no meaning with passive: true, for it is not called"
        document.add((*path, "port"), message, "config.conflict")


def _local(document: Document, path: Path, address: IPAddress) -> IPAddress | None:
    text = document.get(*path)
    local = endpoint.either_address(document, path, text) if text else None
    if local and local.version != address.version:
        message = f"{local} is IPv{local.version}, and the neighbor has IPv{address.version}"
        document.add(path, message, "config.address")
    elif local and local == address:
        document.add(path, f"{local} is the neighbor itself", "config.conflict")
    return local


# ---- prefixes -------------------------------------------------------------------------


def _prefixes(document: Document) -> tuple[EvpnPrefixes, ...]:
    """One VNI and one table for each routing instance."""
    found: list[EvpnPrefixes] = []
    for path, _ in document.under(AT, "prefixes"):
        vni = document.get(*path, "vni")
        if vni is None:
            continue
        entry = EvpnPrefixes(
            vni,
            document.get(*path, "vrf") or "",
            _advertised(document, (*path, "advertise")),
            document.line(path),
        )
        for before in found:
            if entry.vni == before.vni:
                message = f"VNI {vni} is on line {before.line} already"
                document.add((*path, "vni"), message, "config.conflict")
            elif entry.vrf == before.vrf:
                table = f"VRF {entry.vrf}" if entry.vrf else "the main table"
                key = "vrf" if entry.vrf else "vni"
                message = f"{table} is that of VNI {before.vni}, on line {before.line}"
                document.add((*path, key), message, "config.conflict")
        found.append(entry)
    return tuple(found)


def _advertised(document: Document, path: Path) -> tuple[IPNetwork, ...]:
    found: dict[IPNetwork, None] = {}
    for item, text in document.under(*path):
        prefix = endpoint.prefix(document, item, text)
        if prefix in found:
            document.add(item, f"{prefix} is in the list already", "config.conflict")
        elif prefix:
            found[prefix] = None
    return tuple(found)
