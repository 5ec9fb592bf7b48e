# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs at the three sites: an agent with its daemons, or gobgpd and Linux alone."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import leftovers
from .bgp import BgpProcess
from .daemon import Daemon
from .extension import ExtendedLab, extend
from .gateway import GatewayProcess
from .namespaces import write_sysctl
from .network import Lab
from .places import PYTHON
from .sites import (
    ACCESS,
    ASN,
    SITES,
    UPLINK,
    VNI,
    VXLAN,
    Family,
    Kind,
    Site,
    peers_of,
    three_sites,
)
from .worker import WorkerProcess

GATEWAY_SYSCTLS = {
    "net/ipv6/conf/all/forwarding": "1",
    # What takes a port's place has its addresses at once, not after two seconds.
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
_XDP_PORTS = "".join(f"  {port}: {{device: {port}, plane: xdp}}\n" for port in (ACCESS, UPLINK))
_WORKER_PORTS = "".join(
    f'  {port}: {{vdev: "net_af_packet{number},iface={port}", plane: dpdk}}\n'
    for number, port in enumerate((ACCESS, UPLINK))
)
_WORKER = "worker: {hugepages: 160M, routes: {ipv4: 1000, ipv6: 1000}}\n"


def configuration(site: Site, *sections: str) -> str:
    """The segment, by the site's own kind of ports, and further sections."""
    ports = _XDP_PORTS
    head = "version: 1\n"
    if site.kind is Kind.WORKER:
        head, ports = head + _WORKER, _WORKER_PORTS
    vxlan = f"vxlan:\n  - {{device: {VXLAN}, vni: {VNI}}}\n"
    return f"{head}ports:\n{ports}{vxlan}{''.join(sections)}"


def evpn_section(site: Site, peers: Sequence[Site], family: Family = Family.IPV6) -> str:
    """iBGP with every other site."""
    lines = [f"    - {{address: {_quoted(peer.vtep(family))}}}\n" for peer in peers]
    return (
        f"evpn:\n  asn: {ASN}\n  router-id: {site.router_id}\n  hold-time: 3\n"
        f"  neighbors:\n{''.join(lines)}"
    )


def _quoted(address: str) -> str:
    return f'"{address}"'


class SiteLab(Lab):
    """A site as its own agent sees it: an instance of its own, whose `gw` is the site's gateway."""

    def __init__(self, lab: Lab, site: Site) -> None:
        super().__init__(f"{lab.name}-{site.gateway}", lab.directory / site.gateway)
        self._lab = lab
        self.site = site

    def namespace(self, host: str) -> str:
        return self._lab.namespace(self.site.gateway if host == "gw" else host)

    def prepare(self, text: str) -> None:
        """Its configuration, and the settings that a gateway has; the devices are there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)
        for key, value in GATEWAY_SYSCTLS.items():
            write_sysctl(self.namespace("gw"), key, value)

    def down(self) -> None:
        """The namespaces are the extension's."""
        shutil.rmtree(self.directory, ignore_errors=True)


class PlainProcess(Daemon):
    """EVPN at a site of plain Linux, by gobgpd as an independent peer: see plain.py."""

    name = "plain"

    def __init__(self, lab: SiteLab, peers: Sequence[Site], family: Family = Family.IPV6) -> None:
        super().__init__(lab)
        self._site = lab.site
        self._peers = [peer.vtep(family) for peer in peers]
        self._vtep = lab.site.vtep(family)

    def argv(self) -> Sequence[str]:
        argv = [PYTHON, "-I", str(Path(__file__).with_name("plain.py"))]
        argv += ["--instance", self._lab.name, "--directory", str(self._lab.directory)]
        argv += ["--vtep", self._vtep, "--vni", str(VNI), "--device", VXLAN, "--access", ACCESS]
        argv += ["--asn", str(ASN), "--router-id", self._site.router_id]
        return argv + [word for peer in self._peers for word in ("--peer", peer)]


def plain_target(place: SiteLab) -> str:
    """Of a plain site, for `gobgp --target`."""
    return f"unix://{place.directory}/bgp.sock"


def daemons(place: SiteLab, peers: Sequence[Site], family: Family = Family.IPV6) -> list[Daemon]:
    """What runs there, in the order of its start."""
    if place.site.kind is Kind.KERNEL:
        return [PlainProcess(place, peers, family)]
    workers = [WorkerProcess(place)] if place.site.kind is Kind.WORKER else []
    return [BgpProcess(place), *workers, GatewayProcess(place)]


def prepare(place: SiteLab, peers: Sequence[Site], family: Family = Family.IPV6) -> None:
    """The configuration of what runs there."""
    ours = place.site.kind is not Kind.KERNEL
    place.prepare(
        configuration(place.site, evpn_section(place.site, peers, family)) if ours else ""
    )


def stand(lab: Lab, family: Family = Family.IPV6) -> ExtendedLab:
    """The three sites, until the lab goes down; nothing runs there yet."""
    built = extend(lab, three_sites(family))
    for site in SITES:
        prepare(SiteLab(built, site), peers_of(site), family)
    return built


def start(lab: Lab, family: Family = Family.IPV6) -> list[Daemon]:
    """All that runs at them."""
    started = []
    for site in SITES:
        for daemon in daemons(SiteLab(lab, site), peers_of(site), family):
            daemon.start()
            started.append(daemon)
    return started


def runs(lab: Lab) -> bool:
    """Whether there is an agent at any of them."""
    return any(leftovers.agent_pids(SiteLab(lab, site).name) for site in SITES)


def remove(lab: Lab, sites: Sequence[Site] = SITES) -> None:
    """What runs at the sites of a lab; its namespaces go with the lab."""
    for site in sites:
        leftovers.remove(SiteLab(lab, site))
