# SPDX-License-Identifier: GPL-2.0-or-later
"""What gwctl tells about NAT is what the data path has, and what it does next."""

from typing import Any

import pytest
from scapy.packet import Packet

from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    LAN2,
    SERVER,
    SERVER2,
    WAN,
    from_lan,
    from_wan,
    tcp,
    udp,
)
from tests.lib.traffic import Wires

FORWARD = nat44("static:", f'  - {{protocol: tcp, outside: ":2222", inside: "{LAN.ip}:22"}}')


def _open(wires: Wires, packet: Packet, host: Any = LAN) -> int:
    """The outside port that a packet gets."""
    at = "lan2" if host is LAN2 else "lan"
    received = wires.send_and_expect(from_lan(packet, host), at=at, to="wan")
    return int(received.sport)


def _shown(gateway: Gateway, *options: str) -> list[tuple[str, int]]:
    """Inside endpoints."""
    answer = gateway.ctl_json("show", "sessions", *options)
    assert answer["next"] is None
    return [(s["inside"][0], s["inside"][1]) for s in answer["sessions"]]


@pytest.fixture
def busy(wires: Wires, gateway: Gateway) -> dict[str, int]:  # noqa: ARG001 - a clean one
    """Three sessions, and the outside port of each."""
    return {
        "dns": _open(wires, udp(LAN.ip, SERVER, 4000, 53)),
        "other": _open(wires, udp(LAN2.ip, SERVER2, 4001, 99), LAN2),
        "web": _open(wires, tcp(LAN.ip, SERVER, 4002, 443)),
    }


def test_sessions_by_filter(gateway: Gateway, busy: dict[str, int]) -> None:
    dns, other, web = (LAN.ip, 4000), (LAN2.ip, 4001), (LAN.ip, 4002)
    for options, wanted in {
        ("--inside", LAN.ip): {dns, web},
        ("--inside", f"{LAN.ip}:4000"): {dns},
        ("--outside", f":{busy['other']}"): {other},
        ("--remote", f"{SERVER}/32"): {dns, web},
        ("--address", SERVER2): {other},
        ("--port", "53"): {dns},
        ("--protocol", "tcp", "--state", "opening"): {web},
        ("--younger", "1h"): {dns, other, web},
        ("--older", "1h"): set(),
        ("--origin", "inbound"): set(),
    }.items():
        assert set(_shown(gateway, *options)) == wanted, options
    assert _shown(gateway, "--sort", "inside") == [dns, web, other]
    assert _shown(gateway, "--sort", "inside", "--reverse") == [other, web, dns]
    assert gateway.ctl_json("show", "sessions", "--count", "--inside", LAN.ip) == {"count": 2}


@pytest.mark.parametrize("sort", [(), ("--sort", "remote")])
def test_pages(gateway: Gateway, busy: dict[str, int], sort: tuple[str, ...]) -> None:
    whole = _shown(gateway, *sort)
    first = gateway.ctl_json("show", "sessions", "--limit", "2", *sort)
    rest = _shown(gateway, "--cursor", str(first["next"]), *sort)
    assert [(s["inside"][0], s["inside"][1]) for s in first["sessions"]] + rest == whole
    assert len(whole) == len(busy)


def test_what_makes_no_sense_exits_2(gateway: Gateway) -> None:
    for options, message in {
        ("--inside", "192.0.2.1/24"): "has host bits set",
        ("--port", "http"): "neither a port",
        ("--cursor", "12.7"): "cursor",
    }.items():
        failed = gateway.ctl("show", "sessions", *options, check=False)
        assert failed.returncode == 2
        assert message in failed.stderr


def test_clearing_ends_those_that_match(
    wires: Wires, gateway: Gateway, busy: dict[str, int]
) -> None:
    counts = gateway.counting()
    assert gateway.ctl_json("clear", "sessions", "--port", "53") == {"cleared": 1}
    assert set(_shown(gateway)) == {(LAN2.ip, 4001), (LAN.ip, 4002)}
    into = from_wan(udp(SERVER2, WAN.ip, 99, busy["other"]))
    wires.send_and_expect(into, at="wan", to="lan2")
    gone = from_wan(udp(SERVER, WAN.ip, 53, busy["dns"]))
    wires.send_and_expect_nothing(gone, at="wan", to="lan")
    counts.expect(FORWARD=1, DROP_NO_MAPPING=1)


def test_pools_and_mappings(gateway: Gateway, busy: dict[str, int]) -> None:
    answer = gateway.ctl_json("show", "nat")
    used = {pool["protocol"]: pool["used"] for pool in answer["pools"]}
    assert used == {6: 1, 17: 2, 1: 0}
    for pool in answer["pools"]:
        assert pool["address"] == WAN.ip
        assert pool["used"] + pool["resting"] + pool["left"] == pool["ports"] == 30000
    assert (answer["mappings"], answer["hosts"]) == (3, {"holding": 2, "at_limit": 0})

    mappings = gateway.ctl_json("show", "mappings", "--inside", LAN.ip, "--protocol", "udp")
    assert mappings["mappings"] == [
        {
            "protocol": 17,
            "inside": [LAN.ip, 4000],
            "outside": [WAN.ip, busy["dns"]],
            "sessions": 1,
        }
    ]
    assert f"{WAN.ip}:{busy['web']}" in gateway.ctl("show", "mappings").stdout


