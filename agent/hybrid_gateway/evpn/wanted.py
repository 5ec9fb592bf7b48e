# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent asks of the EVPN speaker: the configuration, and the segments that there are."""

from dataclasses import dataclass

from ..model import Evpn, IPAddress, IPNetwork, Segment

MAIN_TABLE = 254
"""RT_TABLE_MAIN."""


@dataclass(frozen=True, slots=True)
class EvpnSegment:
    """One VNI that takes part. It is left out as long as its address is missing."""

    segment: Segment
    """Whose `local` is the VTEP that is announced."""
    up: bool = True
    """Its VXLAN device and its bridge are up and have a carrier; if not, all of it is withdrawn."""
    mac: bytes = bytes(6)
    """Of the bridge: nobody else may claim it; and the router's, of a routing instance's VNI."""
    addresses: frozenset[IPAddress] = frozenset()
    """Of the bridge: nobody else may claim them."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Where its stations are, in the kernel."""
        return self.segment.ifindex, self.segment.bridge, self.segment.vlan


@dataclass(frozen=True, slots=True)
class EvpnTable:
    """Where the routes of one entry of `prefixes` belong."""

    vni: int
    table: int = MAIN_TABLE
    """Of the VRF device."""
    present: tuple[IPNetwork, ...] = ()
    """Of the prefixes to advertise, those for which the table has a route that is not EVPN's
    (ROUTE_PROTOCOL)."""


@dataclass(frozen=True, slots=True)
class EvpnWanted:
    """Two that are equal ask for the same; the speaker does what differs."""

    section: Evpn
    """With a router id: the daemon is ours."""
    segments: tuple[EvpnSegment, ...] = ()
    """A VNI that is in there twice counts once, the first time."""
    tables: tuple[EvpnTable, ...] = ()
    addresses: frozenset[IPAddress] = frozenset()
    """Of this host, on whatever device: nobody else has one of them as VTEP."""
