# SPDX-License-Identifier: GPL-2.0-or-later
"""What the mirror of the FDBs says: results of reading, stations, segments, VTEPs."""

from dataclasses import dataclass

from _gw_native import lib

from ..model import IPAddress

ANY_VNI: int = lib.GW_VNI_OTHER
STATES = {1: "learned", 2: "static", 3: "extern"}
"""enum gw_mirror_state."""
WHY = {1: "fdb", 2: "flood", 4: "listed"}
"""enum gw_mirror_why."""


@dataclass(frozen=True, slots=True)
class Events:
    """What reading came to: struct gw_mirror_events; counts since the mirror was opened."""

    messages: int
    changes: int
    lost: int
    """Times that the kernel dropped events; a dump follows by itself."""
    dumps: int
    forgotten: int
    """Neighbours of watched devices that the kernel dropped."""
    more: bool
    """There is more to read now."""
    syncing: bool
    """A dump is not at its end."""
    stations: int
    refused: int
    """Stations, VTEPs and so on that there was no room for, since the last dump began: the kernel
    forwards to them."""
    failed: int
    """Writes to maps that failed, `error` of them the last."""
    error: int
    serial: int
    """Another one when the VTEPs that may send to any segment changed."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a walk through the stations came to."""

    used: int
    """Stations that XDP's NAT sent to lately."""
    refreshed: int
    """Stations that XDP heard, whose ageing the kernel began anew."""
    probed: int
    """Neighbours that the kernel was told to ask, because XDP's NAT uses them."""


@dataclass(frozen=True, slots=True)
class StationFilter:
    """What does not say anything matches everything."""

    bridge: int = 0
    """ifindex, as `port`."""
    port: int = 0
    vni: int = ANY_VNI
    vlan: int = 0
    state: str = ""
    """Of STATES."""
    mac: bytes = b""
    """Or how it begins."""
    vtep: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class StationInfo:
    """One station of a bridge."""

    bridge: int
    vlan: int
    mac: bytes
    port: int
    """ifindex of the bridge port, maybe a VXLAN device."""
    vni: int | None
    """Of the segment, if the port is one's VXLAN device."""
    vtep: IPAddress | None
    """None: it is on this side, or there is not exactly one."""
    state: str
    seen: float | None
    """Seconds since XDP's bridge heard it; None: never."""
    used: float | None
    """Seconds since XDP's NAT sent to it."""
    xdp: bool
    """XDP has it, and a way to it."""
    addresses: tuple[IPAddress, ...]
    """By the neighbour table of the bridge device, at most GW_MIRROR_ADDRESSES."""
    more_addresses: int


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """How much there is in one segment."""

    ifindex: int
    vni: int
    local: int
    """Stations on this side."""
    remote: int
    kernel: int
    """Of the remote ones, those that the kernel forwards to."""
    vteps: int
    """That may send."""
    floods: int
    serial: int
    """Another one when the VTEPs that may send changed."""


@dataclass(frozen=True, slots=True)
class VtepInfo:
    """One VTEP of a segment."""

    address: IPAddress
    macs: int
    why: tuple[str, ...]
    """Of WHY: what names it."""
    xdp: bool
    """XDP has a way to it."""
    allowed: bool
    """It may send."""
