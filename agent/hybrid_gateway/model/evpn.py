# SPDX-License-Identifier: GPL-2.0-or-later
"""The `evpn` section, and EVPN's routes between the BGP daemon's client and its user."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from .address import IPAddress, IPNetwork

BGP_PORT = 179
EVPN_ROUTES_MAX = 60_000
"""That one neighbour may send, unless the configuration says otherwise."""


class EvpnDaemon(Enum):
    """Who speaks BGP."""

    GOBGP = "gobgp"
    """Ours: the agent tells it what to say, and does what it hears."""
    FRR = "frr"
    """The owner's: it programs the kernel, and the agent mirrors that."""


@dataclass(frozen=True, slots=True)
class EvpnNeighbor:
    """One BGP session."""

    address: IPAddress
    asn: int
    """Of the neighbour; the section's own unless given: iBGP."""
    local: IPAddress | None = None
    """The address that our end has; None: the kernel chooses."""
    port: int = BGP_PORT
    pmsi_compat: bool = False
    """It wants nine bytes of PMSI tunnel attribute, with the router id as the tunnel's id."""
    password: str = field(default="", repr=False)
    """TCP MD5 (RFC 2385); empty: none."""
    multihop: int = 0
    """TTL of an eBGP session beyond the link; 0: it is on the link, or iBGP."""
    passive: bool = False
    routes_max: int = EVPN_ROUTES_MAX
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class EvpnPrefixes:
    """Type-5 routes of one routing instance: its VNI carries routed packets (RFC 9136 4.4.1)."""

    vni: int
    """Of a VXLAN device in the section `vxlan`, whose bridge is the routing instance's device."""
    vrf: str = ""
    """Name of the kernel's VRF device; empty: the main table."""
    advertise: tuple[IPNetwork, ...] = ()
    """Prefixes that are announced as long as the table has a route for exactly them."""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Evpn:
    """The `evpn` section, complete."""

    daemon: EvpnDaemon = EvpnDaemon.GOBGP
    asn: int = 0
    router_id: IPv4Address | None = None
    """None: the daemon is FRR, and knows it."""
    neighbors: tuple[EvpnNeighbor, ...] = ()
    hold_time: int = 9
    """Seconds; keepalives go three times as often."""
    restart_time: int = 120
    """Seconds for which neighbours keep our routes while the daemon restarts (RFC 4724)."""
    prefixes: tuple[EvpnPrefixes, ...] = ()
    port: int = BGP_PORT
    """That the daemon listens on; 0: it only calls."""
    line: int = field(default=0, compare=False)


# ---- routes ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """RFC 4360, RFC 5668: of two-byte or four-byte AS numbers, by the size of `asn`."""

    asn: int
    number: int

    def __str__(self) -> str:
        return f"{self.asn}:{self.number}"


@dataclass(frozen=True, slots=True)
class MacRoute:
    """Type 2 (RFC 7432 section 7.2), Ethernet tag 0. What tells one from another is its key: `rd`,
    `mac` and `address`."""

    rd: str
    """As GoBGP and FRR write it: `192.0.2.1:550`."""
    mac: bytes
    vni: int
    next_hop: IPAddress
    """The VTEP."""
    targets: tuple[RouteTarget, ...]
    address: IPAddress | None = None
    sequence: int = 0
    """MAC mobility (section 7.7)."""
    sticky: bool = False
    router: bool = False
    """The ND flag R (RFC 9047), of an IPv6 address."""
    override: bool = True
    """The ND flag O."""
    l3vni: int = 0
    """The second label, of symmetric IRB; 0: none."""
    router_mac: bytes = b""
    """Router's MAC extended community (RFC 9135); empty: none."""
    esi: str = ""
    """Empty: a single-homed station."""


@dataclass(frozen=True, slots=True)
class FloodRoute:
    """Type 3 (RFC 7432 section 7.3) with ingress replication.

    The VTEP is the next hop, whatever the tunnel attribute says.
    """

    rd: str
    originator: IPAddress
    vni: int
    next_hop: IPAddress
    targets: tuple[RouteTarget, ...]
    gone: tuple[str, ...] = ()
    """Route distinguishers by which this VTEP has no station any more (evpn/mass.py)."""


@dataclass(frozen=True, slots=True)
class PrefixRoute:
    """Type 5 (RFC 9136)."""

    rd: str
    prefix: IPNetwork
    vni: int
    next_hop: IPAddress
    targets: tuple[RouteTarget, ...]
    gateway: IPAddress | None = None
    router_mac: bytes = b""


EvpnRoute = MacRoute | FloodRoute | PrefixRoute


@dataclass(frozen=True, slots=True)
class RouteChange:
    """What the BGP daemon says of its best paths."""

    route: EvpnRoute
    withdrawn: bool = False
    peer: IPAddress | None = None
    """Whom it was heard from; None: it is our own."""


@dataclass(frozen=True, slots=True)
class RouteRefused:
    """A route that makes no sense, with the reason; it is counted by neighbour."""

    reason: str
    peer: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class EndOfState:
    """All of the daemon's best paths have been said; from here on it is changes."""


END_OF_STATE = EndOfState()

RouteEvent = RouteChange | RouteRefused | EndOfState


class SessionState(Enum):
    """RFC 4271 section 8.2.2."""

    IDLE = "idle"
    CONNECT = "connect"
    ACTIVE = "active"
    OPENSENT = "opensent"
    OPENCONFIRM = "openconfirm"
    ESTABLISHED = "established"


@dataclass(frozen=True, slots=True)
class PeerState:
    """One neighbour as the daemon has it."""

    address: IPAddress
    asn: int
    state: SessionState
    since: float = 0.0
    """Seconds that it has been established; 0 when it is not."""
    received: int = 0
    """Routes of the family l2vpn-evpn."""
    accepted: int = 0
    advertised: int = 0
    flaps: int = 0
    complete: bool = False
    """It has sent all that it had when the session began (End-of-RIB, RFC 4724 section 2)."""
    messages: int = 0
    """That came from it, of whatever kind: one that is alive sends keepalives."""
    notifications: int = 0
    """That either side ended a session with, since the daemon began."""
    hold_time: float = 0.0
    """Seconds, as it was agreed upon; 0: there is none."""
    reason: str = ""
    """Of its last end, as far as the daemon says."""
