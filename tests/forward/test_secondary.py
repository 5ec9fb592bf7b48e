# SPDX-License-Identifier: GPL-2.0-or-later
"""Further addresses of the outside device are the owner's: to serve on, and to translate to."""

from collections.abc import Iterator

import pytest
from scapy.packet import Raw

from tests.lib.gateway import Gateway
from tests.lib.packets import (
    LAN,
    PAYLOAD,
    SERVER,
    from_lan,
    from_wan,
    ip,
    same,
    tcp,
    to_lan,
    to_wan,
    udp,
)
from tests.lib.sockets import bound
from tests.lib.traffic import Wires

SECOND = "203.0.113.5"
OWNERS = f"""
table ip mine {{
    chain postrouting {{
        type nat hook postrouting priority 90; policy accept;
        oifname "wan0" ip saddr {LAN.ip} meta l4proto {{ 200, tcp }} snat to {SECOND}
    }}
}}
"""


@pytest.fixture
def second(gateway: Gateway) -> Iterator[Gateway]:
    """The outside device has a second address, and the agent has seen it."""
    change = ["ip", "address", "add", f"{SECOND}/24", "dev", "wan0"]
    gateway.lab.run("gw", change)
    gateway.ctl("apply", "--config", str(gateway.config))
    gateway.lab.run("gw", ["conntrack", "-F"])
    yield gateway
    change[2] = "delete"
    gateway.lab.run("gw", change)


@pytest.mark.parametrize("side", ["wan", "lan"])
def test_it_is_the_gateways(wires: Wires, second: Gateway, side: str) -> None:
    counts = second.counting()
    with bound(second.lab, "gw", SECOND, 30000) as service:
        if side == "wan":
            wires.send(from_wan(udp(SERVER, SECOND, 53, 30000)), at="wan")
            assert service.recvfrom(100) == (PAYLOAD, (SERVER, 53))
        else:
            wires.send(from_lan(udp(LAN.ip, SECOND, 53, 30000)), at="lan")
            assert service.recvfrom(100) == (PAYLOAD, (LAN.ip, 53))
    counts.expect(PUNT_HOST=1)


def test_the_owner_may_translate_to_it(wires: Wires, second: Gateway) -> None:
    """What XDP does not do goes through the owner's rule, out and back."""
    second.lab.run("gw", ["nft", OWNERS])
    try:
        counts = second.counting()
        call = from_lan(ip(LAN.ip, SERVER, proto=200) / Raw(PAYLOAD))
        out = wires.send_and_expect(call, at="lan", to="wan")
        same(out, to_wan(ip(SECOND, SERVER, 63, proto=200) / Raw(PAYLOAD)))
        answer = from_wan(ip(SERVER, SECOND, proto=200) / Raw(PAYLOAD))
        back = wires.send_and_expect(answer, at="wan", to="lan")
        same(back, to_lan(ip(SERVER, LAN.ip, 63, proto=200) / Raw(PAYLOAD)))

        # A connection that was open before XDP came: conntrack has it, with the owner's address.
        late = from_lan(tcp(LAN.ip, SERVER, 4000, 80, "A"))
        out = wires.send_and_expect(late, at="lan", to="wan")
        same(out, to_wan(tcp(SECOND, SERVER, 4000, 80, "A", ttl=63)))
        answer = from_wan(tcp(SERVER, SECOND, 80, 4000, "A"))
        back = wires.send_and_expect(answer, at="wan", to="lan")
        same(back, to_lan(tcp(SERVER, LAN.ip, 80, 4000, "A", ttl=63)))
        counts.expect_some(PUNT_PROTOCOL=2, PUNT_NO_SESSION=1, PUNT_HOST=1)
    finally:
        second.lab.run("gw", ["nft", "delete", "table", "ip", "mine"])