class TestTrace:
    """The verdict that is told is the one that is counted when the packet comes."""

    @staticmethod
    def _told(gateway: Gateway, *arguments: str) -> dict[str, Any]:
        """Telling changes nothing."""
        sessions, counts = _shown(gateway), gateway.counting()
        answer: dict[str, Any] = gateway.ctl_json("nat", "trace", *arguments)
        assert _shown(gateway) == sessions
        counts.expect()
        return answer

    def _check(self, wires: Wires, gateway: Gateway, packet: Packet, *options: str) -> Any:
        """Ask about a packet from either side, then send it."""
        ip, transport = packet["IP"], packet["IP"].payload
        source, target = f"{ip.src}:{transport.sport}", f"{ip.dst}:{transport.dport}"
        protocol = transport.name.lower()
        told = self._told(gateway, source, "--to", target, "--protocol", protocol, *options)
        counts = gateway.counting()
        inside = ip.src in (LAN.ip, LAN2.ip)
        frame = from_lan(packet) if inside else from_wan(packet)
        wires.send(frame, at="lan" if inside else "wan")
        counts.expect_some(**{told["verdict"]: 1})
        return told

    def test_to_the_internet(self, wires: Wires, gateway: Gateway) -> None:
        told = self._check(wires, gateway, udp(LAN.ip, SERVER, 4000, 53))
        assert told["verdict"] == "FORWARD"
        assert told["becomes"] == {"source": None, "destination": [SERVER, 53]}
        (session,) = gateway.sessions()

        again = self._check(wires, gateway, udp(LAN.ip, SERVER, 4000, 53))
        assert again["becomes"]["source"] == session["outside"]
        other = self._check(wires, gateway, udp(LAN.ip, SERVER2, 4000, 54))
        assert other["becomes"] == {"source": session["outside"], "destination": [SERVER2, 54]}

    def test_from_the_internet(self, wires: Wires, gateway: Gateway, busy: dict[str, int]) -> None:
        port = busy["dns"]
        answer = self._check(wires, gateway, udp(SERVER, WAN.ip, 53, port))
        assert answer["becomes"] == {"source": [SERVER, 53], "destination": [LAN.ip, 4000]}
        same_host = self._check(wires, gateway, udp(SERVER, WAN.ip, 99, port))
        assert same_host["verdict"] == "FORWARD"
        for packet, verdict in (
            (udp(SERVER2, WAN.ip, 53, port), "DROP_FILTERED"),
            (udp(SERVER2, WAN.ip, 53, port ^ 2), "DROP_NO_MAPPING"),
            (tcp(SERVER2, WAN.ip, 53, 7), "PUNT_HOST"),
        ):
            assert self._check(wires, gateway, packet)["verdict"] == verdict

    def test_forwards_and_hairpins(self, wires: Wires, gateway: Gateway) -> None:
        gateway.apply(FORWARD)
        into = self._check(wires, gateway, tcp(SERVER, WAN.ip, 9000, 2222))
        assert into["becomes"] == {"source": [SERVER, 9000], "destination": [LAN.ip, 22]}
        call = self._check(wires, gateway, tcp(LAN.ip, WAN.ip, 4000, 2222))
        assert (call["verdict"], call["becomes"]["destination"]) == ("FORWARD", [LAN.ip, 22])

    def test_a_call_goes_on_when_the_callee_has_its_share(
        self, wires: Wires, gateway: Gateway
    ) -> None:
        """Three of four sessions are for others to open."""
        gateway.apply(nat44("per-host: {sessions: 4, ports: 100}"))
        self._check(wires, gateway, udp(LAN2.ip, SERVER, 4000, 53))
        port = gateway.sessions()[0]["outside"][1]
        for _ in range(2):
            call = self._check(wires, gateway, udp(LAN.ip, WAN.ip, 4000, port))
            assert call["becomes"]["destination"] == [LAN2.ip, 4000]
            self._check(wires, gateway, udp(LAN2.ip, SERVER, 4002, 53))
        more = self._check(wires, gateway, udp(LAN.ip, WAN.ip, 4004, port))
        assert more["verdict"] == "DROP_HOST_LIMIT"

    def test_where_nat_has_no_part(self, wires: Wires, gateway: Gateway) -> None:
        packet = tcp(LAN.ip, SERVER, 4000, 80, "A")
        assert self._check(wires, gateway, packet, "--middle")["verdict"] == "PUNT_NO_SESSION"
        packet = udp(LAN.ip, GW_INSIDE.ip, 4000, 53)
        assert self._check(wires, gateway, packet)["verdict"] == "PUNT_HOST"

    def test_limits(self, wires: Wires, gateway: Gateway) -> None:
        gateway.apply(nat44("ports: 61040-61040"))
        self._check(wires, gateway, udp(LAN.ip, SERVER, 4000, 53))
        told = self._check(wires, gateway, udp(LAN.ip, SERVER, 4002, 53))
        assert told["verdict"] == "DROP_NO_PORT"
        gateway.apply(nat44("per-host: {sessions: 1, ports: 1}"))
        told = self._check(wires, gateway, udp(LAN.ip, SERVER, 4004, 53))
        assert told["verdict"] == "DROP_HOST_LIMIT"

    def test_in_words(self, gateway: Gateway) -> None:
        printed = gateway.ctl("nat", "trace", LAN.ip).stdout
        assert f"{LAN.ip} is inside, behind br-lan" in printed
        assert "translated and" in printed
