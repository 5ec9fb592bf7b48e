# SPDX-License-Identifier: GPL-2.0-or-later
"""Many VNIs, VTEPs and stations, by BGP through gobgpd and the agent into kernel and worker.

The figures of a large site (64, 64 and 50 000) take half a minute and more: see LARGE.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether

from hybrid_gateway.lab.segment import evpn_section
from hybrid_gateway.lab.sites import ASN, BACKBONE, VNI, Kind, Site, vxlan_kind
from hybrid_gateway.lab.sniff import PacketSocket
from tests.interop import routes
from tests.interop.routes import flood_route, mac_route, update
from tests.interop.speaker import Speaker, speaking
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually
from tests.lib.packets import udp
from tests.lib.traffic import ARRIVES_SECONDS

HERE = Site(1, Kind.WORKER)
SITES = (Kind.WORKER, Kind.KERNEL)
ROUTER_ID = "192.0.2.254"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How many of what; the stations are spread over VNIs and VTEPs evenly."""

    vnis: int
    vteps: int
    stations: int

    def vni(self, number: int) -> int:
        return VNI + number

    def vtep(self, number: int) -> str:
        return str(ip_address("2001:db8:0:2::a000") + number)

    def mac(self, station: int) -> str:
        return (0x02_00_C7_00_00_00 + station).to_bytes(6).hex(":")

    def updates(self) -> Iterator[bytes]:
        """A VTEP of a VNI at a time: its flood route, and its stations."""
        for vtep in range(self.vteps):
            for vni in range(self.vnis):
                yield from self._of(vni, vtep)

    def _of(self, vni: int, vtep: int) -> Iterator[bytes]:
        address = self.vtep(vtep)
        path = routes.Path(address, ASN, self.vni(vni))
        rd = routes.distinguisher(str(IPv4Address("10.0.0.0") + vtep), self.vni(vni))
        tunnel = routes.tunnel(self.vni(vni), address)
        yield from update(replace(path, tunnel=tunnel), [flood_route(rd, address)])
        first, step = vtep * self.vnis + vni, self.vnis * self.vteps
        macs = [self.mac(station) for station in range(first, self.stations, step)]
        yield from update(path, [mac_route(rd, mac, self.vni(vni)) for mac in macs])


SMALL, LARGE = Scale(8, 8, 2_000), Scale(64, 64, 50_000)


def prepare(scale: Scale, three: Three, site: Site) -> None:
    """A bridge with a VXLAN device for each VNI but the lab's own."""
    if site.kind is not Kind.WORKER:
        return
    for vni in range(1, scale.vnis):
        device, bridge = f"x{vni}", f"y{vni}"
        for line in (
            f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0",
            f"link add {device} {vxlan_kind(site.vtep(), vni=scale.vni(vni))}",
            f"link set {device} mtu 1500 master {bridge} addrgenmode none up",
            f"link set {device} type bridge_slave learning off",
            f"link set {bridge} addrgenmode none up",
        ):
            three.lab.run(site.gateway, ["ip", *line.split()])


def section(scale: Scale, site: Site) -> str:
    if site.kind is not Kind.WORKER:
        return ""
    devices = "".join(
        f"  - {{device: x{vni}, vni: {scale.vni(vni)}}}\n" for vni in range(1, scale.vnis)
    )
    return devices + evpn_section(site, []) + f'    - {{address: "{site.router6}"}}\n'


@dataclass(frozen=True, slots=True)
class Large:
    """What stands, and who talks to it."""

    scale: Scale
    three: Three
    speaker: Speaker

    def entered(self) -> int:
        """Stations that the kernel has been told."""
        said = self.three.lab.run(HERE.gateway, ["bridge", "fdb", "show"])
        return sum(" dst 2001:db8:0:2:" in line and "extern" in line for line in said.splitlines())

    def mirrored(self) -> dict[int, tuple[str, int, int]]:
        """Of each VNI: who forwards, VTEPs and stations."""
        found = self.three.gateways[1].call("show.vxlan", cursor=0, limit=1000)["segments"]
        return {one["vni"]: (one["forwards"], one["floods"], one["macs_remote"]) for one in found}

    def wanted(self, vteps: int, stations: int) -> dict[int, tuple[str, int, int]]:
        """The worker has no port in the other bridges, and less than 64 in all."""
        count, more = divmod(stations, self.scale.vnis)
        return {
            self.scale.vni(vni): ("kernel" if vni else "worker", vteps, count + (vni < more))
            for vni in range(self.scale.vnis)
        }


def large(name: str, directory: Path, scale: Scale) -> Iterator[Large]:
    with standing(
        name,
        directory,
        SITES,
        section=lambda site: section(scale, site),
        prepare=lambda three, site: prepare(scale, three, site),
    ) as three:
        prefix = three.lab.argv(BACKBONE, [])
        with speaking(prefix, ASN, ROUTER_ID, HERE.router6, HERE.vtep()) as speaker:
            yield Large(scale, three, speaker)


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Large]:
    yield from large(f"x{os.getpid()}", tmp_path, SMALL)


def test_all_arrive_and_all_go(built: Large) -> None:
    scale, three = built.scale, built.three
    built.speaker.send(scale.updates())
    eventually(lambda: built.entered() == scale.stations, "the kernel has all", SECONDS)
    full, empty = built.wanted(scale.vteps, scale.stations), built.wanted(0, 0)
    eventually(lambda: built.mirrored() == full, "so have the data paths", SECONDS)
    shown = three.gateways[1].call("show.evpn")
    assert shown["summary"]["macs_remote"] == scale.stations
    assert shown["refused"] == []
    reaches_each_vtep(built)

    built.speaker.cease()
    eventually(lambda: built.entered() == 0, "the kernel has forgotten all", SECONDS)
    eventually(lambda: built.mirrored() == empty, "so have the data paths", SECONDS)


def reaches_each_vtep(built: Large) -> None:
    """By frames from the access port to one station of the lab's VNI behind each."""
    three, scale = built.three, built.scale
    host, router = HERE.host, HERE.router
    stations = {vtep: scale.mac(vtep * scale.vnis) for vtep in range(scale.vteps)}
    sender = PacketSocket(three.lab.namespace(host.host), host.device)
    seen = PacketSocket(three.lab.namespace(router.host), router.device)
    try:
        counts = three.counting(1)
        for mac in stations.values():
            packet = udp(host.ip, "198.18.50.200", 4000, 53)
            sender.send(bytes(Ether(src=host.mac, dst=mac) / packet))
        wanted = {ip_address(scale.vtep(vtep)).packed: mac for vtep, mac in stations.items()}
        counts.expect_some(VXLAN_ENCAP=len(stations))
        found: dict[bytes, str] = {}
        for got in seen.frames_until(time.monotonic() + ARRIVES_SECONDS):
            # After Ethernet, IPv6, UDP and VXLAN: 14, 40, 8 and 8 bytes.
            vtep, mac = got.data[38:54], got.data[70:76].hex(":")
            if vtep in wanted and mac in stations.values():
                found[vtep] = mac
            if len(found) == len(wanted):
                break
        assert found == wanted
    finally:
        sender.close()
        seen.close()
