# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge of the kernel's over two ports of the worker: the kernel learns, the worker forwards."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.forward.fibre import Fibre
from tests.lib.fibre import datagram, is_marked
from tests.lib.gateway import eventually
from tests.lib.packets import PAYLOAD, same

A, B = "02:00:c6:12:aa:0a", "02:00:c6:12:aa:0b"
"""Two stations; the hosts of the lab are others."""
BRIDGE = "brsfp"
AGEING_SECONDS = 4


@pytest.fixture
def bridged(fibre: Fibre) -> Iterator[Fibre]:
    """Both ports in one bridge, which knows nothing yet."""
    with bridge(fibre):
        yield fibre
    fibre.meet()


@contextmanager
def bridge(fibre: Fibre, options: str = "") -> Iterator[None]:
    kind = f"type bridge forward_delay 0 mcast_snooping 0 {options}"
    fibre.ip(
        f"link add {BRIDGE} {kind}",
        f"link set {BRIDGE} addrgenmode none",
        f"link set sfp0 master {BRIDGE}",
        f"link set sfp1 master {BRIDGE}",
        f"link set {BRIDGE} up",
    )
    try:
        yield
    finally:
        fibre.ip("link set sfp0 nomaster", "link set sfp1 nomaster", f"link del {BRIDGE}")


def frame(src: str, dst: str) -> Packet:
    return Ether(src=src, dst=dst) / datagram()


def entry(fibre: Fibre, mac: str) -> str | None:
    """The port where the kernel's bridge has the station."""
    listed = json.loads(fibre.lab.run("gw", ["bridge", "-j", "fdb", "show", "br", BRIDGE]))
    return next((str(item["ifname"]) for item in listed if item["mac"] == mac), None)


def met(fibre: Fibre) -> None:
    """Both have said something, so that the kernel, and then the worker, knows where they are."""
    for mac, place, port in ((A, "east", "sfp0"), (B, "west", "sfp1")):
        fibre.wires.send(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=mac), at=place)
        eventually(lambda mac=mac, port=port: entry(fibre, mac) == port, f"{mac} is learned")  # type: ignore[misc]
    fibre.mirrored()


def test_the_first_frames_are_the_kernels(bridged: Fibre) -> None:
    """Flooded by it, as broadcast is; what it has learned the worker forwards, untouched."""
    counts = bridged.counting()
    first = frame(A, B)
    same(bridged.send(first, at="east", to="west"), first)
    counts.expect(PUNT_BRIDGE_MISS=1)
    met(bridged)
    counts = bridged.counting()
    for src, dst, at, to in ((A, B, "east", "west"), (B, A, "west", "east")):
        same(bridged.send(frame(src, dst), at=at, to=to), frame(src, dst))
    counts.expect(FORWARD_BRIDGE=2)


def test_anything_that_ethernet_carries(bridged: Fibre) -> None:
    met(bridged)
    counts = bridged.counting()
    sent = Ether(src=A, dst=B, type=0x88B5) / Raw(PAYLOAD)
    got = bridged.send(sent, at="east", to="west", wanted=lambda seen: PAYLOAD in bytes(seen))
    same(got, sent)
    counts.expect(FORWARD_BRIDGE=1)


def test_broadcast_is_flooded_by_the_kernel(bridged: Fibre) -> None:
    sent = frame(A, "ff:ff:ff:ff:ff:ff")
    same(bridged.send(sent, at="east", to="west"), sent)


def test_a_station_moves(bridged: Fibre) -> None:
    met(bridged)
    gone = Ether(src=A, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=A)
    bridged.wires.send(gone, at="west")
    eventually(lambda: entry(bridged, A) == "sfp1", "the kernel has seen it move")
    bridged.mirrored()
    counts = bridged.counting()
    bridged.wires.send_and_expect_nothing(frame(B, A), at="west", to="east", wanted=is_marked)
    counts.expect(DROP_SAME_PORT=1)


