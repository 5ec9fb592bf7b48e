# SPDX-License-Identifier: GPL-2.0-or-later
"""No inside source address leaves, whatever was done to nftables or to the agent."""

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from tests.lib.gateway import Gateway
from tests.lib.packets import (
    LAN,
    PAYLOAD,
    SERVER,
    WAN,
    from_lan,
    from_wan,
    ip,
    same,
    tcp,
    to_lan,
    udp,
)
from tests.lib.traffic import Wires


def test_without_nftables_the_guard_drops(wires: Wires, gateway: Gateway) -> None:
    """Debian's nftables.conf begins with "flush ruleset"; a reload of it removes our table."""
    port = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")[
        UDP
    ].sport
    counts = gateway.counting()
    with gateway.frozen():  # the agent may put its table back: not before this is over
        gateway.lab.run("gw", ["nft", "flush", "ruleset"])
        for leaving in (
            ip(LAN.ip, SERVER, proto=253) / Raw(PAYLOAD),
            tcp(LAN.ip, SERVER, 4000, 80, "A"),
        ):
            wires.send_and_expect_nothing(from_lan(leaving), at="lan", to="wan")
        # What XDP does needs no nftables.
        back = wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan", to="lan")
        same(back, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))
    counts.expect(PUNT_PROTOCOL=1, PUNT_NO_SESSION=1, DROP_GUARD=2, FORWARD=1)


def test_the_agent_puts_its_table_back(wires: Wires, gateway: Gateway) -> None:
    gateway.lab.run("gw", ["nft", "flush", "ruleset"])
    gateway.ctl("apply", "--config", str(gateway.config))
    out = wires.send_and_expect(
        from_lan(ip(LAN.ip, SERVER, proto=253) / Raw(PAYLOAD)), at="lan", to="wan"
    )
    assert out[IP].src == WAN.ip


def test_without_the_agent_the_guard_stays(wires: Wires, gateway: Gateway) -> None:
    gateway.process.kill()
    gateway.lab.run("gw", ["nft", "flush", "ruleset"])
    wires.send_and_expect_nothing(
        from_lan(ip(LAN.ip, SERVER, proto=253) / Raw(PAYLOAD)), at="lan", to="wan"
    )
