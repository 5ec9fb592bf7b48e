# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's bridges and FDBs change under traffic: XDP follows, and forwards nothing stale."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.second import (
    ACCESS,
    ACCESS2,
    BRIDGE,
    FAR_UPLINK,
    LEFT,
    LEFT2,
    NEAR_ROUTER,
    RIGHT,
    UNDERLAY6,
    UPLINK,
    VNI,
    VXLAN,
    Underlay,
    vxlan_kind,
)
from hybrid_gateway.lab.services import Datagrams, servers
from tests.forward.sites import Sites
from tests.lib.gateway import eventually
from tests.lib.packets import same
from tests.lib.programs import pinged
from tests.lib.vxlan import BROADCAST, arriving, is_marked, segment

FLAPS, A_SECOND, SECONDS = 100, 1000, 3
"""At a time, in a second, and how long."""
AGEING = 6
"""Seconds; the agent refreshes more often than that."""


def run(sites: Sites, line: str) -> None:
    """`ip` or `bridge` at the first site."""
    sites.lab.run("gw", line.split())


class TestStation:
    def test_that_is_taken_out_of_the_fdb(self, sites: Sites) -> None:
        """Then it is unknown: the bridge floods."""
        run(sites, f"bridge fdb delete {RIGHT.mac} dev {VXLAN} master")
        run(sites, f"bridge fdb delete {RIGHT.mac} dev {VXLAN} self dst {sites.underlay.far}")

        def flooded() -> bool:
            counts = sites.agent.counting()
            sites.wires.send_and_expect(segment(), at="left", to="right", wanted=is_marked)
            return counts.now() == {"PUNT_FLOOD": 1}

        eventually(flooded, "it is flooded")

    def test_that_moves_here(self, sites: Sites) -> None:
        """One frame of it at an access port, and what is for it stays here."""
        sites.wires.send(Ether(src=RIGHT.mac, dst=BROADCAST) / segment().payload, at="left2")
        sites.wires.forget("right")

        def here() -> bool:
            counts = sites.agent.counting()
            frame = segment()
            same(sites.wires.send_and_expect(frame, at="left", to="left2", wanted=is_marked), frame)
            return counts.now() == {"BRIDGE": 1}

        eventually(here, "XDP bridges to where it is")
        assert not list(sites.wires.arriving("right", is_marked, 0.1))[1:], "stale, or flooded"

    def test_that_moves_there(self, sites: Sites) -> None:
        moved = Ether(src=LEFT2.mac, dst=BROADCAST) / segment(RIGHT, LEFT).payload
        sites.wires.send(arriving(sites.underlay, moved), at="router")
        frame = segment(LEFT, LEFT2)

        def there() -> bool:
            counts = sites.agent.counting()
            sites.wires.send_and_expect(frame, at="left", to="router", wanted=is_marked)
            return counts.now() == {"BRIDGE": 1, "VXLAN_ENCAP": 1}

        eventually(there, "XDP tunnels to where it is")

    def test_that_the_owner_pins(self, sites: Sites) -> None:
        """As EVPN's daemon does: `extern_learn`, which ages for nobody."""
        mac = "02:00:cb:00:71:77"
        far = sites.underlay.far
        run(sites, f"bridge fdb replace {mac} dev {VXLAN} master extern_learn")
        run(sites, f"bridge fdb replace {mac} dev {VXLAN} self dst {far} extern_learn")
        try:

            def tunnelled() -> bool:
                counts = sites.agent.counting()
                frame = segment(dst=mac)
                sites.wires.send_and_expect(frame, at="left", to="router", wanted=is_marked)
                return counts.now() == {"BRIDGE": 1, "VXLAN_ENCAP": 1}

            eventually(tunnelled, "XDP tunnels to it")
        finally:
            run(sites, f"bridge fdb delete {mac} dev {VXLAN} master")
            run(sites, f"bridge fdb delete {mac} dev {VXLAN} self dst {far}")


