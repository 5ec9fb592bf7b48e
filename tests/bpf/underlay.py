# SPDX-License-Identifier: GPL-2.0-or-later
"""The TC programs between real devices: a gateway's namespace and a VTEP of the kernel's own.

The gateway's access port `lan0` gets frames from `lan0-far`, its underlay port `und0` is joined to
the other namespace, where a stock VXLAN device for each family puts packets together again.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from _gw_native import ffi, lib
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hybrid_gateway import abi
from hybrid_gateway.bpf.maps import Map
from hybrid_gateway.bpf.objects import LoadedObject, ObjectFile
from hybrid_gateway.bpf.programs import TC_PROGRAMS, TYPES
from hybrid_gateway.bpf.sessions import read_counters
from hybrid_gateway.lab import namespaces

from .plane import object_dir
from .site import mac_bytes

MARKED = Path(__file__).with_name("marked.bpf.c")
INCLUDE = Path(__file__).resolve().parents[2] / "bpf" / "include"
ETH_P_ALL = 3
MLD_ROUTERS = mac_bytes("33:33:00:00:00:16")
ARRIVES_SECONDS = 10.0
MTU = 1500
PORT = 4789
ACCESS_ROW, UNDERLAY_ROW = 1, 2
HANDLE, PRIORITY = 0x6777, 1
NO_LINK_LOCAL = "net/ipv6/conf/default/addr_gen_mode"
UNFILTERED = Path("/proc/sys/net/bridge")
"""Where there is a filter, it would shorten and drop what is no whole IP packet."""
FORWARDING = ("net/ipv4/conf/lo/forwarding", "net/ipv6/conf/lo/forwarding")


@dataclass(frozen=True, slots=True)
class End:
    """One VTEP's place on the underlay."""

    mac: str
    ipv4: str
    ipv6: str

    def address(self, family: int) -> str:
        return self.ipv4 if family == 4 else self.ipv6


NEAR = End("02:00:00:00:00:01", "192.0.2.1", "2001:db8:1::1")
FAR = End("02:00:00:00:00:02", "192.0.2.2", "2001:db8:1::2")
SECOND = {4: "192.0.2.3", 6: "2001:db8:1::3"}
"""Addresses with the far end's MAC address that nobody has."""
VNIS = {4: 104, 6: 106}


class Underlay:
    """Both namespaces, and the programs on the gateway's devices. The caller is in neither."""

    def __init__(self, stack: ExitStack) -> None:
        self.gateway, self.peer = (f"gwcut{os.getpid()}{end}" for end in "gp")
        for name in (self.gateway, self.peer):
            stack.callback(namespaces.delete, name)
            namespaces.add(name)
            with namespaces.entered(name):
                Path("/proc/sys", NO_LINK_LOCAL).write_text("1")
        namespaces.ip_batch(self.gateway, _gateway(self.peer))
        namespaces.ip_batch(self.peer, _peer())
        with namespaces.entered(self.gateway):
            for key in FORWARDING:
                Path("/proc/sys", key).write_text("1")
            for path in UNFILTERED.glob("bridge-nf-call-ip*tables"):
                path.write_text("0")
            self.ifindex = {name: number for number, name in socket.if_nameindex()}
        self.programs = LoadedObject(ObjectFile(object_dir() / "gw_guard.bpf.o", TC_PROGRAMS))
        stack.callback(self.programs.close)
        self.programs.load()
        self._maps = self.programs.maps()
        self._stack = stack

    @contextmanager
    def for_one_test(self) -> Iterator[None]:
        """Taps that are opened meanwhile are closed in the end."""
        whole, self._stack = self._stack, ExitStack()
        try:
            with self._stack:
                yield
        finally:
            self._stack = whole

    def table(self, name: str) -> Map:
        return Map(lib.gw_map_fd(self._maps[name]), name, *TYPES[name])

    def counters(self, row: int) -> dict[str, int]:
        found = read_counters(self.table("gw_counters"), row)
        return {name: count for name, count in found.items() if count}

    def set_device(self, name: str, flags: int, row: int = 0, l3: str = "", vlan: int = 0) -> None:
        ifindex = self.ifindex[name]
        record = abi.new(
            "gw_device",
            ifindex=ifindex,
            flags=flags,
            l3_ifindex=self.ifindex[l3 or name],
            row=row,
            vlan=vlan,
            mac=list(mac_bytes(NEAR.mac)),
        )
        self.table("gw_devices").set(ifindex % lib.GW_DEVICES_MAX, record)

    def set_tunnel(self, reference: int, family: int, **fields: Any) -> None:
        """Tunnel number `reference`, from 1, leads to the other end."""
        changed = {
            "ifindex": self.ifindex[f"vxlan{family}"],
            "flags": lib.GW_TUNNEL_FRAGMENT
            | (lib.GW_TUNNEL_IPV6 | lib.GW_TUNNEL_CHECKSUM if family == 6 else 0),
            "vni": VNIS[family],
            "local": _vtep(NEAR.address(family)),
            **self.remote(FAR.address(family)),
            "port": socket.htons(PORT),
            "port_low": 49152,
            "port_high": 65535,
            "mtu": MTU,
            "ttl": 64,
            **fields,
        }
        self.table("gw_tunnels").set(reference - 1, abi.new("gw_tunnel", **changed))

    @staticmethod
    def remote(address: str) -> dict[str, Any]:
        """A field of set_tunnel: where it leads to."""
        return {"remote": _vtep(address)}

    def attach_tc(self, device: str, program: str, *, egress: bool) -> None:
        with namespaces.entered(self.gateway):
            ifindex = self.ifindex[device]
            assert lib.gw_tc_prepare(ifindex) >= 0
            fd = self.programs.program(program)
            assert lib.gw_tc_attach(ifindex, egress, fd, HANDLE, PRIORITY) == 0

    def attach_marked(self, folder: Path) -> None:
        """Frames from lan0-far come with the metadata that stands in front of them."""
        compiled = folder / "marked.bpf.o"
        multiarch = subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
        flags = ["-O2", "-g", "-target", "bpf", f"-I/usr/include/{multiarch}", f"-I{INCLUDE}"]
        subprocess.run(["clang", *flags, "-c", MARKED, "-o", compiled], check=True)
        marked = LoadedObject(ObjectFile(compiled, ("marked",)))
        self._stack.callback(marked.close)
        marked.load()
        with namespaces.entered(self.gateway):
            link = lib.gw_xdp_link(marked.program("marked"), self.ifindex["lan0"], 0)
        assert link >= 0, os.strerror(-link)
        self._stack.callback(lib.gw_close, link)

    def tap(self, namespace: str, device: str) -> socket.socket:
        with namespaces.entered(namespace):
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self._stack.callback(opened.close)
            opened.bind((device, 0))
        opened.settimeout(ARRIVES_SECONDS)
        return opened

    def protocol_counters(self, namespace: str) -> dict[str, int]:
        """/proc/net/snmp and snmp6 as IpReasmOKs, Udp6InCsumErrors and so on."""
        with namespaces.entered(namespace):
            lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
            six = Path("/proc/thread-self/net/snmp6").read_text().splitlines()
        found = {name: int(value) for name, value in (line.split() for line in six)}
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            prefix = names.split(":")[0]
            pairs = zip(names.split()[1:], values.split()[1:], strict=True)
            found.update({prefix + name: int(value) for name, value in pairs})
        return found


