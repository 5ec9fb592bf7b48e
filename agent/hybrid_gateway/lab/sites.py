# SPDX-License-Identifier: GPL-2.0-or-later
"""Three sites of one Ethernet segment, VNI 550, over a routed underlay of IPv6 and IPv4.

    host1  eth0 .11 ── seg0 ┐                                  up0 ── b1 ┐
                            ├ br50: vni550  site1  2001:db8:0:1::11      │
    host2  eth0 .12 ── seg0 ┐                                  up0 ── b2 ┤ backbone
                            ├ br50: vni550  site2  2001:db8:0:2::11      │
    host3  eth0 .13 ── seg0 ┐                                  up0 ── b3 ┘
                            ├ br50: vni550  site3  2001:db8:0:3::11

Every link carries 1500 bytes, and so does the segment. The sites have nothing of the lab's own
gateway: each has an instance by its own name, if it has a gateway of ours at all. They differ in
who forwards there, see `Kind`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Interface, ip_interface

from .extension import PLAIN, Cable, End, Extension
from .network import Lab
from .second import BRIDGE_KIND, QUIET
from .topology import OFFLOADS, Interface

VNI, BRIDGE, VXLAN, ACCESS, UPLINK = 550, "br50", "vni550", "seg0", "up0"
ASN = 64512
MTU = 1500
"""Bytes of the longest packet on any link, and on the segment."""
BACKBONE = "backbone"


class Kind(Enum):
    """Who forwards at a site."""

    XDP = "xdp"
    WORKER = "worker"
    KERNEL = "kernel"
    """Linux alone: a bridge with a VXLAN device."""


class Family(Enum):
    """What the sites are joined over."""

    IPV4 = 4
    IPV6 = 6


ENCAPSULATION = {Family.IPV4: 50, Family.IPV6: 70}
"""Bytes that VXLAN puts before a packet of the segment: outer IP, UDP, VXLAN, Ethernet."""


@dataclass(frozen=True, slots=True)
class Site:
    """One of them, by its number."""

    number: int
    kind: Kind = Kind.KERNEL

    @property
    def gateway(self) -> str:
        """The namespace of its VTEP."""
        return f"site{self.number}"

    @property
    def host(self) -> Interface:
        """Its station."""
        n = self.number
        network = IPv4Interface(f"198.18.50.{10 + n}/24")
        return Interface(f"host{n}", "eth0", f"02:00:c6:12:32:{10 + n:02x}", network)

    @property
    def host6(self) -> str:
        return f"2001:db8:50::{10 + self.number:x}"

    @property
    def router_id(self) -> str:
        return self.vtep(Family.IPV4)

    def vtep(self, family: Family = Family.IPV6) -> str:
        if family is Family.IPV6:
            return f"2001:db8:0:{self.number}::11"
        return f"{_NETWORKS[self.number - 1]}.11"

    @property
    def uplink(self) -> Interface:
        """Its port toward the backbone."""
        network = IPv4Interface(f"{self.vtep(Family.IPV4)}/24")
        return Interface(self.gateway, UPLINK, f"02:00:0b:b8:0{self.number}:11", network)

    @property
    def router(self) -> Interface:
        """The backbone's end of that."""
        network = IPv4Interface(f"{_NETWORKS[self.number - 1]}.254/24")
        return Interface(BACKBONE, f"b{self.number}", f"02:00:0b:b8:0{self.number}:fe", network)

    @property
    def router6(self) -> str:
        return f"2001:db8:0:{self.number}::fe"


_NETWORKS = ("192.0.2", "198.51.100", "203.0.113", "198.19.4")
"""The fourth is for tests that want one site more."""
SITES = (Site(1, Kind.XDP), Site(2, Kind.WORKER), Site(3, Kind.KERNEL))