class TestSender:
    def test_that_is_not_a_vtep_any_more(self, sites: Sites) -> None:
        """Out of the flood list and the FDB: dropped from then on."""
        far, zero = sites.underlay.far, "00:00:00:00:00:00"
        run(sites, f"bridge fdb delete {zero} dev {VXLAN} self dst {far}")
        run(sites, f"bridge fdb flush dev {VXLAN}")
        try:

            def refused() -> bool:
                counts = sites.agent.counting()
                sites.wires.send(arriving(sites.underlay, segment(RIGHT, LEFT)), at="router")
                return counts.now() == {"DROP_VTEP": 1}

            eventually(refused, "it is refused")
        finally:
            run(sites, f"bridge fdb append {zero} dev {VXLAN} self dst {far} permanent")

    def test_that_becomes_one(self, sites: Sites) -> None:
        other = {Underlay.IPV4: "198.51.100.7", Underlay.IPV6: "2001:db8:2::7"}[sites.underlay]
        zero = "00:00:00:00:00:00"
        frame = segment(RIGHT, LEFT)
        sent = arriving(sites.underlay, frame, source=other)
        sites.wires.send_and_expect_nothing(sent, at="router", to="left", wanted=is_marked)
        run(sites, f"bridge fdb append {zero} dev {VXLAN} self dst {other} permanent")
        try:

            def believed() -> bool:
                sites.wires.forget("left")
                sites.wires.send(sent, at="router")
                return bool(list(sites.wires.arriving("left", is_marked, 0.05)))

            eventually(believed, "it is believed")
        finally:
            run(sites, f"bridge fdb delete {zero} dev {VXLAN} self dst {other}")


def is_told_of(sites: Sites, device: str, state: str) -> bool:
    """Whether the agent's last look found it so."""
    warnings = sites.agent.call("status")["warnings"]
    return (state == "down") == any(f"{device} is down" in warning for warning in warnings)


def test_a_local_address_that_goes(sites: Sites) -> None:
    """Nothing is taken there any more, though the agent has looked at everything just before."""
    near, long = sites.underlay.near, {Underlay.IPV4: 24, Underlay.IPV6: 64}[sites.underlay]
    far = FAR_UPLINK.ip if sites.underlay is Underlay.IPV4 else "2001:db8:2::/64"
    via = {Underlay.IPV4: NEAR_ROUTER.ip, Underlay.IPV6: UNDERLAY6[NEAR_ROUTER]}[sites.underlay]
    address = f"{near}/{long} dev {UPLINK}"
    for state in ("down", "up"):
        run(sites, f"ip link set {ACCESS2} {state}")
        eventually(partial(is_told_of, sites, ACCESS2, state), "the agent has looked")
    run(sites, f"ip addr del {address}")
    try:

        def ignored() -> bool:
            counts = sites.agent.counting()
            sites.wires.send(arriving(sites.underlay, segment(RIGHT, LEFT)), at="router")
            return "VXLAN_DECAP" not in counts.now()

        eventually(ignored, "it is taken for VXLAN no more")
    finally:
        nodad = "nodad" if sites.underlay is Underlay.IPV6 else ""
        run(sites, f"ip addr add {address} {nodad}")
        run(sites, f"ip route replace {far} via {via}")
    eventually(lambda: pinged(sites.lab, "right", LEFT.ip, count=1) == 1, "it is back", 5)
    sites.meet()


def build(sites: Sites) -> None:
    """The bridge of the first site as the lab makes it."""
    run(sites, f"ip link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0")
    run(sites, f"ip link set {BRIDGE} addrgenmode none up")
    for port in (VXLAN, ACCESS, ACCESS2):
        run(sites, f"ip link set {port} master {BRIDGE}")


def to_the_bridge(sites: Sites) -> dict[str, int]:
    """What is counted for one frame of an access port now."""
    counts = sites.agent.counting()
    sites.wires.send(segment(), at="left")
    return counts.now()


class TestBridge:
    def test_deleted_under_traffic(self, sites: Sites) -> None:
        with (
            servers(sites.lab, "right", udp=[f"{RIGHT.ip}:7"]),
            flowing(sites) as stream,
        ):
            run(sites, f"ip link delete {BRIDGE}")
            try:
                eventually(
                    lambda: "BRIDGE" not in to_the_bridge(sites),
                    "XDP bridges nothing any more",
                )
                sites.wires.send_and_expect_nothing(
                    arriving(sites.underlay, segment(RIGHT, LEFT)),
                    at="router",
                    to="left",
                    wanted=is_marked,
                )
            finally:
                build(sites)
            eventually(lambda: pinged(sites.lab, "left", RIGHT.ip, count=1) == 1, "it is back")
            told = stream.end()
        assert told.sent > len(told.lost)
        sites.meet()

    def test_a_vxlan_device_deleted_under_traffic(self, sites: Sites) -> None:
        with (
            servers(sites.lab, "right", udp=[f"{RIGHT.ip}:7"]),
            flowing(sites) as stream,
        ):
            run(sites, f"ip link delete {VXLAN}")
            try:
                eventually(
                    lambda: "VXLAN_ENCAP" not in to_the_bridge(sites),
                    "XDP tunnels nothing any more",
                )
            finally:
                kind = vxlan_kind(VNI, sites.underlay.near, sites.underlay.far)
                run(sites, f"ip link add {VXLAN} {kind}")
                run(sites, f"ip link set {VXLAN} addrgenmode none master {BRIDGE} up")
            eventually(lambda: pinged(sites.lab, "right", LEFT.ip, count=1) == 1, "it is back")
            stream.end()
        sites.meet()

    @pytest.mark.parametrize(
        ("change", "back"),
        [
            # What it sends then is no bridge's, and nothing is bridged to it.
            (f"ip link set {ACCESS2} nomaster", f"ip link set {ACCESS2} master {BRIDGE}"),
            # A loop, say: the state counts, however the FDB looks.
            (
                f"bridge link set dev {ACCESS2} state 0",
                f"bridge link set dev {ACCESS2} state 3",
            ),
        ],
        ids=["leaves", "is closed"],
    )
    def test_an_access_port(self, sites: Sites, change: str, back: str) -> None:
        run(sites, change)
        try:
            eventually(
                lambda: "BRIDGE" not in to_left2(sites),
                "XDP sends nothing to it",
            )
        finally:
            run(sites, back)
        sites.meet()


