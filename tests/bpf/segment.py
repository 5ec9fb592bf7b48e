# SPDX-License-Identifier: GPL-2.0-or-later
"""A stretched segment beside the site's own bridge: its devices, its stations and its VTEPs.

One bridge has a VXLAN device for each underlay. Its ports are no part of `site.PORTS`: a test run
needs no program attached, so that other tests do not wait for that.
"""

from dataclasses import dataclass

BRIDGE = "br-seg"
BRIDGE_MAC = "02:00:c0:a8:96:01"
BRIDGE_NETWORK = "192.168.150.1/24"
CORE = "core0"
"""A port of its own that leads to the VTEPs."""
CORE_MAC = "02:00:c0:00:02:01"
CORE_MTU = 1700
CORE_NETWORKS = ("192.0.2.1/24", "2001:db8:1::1/64")
PORTS = ("seg0", "seg1", "seg2")
"""XDP ports of the bridge; it may not bridge to seg2, which has restrictions."""
KERNEL_PORT = "seg3"
"""A port of the bridge, but none of XDP's."""
DEVICES = {4: "vxseg4", 6: "vxseg6"}
VNIS = {4: 100, 6: 600}
PORT = 4789
KERNEL_VNI = 700
"""Of a VXLAN device that XDP has no part in."""
LOCAL = {4: "192.0.2.1", 6: "2001:db8:1::1"}
PEER = {4: "192.0.2.2", 6: "2001:db8:1::2"}
"""The VTEP of this segment."""
PEER_MAC = {4: "02:00:c0:00:02:02", 6: "02:00:c0:00:02:06"}
NARROW = {4: "192.0.2.9", 6: "2001:db8:1::9"}
"""VTEPs behind a route with NARROW_MTU."""
NARROW_MTU = 1500
WIDE = {4: "192.0.2.10", 6: "2001:db8:1::10"}
"""VTEPs behind a route that promises more than the device can do."""
WIDE_MTU = 9000
SILENT = {4: "192.0.2.50", 6: "2001:db8:1::50"}
"""VTEPs whose MAC address the kernel does not know."""
STRANGER = {4: "192.0.2.66", 6: "2001:db8:1::66"}
"""Hosts of the underlay that are no VTEPs."""
FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True)
class Station:
    """A host of the segment; `place` is a port, or the family of the tunnel it is behind."""

    ip: str
    mac: str
    place: str | int


HERE = Station("192.168.150.10", "02:00:c0:a8:96:0a", "seg0")
THERE = Station("192.168.150.11", "02:00:c0:a8:96:0b", "seg1")
RESTRICTED = Station("192.168.150.12", "02:00:c0:a8:96:0c", "seg2")
KERNELS = Station("192.168.150.13", "02:00:c0:a8:96:0d", KERNEL_PORT)
FAR4 = Station("192.168.150.40", "02:00:c0:a8:96:28", 4)
FAR6 = Station("192.168.150.60", "02:00:c0:a8:96:3c", 6)
FAR = {4: FAR4, 6: FAR6}
STATIONS = (HERE, THERE, RESTRICTED, KERNELS, FAR4, FAR6)
NOBODY = "02:00:c0:a8:96:ff"

SYSCTLS = {f"net/ipv6/conf/{CORE}/disable_ipv6": "0", "net/ipv6/conf/lo/forwarding": "1"}
"""After links(), before addresses()."""


def links() -> list[str]:
    """Lines for `ip -batch`."""
    lines = [f"link add {BRIDGE} address {BRIDGE_MAC} type bridge"]
    for name in (*PORTS, KERNEL_PORT, CORE):
        address = f"address {CORE_MAC} mtu {CORE_MTU}" if name == CORE else ""
        peer = f"mtu {CORE_MTU}" if name == CORE else ""
        lines.append(f"link add {name} {address} type veth peer name {name}-far {peer}")
        lines += [f"link set {name}-far arp off up", f"link set {name} up"]
    for family, name in DEVICES.items():
        vxlan = f"id {VNIS[family]} local {LOCAL[family]} dstport {PORT} nolearning"
        lines.append(f"link add {name} type vxlan {vxlan}")
    lines += [f"link set {name} master {BRIDGE}" for name in (*PORTS, KERNEL_PORT)]
    lines += [f"link set {name} master {BRIDGE}" for name in DEVICES.values()]
    return [*lines, f"link set {BRIDGE} up"]


def addresses() -> list[str]:
    """Lines for `ip -batch`."""
    lines = [f"addr add {BRIDGE_NETWORK} dev {BRIDGE}"]
    lines += [f"addr add {network} dev {CORE} nodad" for network in CORE_NETWORKS]
    for family in FAMILIES:
        lines += [
            f"route add {NARROW[family]} dev {CORE} mtu lock {NARROW_MTU}",
            f"route add {WIDE[family]} dev {CORE} mtu lock {WIDE_MTU}",
        ]
        lines += [
            f"neigh replace {peer[family]} lladdr {PEER_MAC[family]} dev {CORE} nud permanent"
            for peer in (PEER, NARROW, WIDE)
        ]
    lines += [
        f"neigh replace {one.ip} lladdr {one.mac} dev {BRIDGE} nud permanent" for one in STATIONS
    ]
    return lines
