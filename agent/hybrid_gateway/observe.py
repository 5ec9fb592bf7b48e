# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the system once: what a plan starts from."""

from dataclasses import replace
from enum import Flag, auto

from . import bypass, sysctl
from .bpf import DataPlane
from .devices import Ethtool
from .model import Config, Link, NextHop, Observed, Offload, Wanted, Written
from .netlink import NUD_NOARP, NUD_PERMANENT, Netlink
from .nft import Nft
from .restore import RestoreFile


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
    ALL = LINKS | ADDRESSES | ROUTES | NEIGHBOURS | TABLE | TC


class Observer:
    """Looks; changes nothing."""

    def __init__(
        self, dataplane: DataPlane, netlink: Netlink, nft: Nft, restore: RestoreFile
    ) -> None:
        self._dataplane = dataplane
        self._netlink = netlink
        self._nft = nft
        self._restore = restore
        self._last: Observed | None = None
        self._config: Config | None = None

    def observe(self, config: Config | None, written: Written, parts: Part = Part.ALL) -> Observed:
        """Everything that the plan for this configuration can hang on; None: for no plan.

        Without ALL only the named parts are read anew, the rest is as it was last time.
        """
        if parts & Part.LINKS or self._last is None or config is not self._config:
            self._last = self._everything(config, written)
            self._config = config
            return self._last
        last = self._last
        outside, inside = self._outside(config, last.links), self._inside(config, last.links)
        if parts & Part.ADDRESSES:
            last = replace(last, addresses=self._netlink.addresses())
        if parts & Part.ROUTES:
            last = replace(last, routes=self._netlink.routes(inside | outside))
        if parts & Part.TABLE:
            last = replace(last, table=self._nft.fingerprint())
        if parts & Part.TC:
            last = self._with_programs(last)
        self._last = replace(
            last,
            managed=self._managed(outside),
            managed_changed=frozenset(self._restore.changes.managed),
            written=written,
        )
        return self._last

    def _everything(self, config: Config | None, written: Written) -> Observed:
        links = self._netlink.links()
        ports = self._ports(config, links)
        outside = self._outside(config, links)
        inside = self._inside(config, links)
        changes = self._restore.changes
        observed = Observed(
            links=links,
            addresses=self._netlink.addresses(),
            routes=self._netlink.routes(inside | outside),
            offloads=self._offloads(ports),
            offloads_changed=tuple(sorted(changes.offloads)),
            sysctls=sysctl.observe(changes),
            sysctls_changed=tuple(sorted(changes.sysctls)),
            table=self._nft.fingerprint(),
            managed=self._managed(outside),
            managed_changed=frozenset(changes.managed),
            written=written,
        )
        return self._with_programs(observed)

    def _with_programs(self, observed: Observed) -> Observed:
        attached = self._dataplane.attached()
        return replace(
            observed,
            attached=tuple(sorted(attached.items())),
            handover=self._dataplane.with_filter(attached, egress=False),
            guard=self._dataplane.with_filter(attached, egress=True),
        )

    def forget(self) -> None:
        """The next look is at everything: something was changed."""
        self._last = None

    @staticmethod
    def _ports(config: Config | None, links: tuple[Link, ...]) -> tuple[Link, ...]:
        names = {port.device for port in config.ports} if config else set()
        return tuple(link for link in links if link.name in names)

    @staticmethod
    def _outside(config: Config | None, links: tuple[Link, ...]) -> frozenset[int]:
        port = config.outside_port if config else None
        return frozenset(link.ifindex for link in links if port and link.name == port.device)

    @staticmethod
    def _inside(config: Config | None, links: tuple[Link, ...]) -> frozenset[int]:
        names = config.nat44.inside if config and config.nat44 else ()
        return frozenset(link.ifindex for link in links if link.name in names)

    @staticmethod
    def _offloads(ports: tuple[Link, ...]) -> tuple[Offload, ...]:
        with Ethtool() as tool:
            return tuple(
                Offload(link.ifindex, link.name, feature, on)
                for link in ports
                for feature, on in sorted(tool.features(link.name).items())
            )

    def _managed(self, ifindexes: frozenset[int]) -> frozenset[NextHop]:
        """A permanent entry never ages either, and is the owner's: nothing to do for it."""
        return frozenset(
            NextHop(neighbour.ifindex, neighbour.address)
            for ifindex in ifindexes
            for neighbour in self._netlink.neighbours(ifindex)
            if neighbour.managed or neighbour.state & (NUD_PERMANENT | NUD_NOARP)
        )

    # ---- what stands in the way -------------------------------------------------------

    def bypassed(self, config: Config, links: tuple[Link, ...]) -> list[str]:
        """Names of the owner's chains and qdiscs that XDP goes past."""
        if config.nat44 is None:
            return []
        devices = frozenset({port.device for port in config.ports} | set(config.nat44.inside))
        return [
            *bypass.chains(self._nft.base_chains(), devices),
            *bypass.legacy_tables(),
            *bypass.qdiscs(self._netlink.qdiscs(), links, devices),
        ]

    def refuse_bypass(self, config: Config, links: tuple[Link, ...]) -> None:
        """RefusedError naming all of them that the configuration does not accept."""
        bypass.refuse(self.bypassed(config, links), config.bypass, config.path)

    def foreign_programs(self, wanted: Wanted) -> None:
        """RefusedError when a port carries an XDP program that is not ours."""
        for port in wanted.attachments:
            self._dataplane.refuse_foreign(port.ifindex, port.name)
