# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outside endpoint an inside endpoint gets (RFC 4787 section 4)."""

from typing import Any

from scapy.layers.inet import IP, UDP

from hybrid_gateway.model import FALLBACK_PORTS, PortRange
from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, from_lan, udp
from tests.lib.sockets import bound
from tests.lib.traffic import Wires

DEFAULT_RANGE = PortRange(20000, 49999)


def _text(endpoint: list[Any]) -> str:
    return ":".join(map(str, endpoint))


def outside_port(wires: Wires, sport: int, *, to: str = SERVER, dport: int = 53) -> int:
    frame = from_lan(udp(LAN.ip, to, sport, dport))
    received = wires.send_and_expect(frame, at="lan", to="wan")
    assert received[IP].src == WAN.ip
    return int(received[UDP].sport)


def test_one_mapping_for_all_destinations(wires: Wires, gateway: Gateway) -> None:
    """RFC 4787 REQ-1: endpoint-independent, addresses and ports alike."""
    counts = gateway.counting()
    port = outside_port(wires, 4000)
    assert outside_port(wires, 4000, to=SERVER2) == port
    assert outside_port(wires, 4000, dport=54) == port
    counts.expect(FORWARD=3, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=3)


def test_ports_are_in_the_range_random_and_keep_parity(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    ports = {sport: outside_port(wires, sport) for sport in range(4100, 4132)}
    assert all(port in DEFAULT_RANGE for port in ports.values())
    assert all(port % 2 == sport % 2 for sport, port in ports.items())
    assert len(set(ports.values())) == len(ports)
    # Sequential allocation would give a spread of 32; at random this is one in many billions.
    assert max(ports.values()) - min(ports.values()) > 1000
    counts.expect(FORWARD=32, NAT_NEW_MAPPING=32, NAT_NEW_SESSION=32)


def test_two_hosts_with_the_same_port_get_two_mappings(wires: Wires, gateway: Gateway) -> None:
    mine = outside_port(wires, 4000)
    frame = from_lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2)
    other = wires.send_and_expect(frame, at="lan2", to="wan")[UDP].sport
    assert other != mine
    held = {(_text(s["inside"]), _text(s["outside"])) for s in gateway.sessions()}
    assert held == {
        (f"{LAN.ip}:4000", f"{WAN.ip}:{mine}"),
        (f"{LAN2.ip}:4000", f"{WAN.ip}:{other}"),
    }


def test_no_port_that_a_socket_of_the_gateway_holds(wires: Wires, gateway: Gateway) -> None:
    """Of four ports the host holds both even ones: parity gives way, the host's sockets do not."""
    gateway.apply(nat44("ports: 61020-61023"))
    with bound(gateway.lab, "gw", WAN.ip, 61020), bound(gateway.lab, "gw", "0.0.0.0", 61022):
        assert outside_port(wires, 4000) in (61021, 61023)
        assert outside_port(wires, 4002) in (61021, 61023)


def test_exhausted_ports_drop_and_free_ones_rest(wires: Wires, gateway: Gateway) -> None:
    """RFC 4787 REQ-3: no overloading; RFC 6888 REQ-8: a freed port is not reused at once."""
    gateway.apply(nat44("ports: 61030-61031"))
    assert {outside_port(wires, 4000), outside_port(wires, 4001)} == {61030, 61031}
    counts = gateway.counting()
    third = from_lan(udp(LAN.ip, SERVER, 4002, 53))
    wires.send_and_expect_nothing(third, at="lan", to="wan")
    counts.expect(DROP_NO_PORT=1, NAT_REFUSAL=1)
    gateway.ctl("clear", "sessions")
    counts = gateway.counting()
    wires.send_and_expect_nothing(third, at="lan", to="wan")
    counts.expect(DROP_NO_PORT=1, NAT_REFUSAL=1)


def test_a_host_cannot_take_more_than_its_share(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(nat44("per-host: {sessions: 3, ports: 2}"))
    outside_port(wires, 4000)
    outside_port(wires, 4001)
    counts = gateway.counting()
    wires.send_and_expect_nothing(from_lan(udp(LAN.ip, SERVER, 4002, 53)), at="lan", to="wan")
    counts.expect(DROP_HOST_LIMIT=1, NAT_REFUSAL=1)
    outside_port(wires, 4001, to=SERVER2)
    wires.send_and_expect_nothing(from_lan(udp(LAN.ip, SERVER2, 4000, 53)), at="lan", to="wan")
    # The other host still has all of its own.
    neighbour = from_lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2)
    wires.send_and_expect(neighbour, at="lan2", to="wan")
    counts.expect(FORWARD=2, DROP_HOST_LIMIT=2, NAT_REFUSAL=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=2)


def test_the_fallback_range_is_not_ours(gateway: Gateway) -> None:
    """The kernel's translations and ours can never meet on one port."""
    assert not DEFAULT_RANGE.overlaps(FALLBACK_PORTS)
    gateway.config.write_text(nat44("ports: 19999-30000"))
    refused = gateway.ctl("apply", "--config", str(gateway.config), check=False)
    assert refused.returncode == 2
    assert "test.yaml:9: nat44.ports" in refused.stdout + refused.stderr