def arriving(tap: socket.socket, count: int = 1) -> list[bytes]:
    """The next frames that a device receives, not those that it sends; without kernels' MLD."""
    found: list[bytes] = []
    while len(found) < count:
        frame, address = tap.recvfrom(65536)
        if address[2] != socket.PACKET_OUTGOING and not frame.startswith(MLD_ROUTERS):
            found.append(frame)
    return found


def _vtep(address: str) -> tuple[bytes]:
    return (ip_address(address).packed.ljust(16, b"\0"),)


def _gateway(peer: str) -> list[str]:
    lines = ["link set lo up", "link add lan0 mtu 3400 type veth peer name lan0-far mtu 3400"]
    lines += ["link set lan0-far arp off up", "link set lan0 up"]
    lines.append(f"link add und0 address {NEAR.mac} type veth peer name und1 netns {peer}")
    lines += _addressed("und0", NEAR, FAR)
    lines += ["link add br0 type bridge mcast_snooping 0", "link set br0 up"]
    lines.append("link set lan0 master br0")
    return lines


def _peer() -> list[str]:
    return ["link set lo up", f"link set und1 address {FAR.mac}", *_addressed("und1", FAR, NEAR)]


def _addressed(device: str, own: End, other: End) -> list[str]:
    lines = [f"link set {device} up", f"addr add {own.ipv4}/24 dev {device}"]
    lines.append(f"addr add {own.ipv6}/64 dev {device} nodad")
    for family in (4, 6):
        for address in (other.address(family), SECOND[family]):
            lines.append(f"neigh replace {address} lladdr {other.mac} dev {device} nud permanent")
        vxlan = f"vxlan{family} mtu {MTU} type vxlan id {VNIS[family]} dstport {PORT} nolearning"
        vxlan += f" local {own.address(family)} remote {other.address(family)}"
        lines += [f"link add {vxlan}", f"link set vxlan{family} up"]
    return lines


def inner_frame(size: int, **macs: str) -> bytes:
    """An Ethernet frame of so many bytes, every one of which matters."""
    ether = Ether(**{"dst": "02:00:00:00:00:bb", "src": "02:00:00:00:00:aa", **macs})
    headers = ether / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=4000, dport=4001)
    return bytes(headers / Raw(bytes(i % 251 for i in range(size - len(headers)))))


@contextmanager
def built() -> Iterator[Underlay]:
    with ExitStack() as stack:
        yield Underlay(stack)


def handover(ifindex: int, mtu: int, flags: int, serial: int = 0x12345678) -> bytes:
    """What gw_xdp leaves in front of a frame."""
    record = abi.new(
        "gw_handover",
        magic=lib.GW_HANDOVER_MAGIC,
        ifindex=ifindex,
        mtu=mtu,
        serial=serial,
        flags=flags,
    )
    return bytes(ffi.buffer(record))
