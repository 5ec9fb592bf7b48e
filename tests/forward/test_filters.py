# SPDX-License-Identifier: GPL-2.0-or-later
"""Our TC filters and the owner's `tc`: what is deleted comes back, what appears is told."""

import pytest
from scapy.packet import Raw

from hybrid_gateway.lab import Lab
from tests.lib.gateway import Gateway, eventually
from tests.lib.packets import LAN, PAYLOAD, SERVER, from_lan, ip
from tests.lib.traffic import Wires

ROLES = {"wan0": ("gw_handover", "gw_guard"), "lan0": ("gw_handover", "")}


def filtered(lab: Lab, device: str) -> bool:
    """Whether every filter that this port should have is there."""
    found = [
        lab.run("gw", ["tc", "filter", "show", "dev", device, side], check=False)
        for side in ("ingress", "egress")
    ]
    return all(name in text for name, text in zip(ROLES[device], found, strict=True))


def warned(gateway: Gateway, text: str) -> bool:
    return any(text in str(warning) for warning in gateway.call("status")["warnings"])


@pytest.mark.parametrize(
    "deletion",
    [
        "qdisc del dev wan0 clsact",
        "filter del dev wan0 egress",
        "filter del dev wan0 ingress",
        "qdisc del dev lan0 clsact",
    ],
)
def test_what_is_deleted_comes_back(wires: Wires, gateway: Gateway, deletion: str) -> None:
    device = deletion.split()[3]
    with gateway.frozen():
        gateway.lab.run("gw", ["tc", *deletion.split()])
        assert not filtered(gateway.lab, device)
    eventually(lambda: filtered(gateway.lab, device), "the agent puts its filters back by itself")
    eventually(lambda: not gateway.call("plan")["steps"], "nothing is left to do")

    counts = gateway.counting()
    with gateway.frozen():
        gateway.lab.run("gw", ["nft", "flush", "ruleset"])
        leaving = from_lan(ip(LAN.ip, SERVER, proto=253) / Raw(PAYLOAD))
        wires.send_and_expect_nothing(leaving, at="lan", to="wan")
    counts.expect(PUNT_PROTOCOL=1, DROP_GUARD=1)


def test_a_plan_names_what_is_missing(gateway: Gateway) -> None:
    """Asked at once, before the agent has followed: `plan` and `apply` look for themselves."""
    with gateway.frozen():
        gateway.lab.run("gw", ["tc", "qdisc", "del", "dev", "wan0", "clsact"])
    gateway.ctl("apply", "--config", str(gateway.config))
    assert filtered(gateway.lab, "wan0")


def test_shaping_that_appears_later_is_told(gateway: Gateway) -> None:
    tbf = ["rate", "1gbit", "burst", "128k", "latency", "50ms"]
    gateway.lab.run("gw", ["tc", "qdisc", "add", "dev", "wan0", "root", "tbf", *tbf])
    try:
        eventually(lambda: warned(gateway, "qdisc wan0 tbf"), "the qdisc is named")
        assert filtered(gateway.lab, "wan0")
    finally:
        gateway.lab.run("gw", ["tc", "qdisc", "del", "dev", "wan0", "root"])
    eventually(lambda: not gateway.call("status")["warnings"], "without it nothing is told")
