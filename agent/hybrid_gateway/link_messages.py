# SPDX-License-Identifier: GPL-2.0-or-later
"""Network devices out of netlink messages, read by hand.

pyroute2 0.7.2 takes a millisecond for a link, and does not know the newer attributes of VXLAN
devices. Constants are those of <linux/if_link.h> and <linux/if_bridge.h>.
"""

import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from .model import (
    VXLAN_PORT,
    VXLAN_SOURCE_PORTS,
    BridgeLink,
    BridgePort,
    IPAddress,
    Link,
    PortRange,
    PortVlan,
    Vni,
    VxlanLink,
)
from .rtnl import (
    HEADER,
    RTEXT_FILTER_BRVLAN_COMPRESSED,
    RTEXT_FILTER_SKIP_STATS,
    RTM_GETLINK,
    RTM_GETTUNNEL,
    Rtnl,
    attributes,
)

AF_BRIDGE = 7
IFF_UP = 1
IFF_LOWER_UP = 1 << 16
IFINFO = struct.Struct("=BxHiII")
TUNNEL = struct.Struct("=BBHI")
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_PROTINFO, IFLA_LINKINFO, IFLA_AF_SPEC = 12, 18, 26
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_VRF_TABLE = 1
IFLA_BRIDGE_VLAN_INFO, IFLA_BRIDGE_VLAN_TUNNEL_INFO = 2, 3
VLAN_INFO = struct.Struct("=HH")
VLAN_PVID, VLAN_UNTAGGED, VLAN_RANGE_BEGIN, VLAN_RANGE_END = 2, 4, 8, 16
TUNNEL_ID, TUNNEL_VID, TUNNEL_FLAGS = 1, 2, 3
VNIFILTER_ENTRY = 1
VNI_START, VNI_END, VNI_GROUP, VNI_GROUP6 = 1, 2, 3, 4
CLOCK = 100
"""USER_HZ: ageing of bridges is in hundredths of a second."""
TOS_INHERIT = 1
EXTENSIONS = {
    11: "proxy",
    12: "rsc",
    13: "l2miss",
    14: "l3miss",
    21: "remcsum-tx",
    22: "remcsum-rx",
    23: "gbp",
    27: "gpe",
}
"""IFLA_VXLAN_* that change the header, or what happens to frames."""
VLANS_MAX = 4094


def read_links(rtnl: Rtnl) -> tuple[Link, ...]:
    """All of them, with the VLANs of bridge ports and the VNIs of single VXLAN devices."""
    found = rtnl.dump_raw(RTM_GETLINK, ("IFLA_EXT_MASK", RTEXT_FILTER_SKIP_STATS))
    links = [link(data) for data in found]
    if any(one.bridge and one.bridge.vlan_filtering for one in links):
        mask = ("IFLA_EXT_MASK", RTEXT_FILTER_BRVLAN_COMPRESSED)
        members = dict(map(port_vlans, rtnl.dump_raw(RTM_GETLINK, mask, family=AF_BRIDGE)))
        links = [_with_vlans(one, members.get(one.ifindex, ())) for one in links]
    if any(one.vxlan and one.vxlan.vnifilter for one in links):
        vnis: dict[int, tuple[Vni, ...]] = {}
        for data in rtnl.dump_raw(RTM_GETTUNNEL, family=AF_BRIDGE):
            ifindex, some = device_vnis(data)
            vnis[ifindex] = (*vnis.get(ifindex, ()), *some)
        links = [_with_vnis(one, vnis.get(one.ifindex, ())) for one in links]
    return tuple(links)


def _with_vlans(one: Link, vlans: tuple[PortVlan, ...]) -> Link:
    if one.bridge:
        return replace(one, bridge=replace(one.bridge, vlans=vlans))
    return replace(one, port=replace(one.port, vlans=vlans)) if one.port else one


def _with_vnis(one: Link, vnis: tuple[Vni, ...]) -> Link:
    if one.vxlan and one.vxlan.vnifilter:
        return replace(one, vxlan=replace(one.vxlan, vnis=tuple(sorted(vnis, key=_vni))))
    return one


