# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN on a bench: the kernel's devices as an owner makes them, and the frames of a segment.

    with Bench.running("vx", with_tunnels()) as bench:
        core = underlay(bench)
        access = bench.port("p0")
        segment = Segment.made(bench, core, [access], family=6)
        segment.station(HERE, access)
        segment.station(FAR, PEER[6])
        stretch(bench, segment)
        received = bench.send_and_expect(frame, via=access.far, at=core.far)

The underlay's port is `core`; VTEPs are neighbours there (PEER, OTHER) whose MAC address is that of
the cable's far end. `segment.arriving(inner)` and `segment.leaving(inner)` are outer frames built
with scapy, to be compared with what the worker makes of them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from hybrid_gateway.worker_client import WorkerOptions
from hybrid_gateway.worker_values import WorkerSegment
from tests.dpdk.harness import SMALL, Bench
from tests.dpdk.wires import Cable
from tests.lib.packets import udp

PORT = 4789
FIRST_PORT, LAST_PORT = 49152, 65535
TTL = 64
MTU = 1500
"""Of the VXLAN devices, whatever the underlay has."""
CORE_MTU = 1500
"""More than that no af_packet port can do."""
SIZES = {4: 50, 6: 70}
"""Bytes of the outer headers, Ethernet included."""
LOCAL = {4: "192.0.2.1", 6: "2001:db8:1::1"}
PEER = {4: "192.0.2.2", 6: "2001:db8:1::2"}
"""The VTEP that segments flood to, unless they are told otherwise."""
OTHER = {4: "192.0.2.3", 6: "2001:db8:1::3"}
"""One more, that no segment knows by itself."""
STRANGER = {4: "192.0.2.66", 6: "2001:db8:1::66"}
"""A host of the underlay that is nobody's VTEP."""
FAMILIES = (4, 6)
NOBODY = "00:00:00:00:00:00"


@dataclass(frozen=True, slots=True)
class Station:
    """A host of a segment."""

    ip: str
    mac: str


HERE = Station("10.9.0.10", "02:00:00:00:09:10")
THERE = Station("10.9.0.11", "02:00:00:00:09:11")
FAR = Station("10.9.0.40", "02:00:00:00:09:40")
FARTHER = Station("10.9.0.41", "02:00:00:00:09:41")


def with_tunnels(tunnels: int = 256) -> WorkerOptions:
    """The bench's usual options, and room for VTEPs."""
    return replace(SMALL, tunnels=tunnels)


def underlay(bench: Bench, name: str = "core", *, mtu: int = CORE_MTU) -> Cable:
    """A port with LOCAL's addresses, and PEER and OTHER for permanent neighbours."""
    port = bench.port(name, f"{LOCAL[4]}/24", f"{LOCAL[6]}/64", mtu=mtu)
    bench.neighbour(port, *PEER.values(), *OTHER.values(), *STRANGER.values())
    return port


def ifindexes(bench: Bench) -> dict[str, int]:
    """Of all devices by name; /sys shows those of the namespace that it was mounted in."""
    return {link["ifname"]: link["ifindex"] for link in json.loads(bench.run("ip", "-j", "link"))}


def ifindex(bench: Bench, device: str) -> int:
    return ifindexes(bench)[device]