def test_a_station_that_moves_by_unicast(bridged: Fibre) -> None:
    """A frame whose source is known elsewhere is the kernel's, which learns from it."""
    met(bridged)
    third = "02:00:c6:12:aa:0c"
    bridged.wires.send(Ether(src=third, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=third), at="east")
    eventually(lambda: entry(bridged, third) == "sfp0", "it is learned")
    bridged.mirrored()
    same(bridged.send(frame(B, third), at="west", to="east"), frame(B, third))
    bridged.send(frame(A, third), at="west", to="east")
    eventually(lambda: entry(bridged, A) == "sfp1", "it has moved")


def test_a_forgotten_station_is_the_kernels_again(bridged: Fibre) -> None:
    met(bridged)
    bridged.lab.run("gw", ["bridge", "fdb", "del", B, "dev", "sfp1", "master"])
    bridged.mirrored()
    counts = bridged.counting()
    same(bridged.send(frame(A, B), at="east", to="west"), frame(A, B))
    counts.expect(PUNT_BRIDGE_MISS=1)


def test_a_static_station(bridged: Fibre) -> None:
    """Which never says anything."""
    met(bridged)
    quiet = "02:00:c6:12:aa:0d"
    bridged.lab.run("gw", ["bridge", "fdb", "add", quiet, "dev", "sfp1", "master", "static"])
    bridged.mirrored()
    counts = bridged.counting()
    same(bridged.send(frame(A, quiet), at="east", to="west"), frame(A, quiet))
    counts.expect(FORWARD_BRIDGE=1)


@pytest.mark.slow
def test_ageing(fibre: Fibre) -> None:
    """Who is heard only by the worker is not forgotten; who is silent is."""
    with bridge(fibre, f"ageing_time {AGEING_SECONDS * 100}"):
        met(fibre)
        until = time.monotonic() + 2.5 * AGEING_SECONDS
        while time.monotonic() < until:
            fibre.send(frame(A, B), at="east", to="west")
            # B says nothing, but A's frames are for it: that keeps it no longer than its time.
            assert entry(fibre, A) == "sfp0"
        assert entry(fibre, B) is None
        eventually(lambda: entry(fibre, A) is None, "it is forgotten", 3.0 * AGEING_SECONDS)
    fibre.meet()


def test_routing_out_of_a_bridge(bridged: Fibre) -> None:
    """The bridge has an address: between its hosts and others the gateway routes."""
    bridged.ip(
        f"addr add 192.0.2.1/24 dev {BRIDGE}",
        f"neigh add 192.0.2.10 lladdr {B} dev {BRIDGE} nud permanent",
    )
    met(bridged)
    listed = json.loads(bridged.lab.run("gw", ["ip", "-j", "link", "show", BRIDGE]))
    own = str(listed[0]["address"])
    counts = bridged.counting()
    sent = Ether(src=A, dst=own) / datagram("192.0.2.20", "192.0.2.10")
    # The kernel forwards the first ones of a second, for the hosts could do without it.
    for _ in range(50):
        got = bridged.send(sent, at="east", to="west")
        same(got, Ether(src=own, dst=B) / datagram("192.0.2.20", "192.0.2.10", ttl=63))
        if counts.now().get("FORWARD_IP4"):
            break
    counts.expect_some(FORWARD_IP4=1, PUNT_REDIRECT=1)


def test_spanning_tree_is_obeyed(bridged: Fibre) -> None:
    """A port that is disabled takes nothing; without STP the kernel undoes any other state."""
    met(bridged)
    bridged.lab.run("gw", ["bridge", "link", "set", "dev", "sfp0", "state", "0"])
    bridged.mirrored()
    counts = bridged.counting()
    bridged.wires.send_and_expect_nothing(frame(A, B), at="east", to="west", wanted=is_marked)
    counts.expect_some(DROP_BRIDGE_STATE=1)
