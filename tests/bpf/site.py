# SPDX-License-Identifier: GPL-2.0-or-later
"""One namespace with all the kernel knowledge that the programs ask for, and no peers.

The addresses are the lab's. Every neighbour is permanent and every port's far end is a silent
device of the same namespace, so nothing arrives that a test did not send.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from hybrid_gateway.bpf import DEV_BRIDGE, DEV_INSIDE, DEV_OUTSIDE, DEV_PORT, DeviceRecord
from hybrid_gateway.lab import GW_INSIDE, LAN, LAN2, ROUTER, WAN, namespaces

from . import segment

BRIDGED = ("lan0", "lan1")
PORTS = {"lan0": False, "lan1": False, "lan2": False, "wan0": True}
"""XDP ports, and whether each is the outside one."""

PLAIN = "192.168.130.10"
"""A host behind lan2, which is an inside device by itself."""
DMZ = "192.168.120.10"
"""Behind dmz0: inside, but no XDP port."""
MANAGED = "10.99.0.5"
"""Behind mgmt0, a device without a role."""
UNRESOLVED = "192.168.110.99"
"""On the bridge; the kernel does not know its MAC address."""
NEIGHBOURLESS = "203.0.113.50"
"""On the outside link; the kernel does not know its MAC address."""
STRAY = "192.168.110.30"
"""On the bridge with a MAC address; the FDB mirror does not know its port."""
NARROW = "192.168.110.40"
"""On the bridge; its route has an MTU of NARROW_MTU, like FAR_NARROW's."""
FAR_NARROW = "198.51.100.99"
NARROW_MTU = 1000
NOWHERE = {"unreachable": "10.66.0.1", "blackhole": "10.67.0.1", "prohibit": "10.68.0.1"}

PLAIN_MAC = "02:00:c0:a8:82:0a"
DMZ_MAC = "02:00:c0:a8:78:0a"
STRAY_MAC = "02:00:c0:a8:6e:1e"
NARROW_MAC = "02:00:c0:a8:6e:28"
NEIGHBOURS = (
    (LAN.ip, LAN.mac, "br-lan"),
    (LAN2.ip, LAN2.mac, "br-lan"),
    (STRAY, STRAY_MAC, "br-lan"),
    (NARROW, NARROW_MAC, "br-lan"),
    (PLAIN, PLAIN_MAC, "lan2"),
    (DMZ, DMZ_MAC, "dmz0"),
    (ROUTER.ip, ROUTER.mac, "wan0"),
)
ADDRESSES = {
    "br-lan": str(GW_INSIDE.network),
    "lan2": "192.168.130.1/24",
    "dmz0": "192.168.120.1/24",
    "mgmt0": "10.99.0.1/24",
    "wan0": str(WAN.network),
}
SILENCE = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/ip_forward": "1",
}


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    ifindex: int
    mac: str

    @property
    def mac_bytes(self) -> bytes:
        return bytes.fromhex(self.mac.replace(":", ""))


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


class Site:
    """The namespace, built; the caller enters it around everything that concerns it."""

    def __init__(self, name: str) -> None:
        self.name = name
        namespaces.ip_batch(name, [*_script(), *segment.links()])
        with namespaces.entered(name):
            _write(segment.SYSCTLS)
        namespaces.ip_batch(name, segment.addresses())
        links = json.loads(namespaces.run(["ip", "-n", name, "-json", "link", "show"]))
        self.devices = {
            link["ifname"]: Device(link["ifname"], link["ifindex"], link["address"])
            for link in links
        }

    def ifindex(self, name: str) -> int:
        return self.devices[name].ifindex

    @contextmanager
    def entered(self) -> Iterator[None]:
        with namespaces.entered(self.name):
            yield

    def records(self) -> list[DeviceRecord]:
        """The device table as the agent would fill it for this site."""
        flags = {
            "br-lan": DEV_INSIDE | DEV_BRIDGE,
            "lan0": DEV_PORT | DEV_INSIDE,
            "lan1": DEV_PORT | DEV_INSIDE,
            "lan2": DEV_PORT | DEV_INSIDE,
            "dmz0": DEV_INSIDE,
            "wan0": DEV_PORT | DEV_OUTSIDE,
        }
        return [self._record(name, flag) for name, flag in flags.items()]

    def _record(self, name: str, flags: int) -> DeviceRecord:
        l3 = self.devices["br-lan" if name in BRIDGED else name]
        address = IPv4Interface(ADDRESSES[l3.name]).ip
        return DeviceRecord(self.ifindex(name), flags, l3.ifindex, l3.mac_bytes, name, address)

    def fdb(self) -> dict[tuple[int, bytes], int]:
        """The stations of the bridge that the mirror knows."""
        bridge = self.ifindex("br-lan")
        places = {LAN.mac: "lan0", LAN2.mac: "lan1", NARROW_MAC: "lan0"}
        return {(bridge, mac_bytes(mac)): self.ifindex(port) for mac, port in places.items()}


def _script() -> list[str]:
    lines = ["link set lo up", f"link add br-lan address {GW_INSIDE.mac} type bridge"]
    for name in (*PORTS, "dmz0", "mgmt0"):
        address = f"address {WAN.mac}" if name == "wan0" else ""
        lines.append(f"link add {name} {address} type veth peer name {name}-far")
        lines += [f"link set {name}-far arp off up", f"link set {name} up"]
    lines += [f"link set {name} master br-lan" for name in BRIDGED]
    lines.append("link set br-lan up")
    lines += [f"addr add {network} dev {device}" for device, network in ADDRESSES.items()]
    lines.append(f"route add default via {ROUTER.ip}")
    lines.append(f"route add {FAR_NARROW} via {ROUTER.ip} mtu lock {NARROW_MTU}")
    lines.append(f"route add {NARROW} dev br-lan mtu lock {NARROW_MTU}")
    lines += [f"route add {kind} {address}" for kind, address in NOWHERE.items()]
    lines += [
        f"neigh replace {address} lladdr {mac} dev {device} nud permanent"
        for address, mac, device in NEIGHBOURS
    ]
    return lines


def _write(sysctls: dict[str, str]) -> None:
    for key, value in sysctls.items():
        Path("/proc/sys", key).write_text(value)


@contextmanager
def built() -> Iterator[Site]:
    """A site of this process's own, removed with everything in it."""
    name = f"gwbpf{os.getpid()}"
    with ExitStack() as stack:
        stack.callback(namespaces.delete, name)
        namespaces.add(name)
        with namespaces.entered(name):
            _write(SILENCE)
        yield Site(name)
