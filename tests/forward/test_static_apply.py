# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of static mapping as the owner sees it: check, plan, apply, and the next agent."""

from hybrid_gateway.lab.topology import ONE_TO_ONE
from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import LAN, LAN2, SERVER, WAN, from_wan, same, tcp, to_lan
from tests.lib.traffic import Wires

EVERYTHING = nat44(
    "mss-clamp: pmtu",
    "static:",
    f'  - {{protocol: tcp, outside: ":5000-5999", inside: "{LAN.ip}:6001"}}',
    f'  - {{protocol: udp, outside: "{WAN.ip}:7000-7009", inside: "{LAN.ip}:7000-7009"}}',
    f'  - {{protocol: tcp, outside: ":443", inside: [{{to: "{LAN.ip}:443", weight: 3}}, '
    f'{{to: "{LAN2.ip}:8443"}}]}}',
    f'  - {{protocol: udp, identity: "{LAN2.ip}:4789"}}',
    f'  - {{protocol: udp, identity: "{WAN.ip}:4789"}}',
    f"  - {{outside: {ONE_TO_ONE}, inside: 192.168.110.30}}",
)


def test_nothing_is_left_to_do(gateway: Gateway) -> None:
    gateway.apply(EVERYTHING)
    assert gateway.ctl("plan", "--exit-code").stdout.startswith("nothing to do")


def test_the_next_agent_goes_on_with_them(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(EVERYTHING)
    gateway.process.kill()
    gateway.start()
    assert gateway.ctl("plan", "--exit-code").stdout.startswith("nothing to do")
    into = wires.send_and_expect(from_wan(tcp(SERVER, WAN.ip, 9000, 5999)), at="wan", to="lan")
    same(into, to_lan(tcp(SERVER, LAN.ip, 9000, 7000, ttl=63)))


def test_they_are_listed(gateway: Gateway) -> None:
    gateway.apply(EVERYTHING)
    listed = gateway.ctl_json("show", "nat")["static"]
    assert [(entry["protocol"], entry["outside"], entry["inside"]) for entry in listed] == [
        ("tcp", ":5000-5999", f"{LAN.ip}:6001-7000"),
        ("udp", f"{WAN.ip}:7000-7009", f"{LAN.ip}:7000-7009"),
        ("tcp", ":443", f"{LAN.ip}:443, {LAN2.ip}:8443"),
        ("udp", f"{LAN2.ip}:4789", f"{LAN2.ip}:4789"),
        ("udp", f"{WAN.ip}:4789", f"{WAN.ip}:4789"),
        (None, str(ONE_TO_ONE), "192.168.110.30"),
    ]


def test_an_address_that_nobody_answers_arp_for_is_pointed_out(gateway: Gateway) -> None:
    gateway.config.write_text(EVERYTHING)
    told = gateway.ctl("check", "--config", str(gateway.config)).stdout
    assert f"{ONE_TO_ONE} is in the network of wan0" in told
    gateway.lab.run("gw", ["ip", "address", "add", f"{ONE_TO_ONE}/32", "dev", "wan0"])
    try:
        told = gateway.ctl("check", "--config", str(gateway.config)).stdout
        assert "ARP" not in told
    finally:
        gateway.lab.run("gw", ["ip", "address", "delete", f"{ONE_TO_ONE}/32", "dev", "wan0"])


def test_a_second_entry_for_the_ports_address_is_pointed_out(gateway: Gateway) -> None:
    """Only the host knows that the port has this address; the first one counts."""
    twice = nat44(
        "static:",
        f'  - {{protocol: tcp, outside: ":2222", inside: "{LAN.ip}:22"}}',
        f'  - {{protocol: tcp, outside: "{WAN.ip}:2222", inside: "{LAN2.ip}:22"}}',
    )
    gateway.config.write_text(twice)
    told = gateway.ctl("check", "--config", str(gateway.config)).stdout
    assert f"line 11: left out for {WAN.ip}, whose port is used already, on line 10" in told
