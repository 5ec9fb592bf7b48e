# SPDX-License-Identifier: GPL-2.0-or-later
"""What EVPN reads from the kernel and writes into it, as values.

A VNI stands for its segment: VXLAN device, bridge and VLAN are looked up where an entry is
written, so that values stay true when a device is made anew.
"""

from dataclasses import dataclass

from ..model import IPAddress, IPNetwork
from .wanted import MAIN_TABLE

ROUTE_PROTOCOL = 179
"""Of routes and neighbours of ours (rtm_protocol, NDA_PROTOCOL): nobody else's in Debian's and
FRR's lists. By it they are known again after a restart."""

# ---- what is written: a later one with the same key takes an earlier one's place ----------


@dataclass(frozen=True, slots=True)
class RemoteMac:
    """A station behind a VTEP: in the VXLAN device's FDB and in the bridge's."""

    vni: int
    mac: bytes
    vtep: IPAddress
    sticky: bool = False
    """The bridge does not let it move to a port on this side."""

    @property
    def key(self) -> tuple[str, int, bytes]:
        return "mac", self.vni, self.mac


@dataclass(frozen=True, slots=True)
class FloodEntry:
    """A VTEP that gets a copy of broadcast, unknown unicast and multicast."""

    vni: int
    vtep: IPAddress

    @property
    def key(self) -> tuple[str, int, IPAddress]:
        return "flood", self.vni, self.vtep


@dataclass(frozen=True, slots=True)
class Binding:
    """A remote station's address: a neighbour on the bridge, by which ARP and ND are answered."""

    vni: int
    address: IPAddress
    mac: bytes
    router: bool = False
    """ND's flag R. The kernel has no place for O: whoever answers sets it."""

    @property
    def key(self) -> tuple[str, int, IPAddress]:
        return "binding", self.vni, self.address


@dataclass(frozen=True, slots=True)
class Router:
    """Of another site, on the L3 VNI."""

    vtep: IPAddress
    mac: bytes


@dataclass(frozen=True, slots=True)
class PrefixEntry:
    """A route of type 5: through `vtep` on the bridge of the L3 VNI, to the router's MAC.

    The way there, a neighbour and an FDB entry, comes and goes with the routes that need it.
    """

    prefix: IPNetwork
    vni: int
    vtep: IPAddress
    """Of either family, whatever the family of `prefix`."""
    router_mac: bytes
    table: int = MAIN_TABLE
    others: tuple[Router, ...] = ()
    """More that have it: packets are spread over all of them, with equal weights. No two of them
    have the same VTEP or the same MAC address."""

    @property
    def key(self) -> tuple[str, int, IPNetwork]:
        return "prefix", self.table, self.prefix

    @property
    def ways(self) -> tuple["PrefixEntry", ...]:
        """By one router each."""
        if not self.others:
            return (self,)
        routers = (Router(self.vtep, self.router_mac), *self.others)
        return tuple(
            PrefixEntry(self.prefix, self.vni, one.vtep, one.mac, self.table) for one in routers
        )


KernelEntry = RemoteMac | FloodEntry | Binding | PrefixEntry


@dataclass(frozen=True, slots=True)
class EntryRefused:
    """The kernel did not do it."""

    entry: KernelEntry
    errno: int
    """Positive; ENODEV: no segment has that VNI."""
    deleting: bool = False


# ---- what is read -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LocalStation:
    """A station on this side, in the bridge's FDB: behind a port that is no VXLAN device."""

    vni: int
    mac: bytes
    port: int
    """ifindex."""
    static: bool = False
    """Put there by hand: it is not to move."""

    @property
    def key(self) -> tuple[str, int, bytes]:
        return "station", self.vni, self.mac


@dataclass(frozen=True, slots=True)
class LocalBinding:
    """A neighbour on the segment's bridge that is not one of ours.

    Whether its station is on this side is for the reader to look up: the kernel resolves remote
    stations too, where it has to send to them.
    """

    vni: int
    address: IPAddress
    mac: bytes
    router: bool = False

    @property
    def key(self) -> tuple[str, int, IPAddress]:
        return "neighbour", self.vni, self.address


LocalFact = LocalStation | LocalBinding


@dataclass(frozen=True, slots=True)
class LocalChange:
    """Something is there, or is something else than before (same key), or is gone."""

    fact: LocalFact
    gone: bool = False


@dataclass(frozen=True, slots=True)
class KernelNews:
    """What one look at the kernel came to."""

    changes: tuple[LocalChange, ...] = ()
    synced: bool = False
    """All that there was when the last `follow` was called has been told by now."""
    refused: tuple[EntryRefused, ...] = ()
    """Entries of ours that somebody took away and that could not be put back."""
