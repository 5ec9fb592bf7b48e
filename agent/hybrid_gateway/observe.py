# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the system once: what a plan starts from."""

import socket
from dataclasses import replace
from enum import Flag, auto

from . import bypass, segment_tables, sysctl
from .bpf import DataPlane
from .devices import HIDING, Ethtool
from .evpn.entries import ROUTE_PROTOCOL
from .mirror import Mirror
from .model import (
    Config,
    IPNetwork,
    Link,
    NextHop,
    Observed,
    Offload,
    Plane,
    VtepRoute,
    Wanted,
    Written,
    heard_bridge,
)
from .netlink import NUD_NOARP, NUD_PERMANENT, Netlink
from .nft import Nft
from .prefix_routes import PrefixRoutes
from .resolve_evpn import section_of, table_of
from .restore import RestoreFile
from .vtep_routes import VtepRoutes
from .worker_view import WorkerView

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def _family(route: VtepRoute) -> int:
    """Of the next hop: an IPv4 route may go by an IPv6 router."""
    return (route.gateway or route.vtep).version


def _hearing(links: tuple[Link, ...]) -> tuple[frozenset[int], frozenset[int]]:
    """Bridges that hear by a TAP, and those that have one in whatever state."""
    taps = [link for link in links if heard_bridge(link.name) is not None]
    if not taps:
        return frozenset(), frozenset()
    # Imported here: only a gateway with a worker pays for it.
    from .devices import heard

    return heard.observe(taps)


class Part(Flag):
    """What an event can have changed."""

    LINKS = auto()
    """And with them everything else, which hangs on device numbers."""
    ADDRESSES = auto()
    ROUTES = auto()
    NEIGHBOURS = auto()
    TABLE = auto()
    TC = auto()
    """Filters, ours among them, and qdiscs."""
    VTEPS = auto()
    """Which of them the mirror knows."""
    WORKER = auto()
    """Its process, and what was taken from the kernel for it."""
    ALL = LINKS | ADDRESSES | ROUTES | NEIGHBOURS | TABLE | TC | VTEPS | WORKER


