# SPDX-License-Identifier: GPL-2.0-or-later
"""What the EVPN speaker knows, at one moment: for `gwctl show evpn` and the status."""

from dataclasses import dataclass
from enum import Enum

from ..model import IPAddress, IPNetwork, PeerState


class SpeakerState(Enum):
    """How far it has come with the BGP daemon."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    """No daemon answers. Forwarding goes on with what was known."""
    LEARNING = "learning"
    """It answers, and its neighbours may have more to say: what was known before stays."""
    SYNCHRONIZED = "synchronized"


class MacState(Enum):
    """Who has the station."""

    LOCAL = "local"
    REMOTE = "remote"
    DUPLICATE = "duplicate"
    """It moved too often: it is not announced, and stays where it is, until it is released."""
    CONFLICT = "conflict"
    """Learned here, though a VTEP says that it never moves (sticky); that one is believed."""


@dataclass(frozen=True, slots=True)
class RefusedView:
    """Routes that were not taken, since the start, or since that was cleared."""

    peer: IPAddress | None
    """None: they are of this gateway's own stations, and not announced."""
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class VniView:
    """One segment."""

    vni: int
    device: str
    bridge: str
    local: IPAddress | None
    up: bool
    vteps: int = 0
    """In the flood list."""
    local_macs: int = 0
    remote_macs: int = 0
    duplicates: int = 0
    routing: bool = False
    """It carries routed packets: type 5."""


@dataclass(frozen=True, slots=True)
class VtepView:
    """One VTEP of one VNI."""

    vni: int
    address: IPAddress
    flood: bool
    """It gets what is for all; without, it only has stations."""
    macs: int = 0


@dataclass(frozen=True, slots=True)
class MacView:
    """One station of one VNI."""

    vni: int
    mac: bytes
    state: MacState
    vtep: IPAddress | None = None
    """None: it is ours."""
    port: int = 0
    """ifindex of the bridge port, of ours."""
    sequence: int = 0
    sticky: bool = False
    age: float = 0.0
    """Seconds since it came, or moved."""
    moves: int = 0
    """Within the time that duplicates are judged by."""
    release: float = 0.0
    """Seconds until a duplicate is released by itself."""
    addresses: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class PrefixView:
    """One type-5 route."""

    vni: int
    prefix: IPNetwork
    vtep: IPAddress | None = None
    """None: it is ours."""
    router_mac: bytes = b""


@dataclass(frozen=True, slots=True)
class EvpnView:
    """A snapshot."""

    state: SpeakerState = SpeakerState.STOPPED
    since: float = 0.0
    """Seconds that it has been in that state."""
    error: str = ""
    """Why it is not further; empty: nothing is wrong."""
    peers: tuple[PeerState, ...] = ()
    refused: tuple[RefusedView, ...] = ()
    kernel_failures: int = 0
    """Entries that the kernel did not take, since the start, or since that was cleared."""
    vnis: tuple[VniView, ...] = ()
    vteps: tuple[VtepView, ...] = ()
    macs: tuple[MacView, ...] = ()
    """Ordered by VNI and address; empty if they were not asked for."""
    prefixes: tuple[PrefixView, ...] = ()
    kernel_reasons: tuple[tuple[str, int], ...] = ()
    """Why, and how many of them for that."""