def _vni(one: Vni) -> int:
    return one.vni


def link(data: bytes) -> Link:
    """One RTM_NEWLINK or RTM_DELLINK, whole."""
    _, _, ifindex, flags, _ = IFINFO.unpack_from(data, HEADER.size)
    attrs = dict(attributes(data, HEADER.size + IFINFO.size))
    info = dict(attributes(attrs.get(IFLA_LINKINFO, b"")))
    kind = _text(info.get(IFLA_INFO_KIND, b""))
    made = dict(attributes(info.get(IFLA_INFO_DATA, b"")))
    set_up = dict(attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")))
    address = attrs.get(IFLA_ADDRESS, b"")
    of_bridge = _text(info.get(IFLA_INFO_SLAVE_KIND, b"")) == "bridge"
    return Link(
        ifindex=ifindex,
        name=_text(attrs.get(IFLA_IFNAME, b"")),
        mac=address if len(address) == 6 else bytes(6),
        master=_number(attrs.get(IFLA_MASTER, b"")),
        kind=kind,
        mtu=_number(attrs.get(IFLA_MTU, b"")),
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        vxlan=_vxlan(made) if kind == "vxlan" else None,
        bridge=_bridge(made) if kind == "bridge" else None,
        port=_port(set_up) if of_bridge else None,
        table=_number(made.get(IFLA_VRF_TABLE, b"")) if kind == "vrf" else 0,
    )


def _vxlan(attrs: dict[int, bytes]) -> VxlanLink:
    low, high = (int.from_bytes(attrs.get(10, b"")[at : at + 2]) for at in (0, 2))
    return VxlanLink(
        vni=_number(attrs.get(1, b"")),
        external=_flag(attrs, 25),
        vnifilter=_flag(attrs, 30),
        local=_address(attrs, 4, 17),
        group=_address(attrs, 2, 16),
        link=_number(attrs.get(3, b"")),
        port=int.from_bytes(attrs[15]) if 15 in attrs else VXLAN_PORT,
        ports=PortRange(low, high) if low and low <= high else VXLAN_SOURCE_PORTS,
        learning=_flag(attrs, 7),
        ageing=_number(attrs.get(8, b"")),
        ttl=_number(attrs.get(5, b"")),
        ttl_inherit=_flag(attrs, 28),
        tos=_number(attrs.get(6, b"")),
        df=_number(attrs.get(29, b"")),
        label=int.from_bytes(attrs.get(26, b"")),
        checksum=_flag(attrs, 18),
        zero_checksum6_tx=_flag(attrs, 19),
        zero_checksum6_rx=_flag(attrs, 20),
        extensions=tuple(name for kind, name in EXTENSIONS.items() if _flag(attrs, kind)),
    )


def _bridge(attrs: dict[int, bytes]) -> BridgeLink:
    return BridgeLink(
        vlan_filtering=_flag(attrs, 7),
        vlan_protocol=int.from_bytes(attrs[8]) if 8 in attrs else 0x8100,
        ageing=_number(attrs.get(4, b"")) // CLOCK,
        calls_iptables=any(_flag(attrs, kind) for kind in (36, 37, 38)),
    )


def _port(attrs: dict[int, bytes]) -> BridgePort:
    return BridgePort(
        state=_number(attrs.get(1, b"")),
        learning=_flag(attrs, 8),
        isolated=_flag(attrs, 33),
        locked=_flag(attrs, 39),
        vlan_tunnel=_flag(attrs, 29),
        neigh_suppress=_flag(attrs, 32),
        hairpin=_flag(attrs, 4),
        backup=_number(attrs.get(34, b"")),
    )


def bridge_port(data: bytes) -> BridgePort | None:
    """As a message of AF_BRIDGE has it; None: it is not about a port."""
    attrs = dict(attributes(data, HEADER.size + IFINFO.size))
    set_up = dict(attributes(attrs.get(IFLA_PROTINFO, b"")))
    return _port(set_up) if set_up else None


def port_vlans(data: bytes) -> tuple[int, tuple[PortVlan, ...]]:
    """(ifindex, its VLANs), from an RTM_NEWLINK of AF_BRIDGE with compressed VLANs."""
    _, _, ifindex, _, _ = IFINFO.unpack_from(data, HEADER.size)
    attrs = dict(attributes(data, HEADER.size + IFINFO.size))
    vlans: dict[int, PortVlan] = {}
    tunnels: dict[int, int] = {}
    first: tuple[int, int] | None = None
    for kind, value in attributes(attrs.get(IFLA_AF_SPEC, b"")):
        if kind == IFLA_BRIDGE_VLAN_INFO and len(value) >= VLAN_INFO.size:
            flags, vlan = VLAN_INFO.unpack_from(value)
            low = first[0] if first and flags & VLAN_RANGE_END else vlan
            first = (vlan, 0) if flags & VLAN_RANGE_BEGIN else None
            for each in range(max(low, vlan - VLANS_MAX), vlan + 1):
                pvid, untagged = bool(flags & VLAN_PVID), bool(flags & VLAN_UNTAGGED)
                vlans[each] = PortVlan(each, pvid, untagged)
    for vlan, vni in _vlan_tunnels(attrs.get(IFLA_AF_SPEC, b"")):
        tunnels[vlan] = vni
    return ifindex, tuple(
        replace(vlans[each], tunnel=tunnels.get(each, 0)) for each in sorted(vlans)
    )


def _vlan_tunnels(data: bytes) -> list[tuple[int, int]]:
    """(VLAN, VNI) of a port; of a range, both count up together."""
    found: list[tuple[int, int]] = []
    first: tuple[int, int] | None = None
    for kind, value in attributes(data):
        if kind != IFLA_BRIDGE_VLAN_TUNNEL_INFO:
            continue
        attrs = dict(attributes(value))
        vni, vlan = (_number(attrs.get(one, b"")) for one in (TUNNEL_ID, TUNNEL_VID))
        flags = _number(attrs.get(TUNNEL_FLAGS, b""))
        if first and flags & VLAN_RANGE_END:
            spread = min(vlan - first[0], VLANS_MAX)
            found += [(first[0] + step, first[1] + step) for step in range(1, spread)]
        first = (vlan, vni) if flags & VLAN_RANGE_BEGIN else None
        found.append((vlan, vni))
    return found


def device_vnis(data: bytes) -> tuple[int, tuple[Vni, ...]]:
    """(ifindex, VNIs that it takes), from an RTM_NEWTUNNEL."""
    _, _, _, ifindex = TUNNEL.unpack_from(data, HEADER.size)
    found: list[Vni] = []
    for kind, value in attributes(data, HEADER.size + TUNNEL.size):
        if kind != VNIFILTER_ENTRY:
            continue
        attrs = dict(attributes(value))
        low = _number(attrs.get(VNI_START, b""))
        high = _number(attrs[VNI_END]) if VNI_END in attrs else low
        group = _address(attrs, VNI_GROUP, VNI_GROUP6)
        found += [Vni(vni, group) for vni in range(low, min(high, low + VLANS_MAX) + 1)]
    return ifindex, tuple(found)


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode(errors="replace")


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)


def _flag(attrs: dict[int, bytes], kind: int) -> bool:
    """One byte, or there without any."""
    return kind in attrs and (not attrs[kind] or any(attrs[kind]))


def _address(attrs: dict[int, bytes], four: int, six: int) -> IPAddress | None:
    """Unspecified ones are none."""
    make: tuple[tuple[int, int, Callable[[bytes], IPAddress]], ...] = (
        (four, 4, IPv4Address),
        (six, 16, IPv6Address),
    )
    for kind, size, address in make:
        value = attrs.get(kind, b"")
        if len(value) == size and any(value):
            return address(value)
    return None
