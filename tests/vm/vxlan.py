# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's branch behind a gateway that is a guest: what is made here, and what is made there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hybrid_gateway.lab import GW_INSIDE, ROUTER, WAN
from hybrid_gateway.lab.branch import BRANCH, VTEP, VXLAN
from hybrid_gateway.lab.extension import ExtendedLab, extended
from hybrid_gateway.lab.second import vxlan_kind
from tests.lib.programs import pinged
from tests.vm.gateway import CONFIGURATION, LAN_NIC, WAN_NIC, GuestGateway
from tests.vm.site import Site

MEET_SECONDS = 120.0
BRIDGE = GW_INSIDE.device
WAN6, ROUTER6 = "2001:db8:1::1", "2001:db8:1::fe"
BRANCH_ROUTER6, VTEP6, BRANCH6 = "2001:db8:2::fe", "2001:db8:2::1", "2001:db8:2::/64"

OUTSIDE = replace(
    BRANCH,
    links=tuple(link for link in BRANCH.links if link[0] != "gw"),
    settings=tuple(setting for setting in BRANCH.settings if setting[0] != "gw"),
)
"""What of it is no business of the gateway's."""

VLAN, VNI, OTHER_VLAN, OTHER_VNI = 10, 100, 20, 300
VLAN_AWARE = "vlan0"
"""A bridge that filters VLANs."""


@dataclass(frozen=True)
class Branch:
    """The guest with its agent, and the hosts around it."""

    gateway: GuestGateway
    lab: ExtendedLab

    def peer(self, vni: int, local: str, remote: str) -> None:
        """The branch's VXLAN device, another one in its place."""
        for line in (
            f"link delete {VXLAN}",
            f"link add {VXLAN} {vxlan_kind(vni, local, remote)}",
            f"link set {VXLAN} master {BRIDGE} up",
        ):
            self.lab.run("branch", ["ip", *line.split()])

    def commands(self, *lines: str) -> None:
        """Of `ip` and `bridge`, in the guest."""
        self.gateway.guest.check("sh", "-ec", "\n".join(lines))

    def configure(self, text: str) -> None:
        self.gateway.guest.write("/etc/gw/gateway.yaml", text.encode())
        self.gateway.guest.check("gwctl", "apply")

    def meet(self, host: str, target: str) -> None:
        """Until XDP does all of it: the mirror has to see what the bridge learns."""
        deadline = time.monotonic() + MEET_SECONDS
        while time.monotonic() < deadline:
            before = self.gateway.counters()
            answered = pinged(self.lab, host, target, count=3)
            after = self.gateway.counters()
            if answered == 3 and after["VXLAN_ENCAP"] >= before["VXLAN_ENCAP"] + 3:
                return
        raise AssertionError(f"{host} and {target} do not come to know each other")

    @contextmanager
    def counts(self, **least: int) -> Iterator[None]:
        """Counters that move by at least so much meanwhile."""
        before = self.gateway.counters()
        yield
        after = self.gateway.counters()
        moved = {name: after[name] - before.get(name, 0) for name in after}
        seen = {name: n for name, n in moved.items() if n}
        assert all(moved[name] >= count for name, count in least.items()), seen


@contextmanager
def branch_of(site: Site, gateway: GuestGateway) -> Iterator[Branch]:
    with extended(site, OUTSIDE) as lab:
        yield Branch(gateway, lab)


def nat_bridge(vni: int, local: str = WAN.ip, remote: str = VTEP) -> tuple[str, ...]:
    """The device in the bridge that NAT has as its inside."""
    return (
        f"ip link add {VXLAN} {vxlan_kind(vni, local, remote)}",
        f"ip link set {VXLAN} master {BRIDGE} up",
    )


def section(device: str = VXLAN) -> str:
    return f"vxlan:\n  - {{device: {device}}}\n"


NAT_CONFIGURATION = CONFIGURATION + section()
OVER_IPV6 = (
    f"ip addr add {WAN6}/64 dev {WAN_NIC} nodad",
    f"ip -6 route add {BRANCH6} via {ROUTER6}",
)
VLAN_CONFIGURATION = f"""\
version: 1
ports:
  lan0: {{device: {LAN_NIC}, plane: xdp}}
  wan0: {{device: {WAN_NIC}, plane: xdp}}
{section("vxlan0")}"""
VLAN_BRIDGE = (
    f"ip link add {VLAN_AWARE} type bridge forward_delay 0 mcast_snooping 0 vlan_filtering 1",
    f"ip link add vxlan0 mtu 1500 type vxlan external vnifilter local {WAN.ip} dstport 4789",
    f"ip link set vxlan0 master {VLAN_AWARE}",
    f"ip link set {LAN_NIC} master {VLAN_AWARE}",
    f"ip link set {VLAN_AWARE} up",
    "ip link set vxlan0 up",
    "bridge link set dev vxlan0 vlan_tunnel on",
    *(
        command
        for vlan, vni in ((VLAN, VNI), (OTHER_VLAN, OTHER_VNI))
        for command in (
            f"bridge vni add dev vxlan0 vni {vni}",
            f"bridge vlan add dev vxlan0 vid {vlan}",
            f"bridge vlan add dev vxlan0 vid {vlan} tunnel_info id {vni}",
            f"bridge fdb append 00:00:00:00:00:00 dev vxlan0 src_vni {vni} dst {VTEP}",
        )
    ),
    f"bridge vlan delete dev {LAN_NIC} vid 1",
    f"bridge vlan add dev {LAN_NIC} vid {VLAN} pvid untagged",
)
"""VLANs 10 and 20, stretched by one device (FRR's and Cumulus's way); the LAN is in VLAN 10."""
NAT_BRIDGE_AGAIN = (
    f"ip link delete {VLAN_AWARE}",
    "ip link delete vxlan0",
    f"ip link set {LAN_NIC} master {BRIDGE}",
)
UNDERLAY6 = (
    ("wan", f"addr add {ROUTER6}/64 dev {ROUTER.device} nodad"),
    ("wan", f"addr add {BRANCH_ROUTER6}/64 dev branch0 nodad"),
    ("branch", f"addr add {VTEP6}/64 dev eth0 nodad"),
    ("branch", f"-6 route add default via {BRANCH_ROUTER6}"),
)