def to_left2(sites: Sites) -> dict[str, int]:
    counts = sites.agent.counting()
    sites.wires.send(segment(LEFT, LEFT2), at="left")
    return counts.now()


@contextmanager
def flowing(sites: Sites) -> Iterator[Datagrams]:
    """A stream of datagrams from left to right meanwhile."""
    stream = Datagrams(sites.lab, "left", RIGHT.ip, 500)
    try:
        yield stream
    finally:
        stream.close()


def test_an_fdb_that_flaps(sites: Sites) -> None:
    """A thousand changes a second of one station's place: in the end XDP knows the last one."""
    mac, far = "02:00:cb:00:71:88", sites.underlay.far
    batch = (
        FLAPS
        // 4
        * (
            f"fdb replace {mac} dev {VXLAN} master static\n"
            f"fdb replace {mac} dev {VXLAN} self dst {far} static\n"
            f"fdb replace {mac} dev {ACCESS2} master static\n"
            f"fdb delete {mac} dev {VXLAN} self dst {far}\n"
        )
    )
    frame = segment(dst=mac)
    with servers(sites.lab, "right", udp=[f"{RIGHT.ip}:7"]), flowing(sites) as stream:
        for _ in range(SECONDS * A_SECOND // FLAPS):
            due = time.monotonic() + FLAPS / A_SECOND
            namespaces.run(sites.lab.argv("gw", ["bridge", "-batch", "-"]), stdin=batch)
            list(sites.wires.arriving("left2", lambda _: False, due - time.monotonic()))
        try:
            eventually(lambda: bridged_to_left2(sites, frame), "the last place")
            told = stream.end()
        finally:
            run(sites, f"bridge fdb delete {mac} dev {ACCESS2} master")
    assert not told.lost


def bridged_to_left2(sites: Sites, frame: Packet) -> bool:
    counts = sites.agent.counting()
    sites.wires.forget("left2")
    sites.wires.send(frame, at="left")
    return "PUNT_FLOOD" not in counts.now() and bool(
        list(sites.wires.arriving("left2", is_marked, 0.05))
    )


@pytest.mark.slow
def test_ageing(sites: Sites) -> None:
    """Who sends by XDP stays in the kernel's FDB, who is silent does not."""
    run(sites, f"ip link set {BRIDGE} type bridge ageing_time {AGEING * 100}")
    run(sites, f"ip link set {VXLAN} type vxlan ageing {AGEING}")
    sites.meet()
    silent = "02:00:cb:00:71:66"
    for at, frame in (
        ("left2", Ether(src=silent, dst=BROADCAST) / segment().payload),
        ("left", segment()),
        ("router", arriving(sites.underlay, segment(RIGHT, LEFT))),
    ):
        sites.wires.send(frame, at=at)
    eventually(lambda: ACCESS2 in sites.fdb(silent), "the kernel has learnt it")
    counts = sites.agent.counting()
    try:
        deadline, rounds = time.monotonic() + 2.5 * AGEING, 0
        while time.monotonic() < deadline:
            rounds += 1
            sites.wires.send(segment(), at="left")
            sites.wires.send(arriving(sites.underlay, segment(RIGHT, LEFT)), at="router")
            list(sites.wires.arriving("left2", lambda _: False, 0.25))
        assert ACCESS in sites.fdb(LEFT.mac)
        assert sites.fdb(RIGHT.mac).count(VXLAN) == 2, sites.fdb(RIGHT.mac)
        assert not sites.fdb(silent)
        # XDP did all of it: the kernel has not heard of them by the way.
        counts.expect_some(BRIDGE=2 * rounds, VXLAN_ENCAP=rounds, VXLAN_DECAP=rounds)
    finally:
        run(sites, f"ip link set {BRIDGE} type bridge ageing_time 30000")
        run(sites, f"ip link set {VXLAN} type vxlan ageing 300")
