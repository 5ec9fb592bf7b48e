# SPDX-License-Identifier: GPL-2.0-or-later
"""A port of the worker beside NAT on XDP: in the LAN's bridge, and where it must not get around
what its owner has forbidden."""

from collections.abc import Iterator

import pytest

from hybrid_gateway.lab import GW_INSIDE, LAN, WAN
from hybrid_gateway.lab.services import servers
from hybrid_gateway.model import FALLBACK_PORTS
from tests.forward.fibre import CONFIGURATION, PORTS, Fibre
from tests.forward.fixtures import watch_over
from tests.forward.test_worker_crash import is_tap
from tests.forward.test_worker_follow import forwarded
from tests.lib.gateway import BASE
from tests.lib.packets import SERVER
from tests.lib.programs import curl, pinged

INSIDE = "192.168.110.50"
"""Of the host behind sfp0, on the LAN."""
FIREWALL = """
table inet mine {
    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname sfp0 oifname sfp1 tcp dport 23 drop
    }
}
"""


@pytest.fixture
def on_the_lan(fibre: Fibre) -> Iterator[Fibre]:
    """sfp0 is a port of the LAN's bridge, and the host behind it on the LAN."""
    fibre.ip(f"link set sfp0 master {GW_INSIDE.device}")
    for line in (
        f"addr add {INSIDE}/24 dev eth0",
        f"route replace default via {GW_INSIDE.ip} src {INSIDE}",
    ):
        fibre.lab.run("east", ["ip", *line.split()])
    try:
        yield fibre
    finally:
        fibre.ip("link set sfp0 nomaster")
        fibre.lab.run("east", ["ip", "addr", "del", f"{INSIDE}/24", "dev", "eth0"])
        fibre.lab.run("east", ["ip", "route", "replace", "default", "via", "198.18.0.1"])


def test_a_port_of_the_lans_bridge(on_the_lan: Fibre) -> None:
    """The bridge's other ports are XDP's: between them the kernel bridges."""
    assert pinged(on_the_lan.lab, "east", LAN.ip) == 3
    assert pinged(on_the_lan.lab, "lan", INSIDE) == 3
    assert pinged(on_the_lan.lab, "east", GW_INSIDE.ip) == 3


def test_nat_for_a_host_behind_the_worker(on_the_lan: Fibre) -> None:
    """The kernel translates for it, from its own range of ports; no inside address gets out."""
    lab = on_the_lan.lab
    with watch_over(lab), servers(lab, "wan", http=[f"{SERVER}:80"]):
        assert pinged(lab, "east", SERVER) == 3
        who = curl(lab, "east", f"http://{SERVER}/whoami").decode()
        assert len(curl(lab, "east", f"http://{SERVER}/blob/1000000")) == 1_000_000
    address, _, port = who.partition(":")
    assert address == WAN.ip
    assert int(port) in FALLBACK_PORTS


def test_the_owners_firewall_is_not_passed_unasked(fibre: Fibre) -> None:
    """The worker forwards past nftables: that has to be accepted by name."""
    fibre.gateway.apply(BASE)
    fibre.lab.run("gw", ["nft", FIREWALL])
    try:
        fibre.gateway.config.write_text(CONFIGURATION)
        refused = fibre.gateway.ctl("apply", "--config", str(fibre.gateway.config), check=False)
        assert refused.returncode != 0
        assert "mine" in refused.stderr
        assert not any(is_tap(fibre, name) for name in PORTS)
        accepted = f'{CONFIGURATION}bypass: {{"nft inet mine forward": accepted}}\n'
        fibre.gateway.apply(accepted)
        fibre.meet()
        forwarded(fibre)
    finally:
        fibre.lab.run("gw", ["nft", "delete", "table", "inet", "mine"])
