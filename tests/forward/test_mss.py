# SPDX-License-Identifier: GPL-2.0-or-later
"""MSS clamping: off unless asked for, in both directions, never upwards, after the MTU outside."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from tests.lib.gateway import Gateway, eventually, nat44
from tests.lib.kernel_mode import Plane
from tests.lib.packets import LAN, SERVER, WAN, from_lan, from_wan, same, tcp, to_lan, to_wan
from tests.lib.traffic import Wires

FORWARD = ("static:", f'  - {{protocol: tcp, outside: ":2222", inside: "{LAN.ip}:22"}}')


def announced(packet: Packet) -> int:
    return int(dict(packet[TCP].options)["MSS"])


def syn(port: int, mss: int) -> Packet:
    return tcp(LAN.ip, SERVER, port, 80, options=[("MSS", mss), ("SAckOK", b"")])


@pytest.mark.parametrize(
    ("clamp", "mss", "leaves"),
    [("off", 8960, 8960), ("1400", 1460, 1400), ("1400", 1399, 1399), ("pmtu", 8960, 1460)],
)
def test_what_a_syn_announces_outside(plane: Plane, clamp: str, mss: int, leaves: int) -> None:
    plane.apply(nat44(f"mss-clamp: {clamp}"))
    out = plane.wires.send_and_expect(from_lan(syn(4000, mss)), at="lan", to="wan")
    expected = syn(4000, leaves)
    expected.src, expected.ttl, expected[TCP].sport = WAN.ip, 63, out[TCP].sport
    same(out, to_wan(expected))


def test_what_comes_in_and_its_answer(plane: Plane) -> None:
    plane.apply(nat44("mss-clamp: 1200", *FORWARD))
    call = from_wan(tcp(SERVER, WAN.ip, 9000, 2222, options=[("MSS", 1460)]))
    into = plane.wires.send_and_expect(call, at="wan", to="lan")
    same(into, to_lan(tcp(SERVER, LAN.ip, 9000, 22, ttl=63, options=[("MSS", 1200)])))
    answer = from_lan(tcp(LAN.ip, SERVER, 22, 9000, "SA", options=[("MSS", 1460)]))
    back = plane.wires.send_and_expect(answer, at="lan", to="wan")
    same(back, to_wan(tcp(WAN.ip, SERVER, 2222, 9000, "SA", ttl=63, options=[("MSS", 1200)])))


@pytest.fixture
def narrow(gateway: Gateway) -> Iterator[Gateway]:
    """Its outside device becomes narrower while it runs, as PPPoE's does."""
    gateway.apply(nat44("mss-clamp: pmtu"))
    link = ["ip", "link", "set", "wan0", "mtu"]
    gateway.lab.run("gw", [*link, "1400"])
    yield gateway
    gateway.lab.run("gw", [*link, "1500"])


def test_it_follows_the_mtu(wires: Wires, narrow: Gateway) -> None:
    def follows(mss: int) -> bool:
        out = wires.send_and_expect(from_lan(syn(4000, 8960)), at="lan", to="wan")
        return announced(out) == mss

    eventually(lambda: follows(1360), "1400 less the headers")
    narrow.lab.run("gw", ["ip", "link", "set", "wan0", "mtu", "1500"])
    eventually(lambda: follows(1460), "and back")
