# SPDX-License-Identifier: GPL-2.0-or-later
"""A path whose middle bridges: stations behind lan0, and as many behind VTEPs beyond wan0."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from tests.bench.path import MeasuredPath, inside_netns, run

VNI, PORT = 550, 4789
DEVICE, BRIDGE = "vni550", "br0"
STATIONS = 1000
"""Behind lan0, and again so many behind VTEPs."""
ETHERNET_HEADER = 14
JUMBO = 1600
"""An underlay's MTU that a whole outer packet fits."""

# As request.c has them; the MAC address of a station follows from its IPv4 address.
LOCAL, REMOTE = IPv4Address("10.64.1.0"), IPv4Address("11.0.0.0")


def mac(station: IPv4Address) -> str:
    """enum bench_form of bench_flows.h says why."""
    return "02:00:" + station.packed.hex(":")


def packets(netns: str, device: str) -> tuple[int, int]:
    """What a device has received and sent."""
    links = json.loads(run(["ip", "-n", netns, "-s", "-j", "link", "show", "dev", device]))
    counted = links[0]["stats64"]
    return int(counted["rx"]["packets"]), int(counted["tx"]["packets"])


@dataclass(frozen=True)
class Underlay:
    """Addresses of one family, between which VXLAN goes."""

    local: str
    length: int
    next_hop: str
    vteps: str  # a prefix behind the next hop
    first_vtep: str
    device_options: tuple[str, ...] = ()

    def vtep(self, number: int) -> str:
        return str(ip_address(self.first_vtep) + number)


UNDERLAYS = {
    # Without a UDP checksum, which over IPv4 is everybody's habit (RFC 7348 5).
    4: Underlay("192.0.2.1", 24, "192.0.2.254", "198.51.100.0/24", "198.51.100.1", ("noudpcsum",)),
    6: Underlay("2001:db8:1::1", 64, "2001:db8:1::fe", "2001:db8:2::/64", "2001:db8:2::1"),
}


@dataclass(frozen=True)
class TunnelSetup:
    """What a path and its contenders are made for."""

    family: int = 4
    size: int = 64  # of an inner frame, bytes with its Ethernet header
    mtu: int = 1500  # of the underlay
    stations: int = STATIONS
    vteps: int = 1
    access_mtu: int = 1500  # where the stations are; a redirect there carries outer packets

    @property
    def underlay(self) -> Underlay:
        return UNDERLAYS[self.family]


class BridgedPath(MeasuredPath):
    """gen0 -- lan0 [br0 with a VXLAN device, wan0] wan0 -- sink0; all stations are static."""

    def __init__(self, label: str, setup: TunnelSetup) -> None:
        super().__init__(label)
        self.setup = setup

    def furnish(self) -> None:
        middle, sink, setup = self.names.middle, self.names.sink, self.setup
        underlay = setup.underlay
        for netns, device in ((middle, "lan0"), (self.names.generator, "gen0")):
            run(["ip", "-n", netns, "link", "set", device, "mtu", str(setup.access_mtu)])
        for netns, device, address in (
            (middle, "wan0", underlay.local),
            (sink, "sink0", underlay.next_hop),
        ):
            if setup.family == 6:
                self._speak_ipv6(netns, device)
            run(["ip", "-n", netns, "link", "set", device, "mtu", str(setup.mtu)])
            prefix = f"{address}/{underlay.length}"
            nodad = ["nodad"] if setup.family == 6 else []
            run(["ip", "-n", netns, "address", "add", prefix, "dev", device, *nodad])
        run(["ip", "-n", middle, "route", "add", underlay.vteps, "via", underlay.next_hop])
        self._make_bridge()
        run(["bridge", "-n", middle, "-batch", "-"], stdin="\n".join(self._stations()))

    def resolve_next_hop(self) -> None:
        self.middle("ping", "-q", "-c", "1", "-W", "2", self.setup.underlay.next_hop)

    def device_packets(self) -> tuple[int, int]:
        """What the VXLAN device has received and sent."""
        return packets(self.names.middle, DEVICE)

    def _speak_ipv6(self, netns: str, device: str) -> None:
        """Without solicitations, which would be frames that nobody asked for."""
        for name, value in (("disable_ipv6", 0), ("router_solicitations", 0)):
            setting = f"net.ipv6.conf.{device}.{name}={value}"
            run(inside_netns(netns, ["sysctl", "-qw", setting]))

    def _make_bridge(self) -> None:
        underlay = self.setup.underlay
        tunnel = ["id", str(VNI), "dstport", str(PORT), "local", underlay.local, "nolearning"]
        options = [*tunnel, *underlay.device_options]
        inner_mtu = ["mtu", "1500"]
        for words in (
            ["link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"],
            ["link", "add", DEVICE, *inner_mtu, "type", "vxlan", *options],
            ["link", "set", DEVICE, "master", BRIDGE],
            ["link", "set", "lan0", "master", BRIDGE],
            ["link", "set", DEVICE, "up"],
            ["link", "set", BRIDGE, "up"],
        ):
            run(["ip", "-n", self.names.middle, *words])

    def _stations(self) -> Iterator[str]:
        setup = self.setup
        for n in range(setup.stations):
            vtep = setup.underlay.vtep(n % setup.vteps)
            yield f"fdb add {mac(LOCAL + n)} dev lan0 master static"
            yield f"fdb add {mac(REMOTE + n)} dev {DEVICE} dst {vtep} self static"
            yield f"fdb add {mac(REMOTE + n)} dev {DEVICE} master static"
