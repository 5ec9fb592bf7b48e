# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN on virtio NICs, with a kernel's VXLAN bridge at the other end."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hybrid_gateway.lab import INTERNET, LAN, WAN
from hybrid_gateway.lab.branch import HOME, VNI, VTEP, VXLAN
from hybrid_gateway.lab.peers import blob
from hybrid_gateway.lab.services import servers
from hybrid_gateway.lab.sniff import PacketSocket
from tests.lib.programs import curl, pinged
from tests.lib.vxlan import BROADCAST, full
from tests.vm import vxlan
from tests.vm.conftest import Appliance
from tests.vm.gateway import GuestGateway
from tests.vm.vxlan import Branch, branch_of

pytestmark = pytest.mark.vm

SERVER = INTERNET[0]
UPLOAD = 3_000_000
AGEING = 12
"""Seconds; pings go on for three times as long."""
SECONDS = 30.0
"""For one frame through an emulated CPU."""


@pytest.fixture(scope="module")
def built(appliance: Appliance, gateway: GuestGateway) -> Iterator[Branch]:
    with branch_of(appliance.site, gateway) as branch:
        branch.commands(*vxlan.nat_bridge(VNI))
        appliance.guest.write("/etc/gw/gateway.yaml", vxlan.NAT_CONFIGURATION.encode())
        gateway.start()
        yield branch


def upload(branch: Branch) -> None:
    """From lan to home, at full size: each frame is cut."""
    path = branch.lab.directory / "upload"
    path.write_bytes(blob(UPLOAD))
    with servers(branch.lab, "home", http=[f"{HOME.ip}:80"]):
        said = curl(branch.lab, "lan", "-T", str(path), f"http://{HOME.ip}/")
    assert said.decode() == hashlib.sha256(blob(UPLOAD)).hexdigest()


def ping(branch: Branch) -> None:
    branch.meet("lan", HOME.ip)
    with branch.counts(VXLAN_ENCAP=10, VXLAN_DECAP=10, BRIDGE=20):
        assert pinged(branch.lab, "lan", HOME.ip, count=10) == 10


def send_full_frames(branch: Branch) -> None:
    branch.meet("lan", HOME.ip)
    with branch.counts(VXLAN_CUT=UPLOAD // 1460):
        upload(branch)


class TestBesideNat:
    """One bridge is NAT's inside and stretched; the underlay is the outside port."""

    def test_attaches_in_the_driver(self, built: Branch) -> None:
        modes = {port["name"]: port["mode"] for port in built.gateway.ctl("status")["ports"]}
        assert modes == {"lan0": "native", "wan0": "native"}

    def test_ping(self, built: Branch) -> None:
        ping(built)

    def test_full_frames_are_cut(self, built: Branch) -> None:
        send_full_frames(built)

    def test_who_talks_does_not_age(self, built: Branch) -> None:
        """What the agent asks of an older kernel for that, it answers in other words."""
        built.commands(
            f"ip link set {vxlan.BRIDGE} type bridge ageing_time {100 * AGEING}",
            f"ip link set {VXLAN} type vxlan ageing {AGEING}",
            # What was learned before may be older than that already: it is learned anew.
            f"ip link set {VXLAN} down",
            f"ip link set {VXLAN} up",
        )
        try:
            built.meet("lan", HOME.ip)
            pings = 3 * AGEING
            with built.counts(VXLAN_ENCAP=pings, VXLAN_DECAP=pings, BRIDGE=2 * pings):
                argv = ["ping", "-n", "-i", "1", "-W", "5", "-c", str(pings // 2), HOME.ip]
                for _ in range(2):
                    built.lab.run("lan", argv)
        finally:
            built.commands(
                f"ip link set {vxlan.BRIDGE} type bridge ageing_time 30000",
                f"ip link set {VXLAN} type vxlan ageing 300",
            )

    def test_the_branch_reaches_the_internet(self, built: Branch) -> None:
        built.meet("lan", HOME.ip)
        with (
            servers(built.lab, "wan", http=[f"{SERVER}:80"]),
            built.counts(FORWARD=10, VXLAN_ENCAP=5, VXLAN_DECAP=5),
        ):
            assert pinged(built.lab, "home", SERVER, count=5) == 5
            who = curl(built.lab, "home", f"http://{SERVER}/whoami").decode()
        assert who.startswith(f"{WAN.ip}:")

    def test_over_ipv6(self, built: Branch) -> None:
        with ExitStack() as stack:
            for host, line in vxlan.UNDERLAY6:
                built.lab.run(host, ["ip", *line.split()])
            built.peer(VNI, vxlan.VTEP6, vxlan.WAN6)
            built.commands(f"ip link delete {VXLAN}", *vxlan.OVER_IPV6)
            built.commands(*vxlan.nat_bridge(VNI, vxlan.WAN6, vxlan.VTEP6))
            stack.callback(built.peer, VNI, VTEP, WAN.ip)
            stack.callback(
                built.commands, f"ip link delete {VXLAN}", *vxlan.nat_bridge(VNI, WAN.ip, VTEP)
            )
            built.meet("lan", HOME.ip)
            with built.counts(VXLAN_ENCAP=10, VXLAN_DECAP=10, VXLAN_CUT=UPLOAD // 1460):
                assert pinged(built.lab, "lan", HOME.ip, count=10) == 10
                upload(built)


class TestOneDeviceForManyVnis:
    """A single VXLAN device with a filter of VNIs, in a bridge that filters VLANs."""

    @pytest.fixture(scope="class")
    def filtered(self, built: Branch) -> Iterator[Branch]:
        with ExitStack() as stack:
            stack.callback(built.configure, vxlan.NAT_CONFIGURATION)
            # A device for one VNI and one for many cannot listen at the same UDP port.
            stack.callback(built.commands, *vxlan.NAT_BRIDGE_AGAIN, *vxlan.nat_bridge(VNI))
            stack.callback(built.peer, VNI, VTEP, WAN.ip)
            built.peer(vxlan.VNI, VTEP, WAN.ip)
            built.commands(f"ip link delete {VXLAN}", *vxlan.VLAN_BRIDGE)
            built.configure(vxlan.VLAN_CONFIGURATION)
            yield built

    def test_ping(self, filtered: Branch) -> None:
        ping(filtered)

    def test_full_frames_are_cut(self, filtered: Branch) -> None:
        send_full_frames(filtered)

    def test_flooded_frames_are_cut(self, filtered: Branch) -> None:
        """They go through the kernel's bridge, which tells the device the VNI by its VLAN."""
        assert pinged(filtered.lab, "lan", HOME.ip, count=1) == 1
        frame = bytes(full(LAN, BROADCAST))
        sender = PacketSocket(filtered.lab.namespace("lan"), LAN.device)
        receiver = PacketSocket(filtered.lab.namespace("home"), HOME.device)
        with ExitStack() as stack:
            stack.callback(sender.close)
            stack.callback(receiver.close)
            with filtered.counts(VXLAN_CUT=1):
                sender.send(frame)
                arriving = receiver.frames_until(time.monotonic() + SECONDS)
                assert any(got.data == frame for got in arriving)

    def test_the_other_vlan_is_another_segment(self, filtered: Branch) -> None:
        """VNI 300 is VLAN 20's, in which the LAN is not."""
        filtered.meet("lan", HOME.ip)
        filtered.peer(vxlan.OTHER_VNI, VTEP, WAN.ip)
        try:
            assert pinged(filtered.lab, "home", LAN.ip, count=3) == 0
        finally:
            filtered.peer(vxlan.VNI, VTEP, WAN.ip)