class Observer:
    """Looks; changes nothing."""

    def __init__(
        self,
        dataplane: DataPlane,
        netlink: Netlink,
        nft: Nft,
        mirror: Mirror,
        restore: RestoreFile,
        worker: WorkerView,
    ) -> None:
        self._dataplane = dataplane
        self._worker = worker
        self._mirror = mirror
        self._routes = VtepRoutes(netlink)
        self._prefixes = PrefixRoutes()
        self._netlink = netlink
        self._nft = nft
        self._restore = restore
        self._last: Observed | None = None
        self._config: Config | None = None

    def observe(
        self,
        config: Config | None,
        written: Written,
        parts: Part = Part.ALL,
        *,
        asked: int = 0,
    ) -> Observed:
        """Everything that the plan for this configuration can hang on; None: for no plan.

        Without ALL only the named parts are read anew, the rest is as it was last time. `asked`:
        the worker is looked at, so often, whatever was thought of it before.
        """
        if parts & Part.LINKS or self._last is None or config is not self._config:
            self._last = self._everything(config, written)
            worker = self._worker.look(config, asked=asked)
            self._last = replace(self._last, worker=worker)
            self._config = config
            return self._last
        last = self._last
        outside, inside = self._outside(config, last.links), self._inside(config, last.links)
        if parts & Part.ADDRESSES:
            addresses, addresses6 = self._netlink.addresses(), self._netlink.addresses6()
            last = replace(last, addresses=addresses, addresses6=addresses6)
        if parts & Part.ROUTES:
            last = replace(
                last,
                routes=self._netlink.routes(inside | outside),
                present=self._present(config, last.links),
            )
        if parts & (Part.ROUTES | Part.VTEPS):
            last = replace(last, vteps=self._vteps(anew=bool(parts & Part.ROUTES)))
        if parts & Part.TABLE:
            last = replace(last, table=self._nft.fingerprint())
        if parts & Part.TC:
            last = self._with_programs(last)
        if parts & Part.WORKER:
            last = replace(last, worker=self._worker.look(config))
        self._last = replace(
            last,
            managed=self._managed(outside, last.vteps),
            managed_changed=frozenset(self._restore.changes.managed),
            written=written,
        )
        return self._last

    def _everything(self, config: Config | None, written: Written) -> Observed:
        links = self._netlink.links()
        outside = self._outside(config, links)
        inside = self._inside(config, links)
        changes = self._restore.changes
        vteps = self._vteps(anew=True)
        observed = Observed(
            links=links,
            addresses=self._netlink.addresses(),
            addresses6=self._netlink.addresses6(),
            vteps=vteps,
            any_path=self._netlink.any_path(),
            routes=self._netlink.routes(inside | outside),
            present=self._present(config, links),
            offloads=self._offloads(config, links),
            offloads_changed=tuple(sorted(changes.offloads)),
            sysctls=sysctl.observe(changes),
            sysctls_changed=tuple(sorted(changes.sysctls)),
            table=self._nft.fingerprint(),
            managed=self._managed(outside, vteps),
            managed_changed=frozenset(changes.managed),
            written=written,
        )
        return self._with_programs(observed)

    def _with_programs(self, observed: Observed) -> Observed:
        attached = self._dataplane.attached()
        hearing, hearing_left = _hearing(observed.links)
        return replace(
            observed,
            heard=hearing,
            heard_left=hearing_left,
            attached=tuple(sorted(attached.items())),
            handover=self._dataplane.with_filter(attached, egress=False),
            guard=self._dataplane.with_filter(attached, egress=True),
            tunnels=self._dataplane.tunnels(),
            tunnels_left=self._dataplane.tunnels(current=False),
        )

    def close(self) -> None:
        self._prefixes.close()

    def forget(self) -> None:
        """The next look is at everything: something was changed."""
        self._last = None

    @staticmethod
    def _ports(config: Config | None, links: tuple[Link, ...]) -> tuple[Link, ...]:
        names = {port.device for port in config.ports_of(Plane.XDP)} if config else set()
        return tuple(link for link in links if link.name in names)

    @staticmethod
    def _outside(config: Config | None, links: tuple[Link, ...]) -> frozenset[int]:
        port = config.outside_port if config else None
        return frozenset(link.ifindex for link in links if port and link.name == port.device)

    @staticmethod
    def _inside(config: Config | None, links: tuple[Link, ...]) -> frozenset[int]:
        names = config.nat44.inside if config and config.nat44 else ()
        return frozenset(link.ifindex for link in links if link.name in names)

    @classmethod
    def _offloads(cls, config: Config | None, links: tuple[Link, ...]) -> tuple[Offload, ...]:
        """Of ports, and of bridges that VXLAN devices are ports of."""
        wanted: dict[Link, tuple[str, ...]] = dict.fromkeys(cls._ports(config, links), HIDING)
        if config and config.vxlan:
            tunnels = {entry.device for entry in config.vxlan}
            bridges = {link.master for link in links if link.name in tunnels}
            wanted = {link: (*HIDING, *sorted(segment_tables.MERGING)) for link in wanted}
            whole = tuple(sorted(segment_tables.WHOLE))
            wanted |= {link: whole for link in links if link.ifindex in bridges}
        with Ethtool() as tool:
            return tuple(
                Offload(link.ifindex, link.name, feature, on)
                for link, names in wanted.items()
                for feature, on in sorted(tool.features(link.name, names).items())
            )

    def _present(
        self, config: Config | None, links: tuple[Link, ...]
    ) -> frozenset[tuple[int, IPNetwork]]:
        """By table, of the prefixes that EVPN is to advertise."""
        section = section_of(config)
        return frozenset(
            (table, prefix)
            for entry in (section.prefixes if section else ())
            if entry.advertise and (table := table_of(entry, links)) is not None
            for prefix in self._prefixes.present(table, entry.advertise, ROUTE_PROTOCOL)
        )

    def _vteps(self, *, anew: bool) -> tuple[VtepRoute, ...]:
        return self._routes.look(self._mirror.vteps(), anew=anew)

    def _managed(self, outside: frozenset[int], vteps: tuple[VtepRoute, ...]) -> frozenset[NextHop]:
        """A permanent entry never ages either, and is the owner's: nothing to do for it."""
        wanted = {(ifindex, 4) for ifindex in outside}
        wanted |= {(route.ifindex, _family(route)) for route in vteps if route.ifindex}
        return frozenset(
            NextHop(neighbour.ifindex, neighbour.address)
            for ifindex, family in wanted
            for neighbour in self._netlink.neighbours(ifindex, FAMILIES[family])
            if neighbour.managed or neighbour.state & (NUD_PERMANENT | NUD_NOARP)
        )

    # ---- what stands in the way -------------------------------------------------------

    def bypassed(self, config: Config, links: tuple[Link, ...]) -> list[str]:
        """Names of the owner's chains and qdiscs that XDP or the worker goes past."""
        names = {port.device or port.iface or port.name for port in config.ports}
        names |= {one.tap for one in self._worker.taken()}
        names |= {entry.device for entry in config.vxlan}
        names |= set(config.nat44.inside) if config.nat44 else set()
        vxlan = {entry.device for entry in config.vxlan}
        passed = bypass.hooks(
            nat=config.nat44 is not None,
            families=frozenset(k.vxlan.family for k in links if k.vxlan and k.name in vxlan),
            bridged=bypass.bridges_call_ip(links),
            worker=config.worker is not None,
        )
        if not passed:
            return []
        return [
            *bypass.chains(self._nft.base_chains(), frozenset(names), passed),
            *bypass.legacy_tables(passed),
            *bypass.qdiscs(self._netlink.qdiscs(), links, frozenset(names)),
        ]

    def refuse_bypass(self, config: Config, links: tuple[Link, ...]) -> None:
        """RefusedError naming all of them that the configuration does not accept."""
        bypass.refuse(self.bypassed(config, links), config)

    def foreign_programs(self, wanted: Wanted) -> None:
        """RefusedError when a port carries an XDP program that is not ours."""
        for port in wanted.attachments:
            self._dataplane.refuse_foreign(port.ifindex, port.name)
