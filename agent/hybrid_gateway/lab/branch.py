# SPDX-License-Identifier: GPL-2.0-or-later
"""A branch of the LAN somewhere on the Internet: NAT and VXLAN on one gateway, on the same ports.

    lan, lan2 ── br-lan: vni200                               vni200 :br-lan ── eth0 .30  home
                 gw  wan0 203.0.113.2 ── wan ── eth0 198.51.100.130  branch

`home` has the gateway's inside address as its default route, so that its packets to the Internet
come in by VXLAN on the outside port and leave by it translated.
"""

from ipaddress import IPv4Interface

from .extension import Cable, End, Extension
from .second import BRIDGE_KIND, QUIET, vxlan_kind
from .topology import GW_INSIDE, OFFLOADS, WAN, Interface

VNI, VXLAN, VTEP = 200, "vni200", "198.51.100.130"
HOME = Interface("home", "eth0", "02:00:c0:a8:6e:1e", IPv4Interface("192.168.110.30/24"))
_BRIDGE, _PORT = GW_INSIDE.device, "lan0"

BRANCH = Extension(
    cables=(
        Cable(
            End("wan", "branch0", ["198.51.100.129/25"]),
            End("branch", "eth0", [f"{VTEP}/25"]),
            offloads=OFFLOADS,
        ),
        Cable(
            End("branch", _PORT, attributes=QUIET),
            End("home", HOME.device, [str(HOME.network)], f"address {HOME.mac} {QUIET}"),
            offloads=OFFLOADS,
        ),
    ),
    routers=("wan",),
    links=(
        ("gw", VXLAN, vxlan_kind(VNI, WAN.ip, VTEP)),
        ("branch", _BRIDGE, BRIDGE_KIND),
        ("branch", VXLAN, vxlan_kind(VNI, VTEP, WAN.ip)),
    ),
    settings=(
        ("gw", f"link set {VXLAN} {QUIET} master {_BRIDGE} up"),
        ("branch", f"link set {VXLAN} {QUIET} master {_BRIDGE} up"),
        ("branch", f"link set {_PORT} master {_BRIDGE}"),
        ("branch", f"link set {_BRIDGE} {QUIET} up"),
    ),
    routes=(("home", "default", GW_INSIDE.ip),),
)

SECTION = f"""\
vxlan:
  - {{device: {VXLAN}, vni: {VNI}}}
"""
"""What a configuration of the lab needs besides."""
