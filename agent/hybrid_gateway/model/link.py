# SPDX-License-Identifier: GPL-2.0-or-later
"""Network devices as the kernel has them, with what bridges and VXLAN devices add."""

from dataclasses import dataclass

from .address import IPAddress
from .wanted import PortRange

VXLAN_PORT = 4789
"""IANA's; a device made without `dstport` has 8472, from before there was one."""
VXLAN_SOURCE_PORTS = PortRange(32768, 60999)
"""Where a device does not say, Linux takes net.ipv4.ip_local_port_range."""
BRIDGE_FORWARDING = 3
"""BR_STATE_FORWARDING."""


@dataclass(frozen=True, slots=True, order=True)
class Vni:
    """One VNI of a single VXLAN device that filters them (ip link … vnifilter)."""

    vni: int
    group: IPAddress | None = None
    """Where what nobody knows goes; a multicast group or one VTEP."""


@dataclass(frozen=True, slots=True)
class VxlanLink:
    """What a VXLAN device was made with (IFLA_VXLAN_*)."""

    vni: int = 0
    external: bool = False
    """A single VXLAN device: the VNI follows from the bridge's VLAN (vlan_tunnel)."""
    vnifilter: bool = False
    vnis: tuple[Vni, ...] = ()
    """With `vnifilter` only."""
    local: IPAddress | None = None
    group: IPAddress | None = None
    """The default destination: a multicast group or one VTEP."""
    link: int = 0
    """ifindex of the device that the outer packets are bound to, 0: none."""
    port: int = VXLAN_PORT
    ports: PortRange = VXLAN_SOURCE_PORTS
    """UDP source ports."""
    learning: bool = True
    ageing: int = 300
    """Seconds."""
    ttl: int = 0
    """0: Linux's default for the address family."""
    ttl_inherit: bool = False
    tos: int = 0
    """DSCP and ECN together; 1: as the inner packet."""
    df: int = 0
    """0: unset, 1: set, 2: as the inner packet."""
    label: int = 0
    """IPv6 flow label, host order."""
    checksum: bool = True
    """Over IPv4, a real UDP checksum."""
    zero_checksum6_tx: bool = False
    zero_checksum6_rx: bool = False
    extensions: tuple[str, ...] = ()
    """What changes the header or the handling of frames: gbp, gpe, remcsum, rsc and the like."""

    @property
    def family(self) -> int:
        """4 or 6, of all its VTEPs: the kernel takes no others."""
        for address in (self.local, self.group):
            if address is not None:
                return address.version
        return 4


@dataclass(frozen=True, slots=True, order=True)
class PortVlan:
    """One VLAN that a bridge port is a member of."""

    vlan: int
    pvid: bool = False
    untagged: bool = False
    tunnel: int = 0
    """VNI on a port with vlan_tunnel, 0: none."""


@dataclass(frozen=True, slots=True)
class BridgeLink:
    """What a bridge was set up with (IFLA_BR_*)."""

    vlan_filtering: bool = False
    vlan_protocol: int = 0x8100
    ageing: int = 300
    """Seconds; 0: nothing is learned for longer than a frame."""
    calls_iptables: bool = False
    """Bridged packets pass the hooks of IPv4, IPv6 or ARP too (nf_call_*)."""
    vlans: tuple[PortVlan, ...] = ()
    """That the host itself is in; only where the bridge filters VLANs."""


@dataclass(frozen=True, slots=True)
class BridgePort:
    """What a port of a bridge was set up with (IFLA_BRPORT_*)."""

    state: int = BRIDGE_FORWARDING
    learning: bool = True
    isolated: bool = False
    locked: bool = False
    """Stations have to be let in one by one (802.1X)."""
    vlan_tunnel: bool = False
    neigh_suppress: bool = False
    hairpin: bool = False
    backup: int = 0
    """ifindex of the port that takes over, 0: none."""
    vlans: tuple[PortVlan, ...] = ()
    """Only where the bridge filters VLANs."""


@dataclass(frozen=True, slots=True)
class Link:
    """One network device as the kernel has it."""

    ifindex: int
    name: str
    mac: bytes = bytes(6)
    master: int = 0
    """ifindex of the bridge that it is a port of, 0: none."""
    kind: str = ""
    """"bridge", "veth", "vxlan" and so on; empty for a plain NIC."""
    mtu: int = 1500
    up: bool = True
    """As the owner set it: "ip link set up"."""
    carrier: bool = True
    vxlan: VxlanLink | None = None
    bridge: BridgeLink | None = None
    port: BridgePort | None = None
    """There if `master` is a bridge."""
    table: int = 0
    """Of a VRF device: the number of its routing table; 0: it is none."""

    @property
    def running(self) -> bool:
        """Whether frames can come and go."""
        return self.up and self.carrier