@dataclass(frozen=True, slots=True)
class Segment:
    """A bridge with access ports and one VXLAN device; `made` makes both in the kernel."""

    bench: Bench
    core: Cable
    family: int
    vni: int
    device: str
    bridge: str
    wanted: WorkerSegment
    """As the agent would give it to the worker; `dataclasses.replace` for other options."""

    @classmethod
    def made(
        cls,
        bench: Bench,
        core: Cable,
        ports: Sequence[Cable],
        *,
        family: int = 4,
        vni: int = 100,
        device: str = "vx0",
        bridge: str = "br0",
        vteps: Sequence[str] | None = None,
        kernel: str = "",
        **options: Any,
    ) -> "Segment":
        """`vteps` is the flood list (PEER), `kernel` more words for `ip link add ... type vxlan`,
        `options` are fields of WorkerSegment."""
        local = options.setdefault("local", LOCAL[family])
        checksum = options.setdefault("checksum", family == 6)
        words = f"id {vni} dstport {PORT} srcport {FIRST_PORT} {LAST_PORT} ttl {TTL} nolearning"
        words += f" local {local}" if local else ""
        words += f" {'' if checksum else 'no'}udpcsum" if family == 4 else ""
        words += " udp6zerocsumtx" if family == 6 and not checksum else ""
        if bridge not in ifindexes(bench):
            bench.ip(
                f"link add {bridge} address 02:00:00:00:09:01 type bridge"
                " forward_delay 0 mcast_snooping 0",
                f"link set {bridge} up",
            )
        bench.ip(
            f"link add {device} mtu {MTU} type vxlan {words} {kernel}",
            *(f"link set {port.name} master {bridge}" for port in ports),
            f"link set {device} master {bridge}",
            f"link set {device} up",
        )
        if not options.get("learns"):
            bench.run("bridge", "link", "set", "dev", device, "learning", "off")
        wanted = WorkerSegment(
            **{
                "ifindex": ifindex(bench, device),
                "bridge": ifindex(bench, bridge),
                "vni": vni,
                "family": family,
                "port": PORT,
                "first_port": FIRST_PORT,
                "last_port": LAST_PORT,
                "mtu": MTU,
                "ttl": TTL,
                "arrivals": (local,) if local else (),
                **options,
            }
        )
        segment = cls(bench, core, family, vni, device, bridge, wanted)
        segment.flood(*((PEER[family],) if vteps is None else vteps))
        return segment

    def station(self, station: Station | str, place: Cable | str) -> None:
        """The kernel has it at a port, or behind a VTEP, as FRR's zebra writes that."""
        mac = station.mac if isinstance(station, Station) else station
        if isinstance(place, Cable):
            self.fdb("replace", mac, "dev", place.name, "master", "static")
            return
        self.fdb("replace", mac, "dev", self.device, "dst", place, "self", "extern_learn")
        self.fdb("replace", mac, "dev", self.device, "master", "extern_learn")

    def flood(self, *vteps: str) -> None:
        """They are on the flood list, too."""
        for vtep in vteps:
            self.fdb("append", NOBODY, "dev", self.device, "dst", vtep, "self", "permanent")

    def fdb(self, *words: str) -> None:
        """`bridge fdb` in the gateway's namespace."""
        self.bench.run("bridge", "fdb", *words)

    def arriving(self, inner: Packet | bytes, **fields: Any) -> Packet:
        """In VXLAN from PEER to the gateway; `fields` are those of `around`."""
        ends: dict[str, Any] = {
            "source": PEER[self.family],
            "target": self.wanted.local or LOCAL[self.family],
            "macs": (self.core.far_mac, self.core.mac),
            "vni": self.vni,
        }
        return around(inner, self.family, **(ends | fields))

    def leaving(self, inner: Packet | bytes, **fields: Any) -> Packet:
        """In VXLAN from the gateway to PEER; `fields` are those of `around`, and `sport` is one of
        them: what is in a frame that was received is `source_port(received)`."""
        ends: dict[str, Any] = {
            "source": self.wanted.local,
            "target": PEER[self.family],
            "macs": (self.core.mac, self.core.far_mac),
            "vni": self.vni,
            "checksum": None if self.wanted.checksum else 0,
        }
        return around(inner, self.family, **(ends | fields))


def stretch(bench: Bench, *segments: Segment) -> None:
    """Gives the worker these segments and no others, and waits until its tables have them."""
    bench.client.set_segments([segment.wanted for segment in segments])
    bench.settle()


def between(source: Station, target: Station | str, **fields: Any) -> Packet:
    """A frame from one station to another, or to that MAC address."""
    mac, address = (target, FAR.ip) if isinstance(target, str) else (target.mac, target.ip)
    return Ether(src=source.mac, dst=mac) / udp(source.ip, address, 4000, 5000, **fields)


def around(
    inner: Packet | bytes,
    family: int,
    *,
    source: str,
    target: str,
    macs: tuple[str, str],
    vni: int,
    sport: int = 50000,
    dport: int = PORT,
    checksum: int | None = None,
    tos: int = 0,
    ttl: int = TTL,
    ip: dict[str, Any] | None = None,
    udp: dict[str, Any] | None = None,
    vxlan: dict[str, Any] | None = None,
) -> Packet:
    """Outer headers around a frame; a checksum of None is the right one.

    `ip`, `udp` and `vxlan` are fields of scapy's layers, instead of the usual ones.
    """
    outer: Packet
    if family == 4:
        fields = {"id": 0, "flags": 0} | (ip or {})
        outer = IP(src=source, dst=target, tos=tos, ttl=ttl, **fields)
    else:
        outer = IPv6(src=source, dst=target, tc=tos, hlim=ttl, **(ip or {}))
    header = UDP(**({"sport": sport, "dport": dport, "chksum": checksum} | (udp or {})))
    payload = VXLAN(**({"flags": 8, "vni": vni} | (vxlan or {}))) / Raw(bytes(inner))
    return Ether(src=macs[0], dst=macs[1]) / outer / header / payload


def source_port(frame: Packet) -> int:
    """Of the outer UDP header."""
    return int(frame[UDP].sport)


def identification(frame: Packet) -> int:
    """Of the outer IPv4 header; 0 with IPv6."""
    return int(frame[IP].id) if frame.type == 0x0800 else 0