def three_sites(
    family: Family = Family.IPV6, sites: Sequence[Site] = SITES, *, learning: bool = False
) -> Extension:
    """With `learning` the VXLAN devices learn stations from what arrives, as without EVPN."""
    cables = [cable for site in sites for cable in _cables(site)]
    return Extension(
        centres=(BACKBONE,),
        cables=cables,
        routers=(BACKBONE,),
        links=[link for site in sites for link in _links(site, family, learning)],
        settings=[setting for site in sites for setting in _settings(site, family, learning)],
        routes=[route for site in sites for route in _routes(site, sites)],
    )


def _cables(site: Site) -> tuple[Cable, Cable]:
    # XDP redirects into the other end of a cable, which takes GRO there; a packet socket, as the
    # worker's ports are, must not get segments that were joined.
    offloads = OFFLOADS if site.kind is Kind.XDP else PLAIN
    uplink, router, host = site.uplink, site.router, site.host
    return (
        Cable(
            End(BACKBONE, router.device, _networks(router, site.router6), f"address {router.mac}"),
            End(site.gateway, UPLINK, _networks(uplink, site.vtep()), f"address {uplink.mac}"),
            offloads=offloads,
        ),
        Cable(
            End(site.gateway, ACCESS, attributes=QUIET),
            End(
                host.host,
                host.device,
                _networks(host, site.host6),
                f"address {host.mac} {QUIET}",
            ),
            offloads=offloads,
        ),
    )


def _routes(site: Site, sites: Sequence[Site]) -> list[tuple[str, str, str]]:
    """To the other sites: BGP daemons take no default route for a way to a next hop."""
    return [
        (site.gateway, str(ip_interface(f"{address}/{length}").network), via)
        for peer in peers_of(site, sites)
        for address, length, via in (
            (peer.vtep(Family.IPV4), 24, site.router.ip),
            (peer.vtep(Family.IPV6), 64, site.router6),
        )
    ]


def _networks(end: Interface, address6: str) -> tuple[str, str]:
    return str(end.network), f"{address6}/64"


def _links(site: Site, family: Family, learning: bool) -> list[tuple[str, str, str]]:
    return [
        (site.gateway, BRIDGE, BRIDGE_KIND),
        (site.gateway, VXLAN, vxlan_kind(site.vtep(family), learning=learning)),
    ]


def vxlan_kind(local: str, *, learning: bool = False, vni: int = VNI) -> str:
    """A device that sends to nobody by itself: its FDB says where stations and VTEPs are."""
    word = "learning" if learning else "nolearning"
    return f"type vxlan id {vni} local {local} dstport 4789 {word}"


def _settings(site: Site, family: Family, learning: bool) -> list[tuple[str, str]]:
    lines = [
        f"link set {VXLAN} {QUIET} mtu 1500 master {BRIDGE} up",
        f"link set {BRIDGE} {QUIET} up",
        f"link set {ACCESS} master {BRIDGE}",
    ]
    if not learning:
        lines.append(f"link set {VXLAN} type bridge_slave learning off neigh_suppress on")
    settings = [(site.gateway, line) for line in lines]
    return settings + (_narrow(site, family) if site.kind is Kind.KERNEL else [])


def _narrow(site: Site, family: Family) -> list[tuple[str, str]]:
    """What the station of a plain site sends fits the underlay with all headers around it: the
    kernel's VXLAN device cannot cut over IPv6, and drops without a word. It hears 1500 bytes."""
    mtu = MTU - ENCAPSULATION[family]
    host = site.host
    networks = (ip_interface(one) for one in _networks(host, site.host6))
    return [
        (host.host, f"route replace {one.network} dev {host.device} src {one.ip} mtu {mtu}")
        for one in networks
    ]


def flood_to(lab: Lab, site: Site, *vteps: str) -> None:
    """Static VTEPs: what the segment's device sends when it does not know where to."""
    for vtep in vteps:
        entry = f"bridge fdb append 00:00:00:00:00:00 dev {VXLAN} dst {vtep} self permanent"
        lab.run(site.gateway, entry.split())


def peers_of(site: Site, sites: Sequence[Site] = SITES) -> list[Site]:
    return [other for other in sites if other.number != site.number]
