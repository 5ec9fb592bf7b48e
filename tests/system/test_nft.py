# SPDX-License-Identifier: GPL-2.0-or-later
"""The table `inet gw`, and the owner's tables beside it."""

import json
import select
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import nftables
import pytest

from hybrid_gateway import bypass
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import (
    FALLBACK_PORTS,
    Backend,
    FallbackTable,
    Identity,
    Link,
    OneToOne,
    PortForward,
    Protocol,
    Static,
)
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.nft import Nft, UnreadableError

HOST = IPv4Address("10.9.0.2")
STATIC = (
    PortForward(Protocol.TCP, None, 2222, HOST, 22),
    PortForward(Protocol.UDP, IPv4Address("203.0.113.3"), 53, HOST, 53),
    OneToOne(IPv4Address("203.0.113.9"), IPv4Address("10.9.0.9")),
    PortForward(Protocol.TCP, None, 5000, HOST, 6000, ports=1000),
    PortForward(Protocol.UDP, None, 5000, HOST, 5000, ports=1000),
    PortForward(
        Protocol.TCP,
        None,
        443,
        HOST,
        443,
        backends=(Backend(HOST, 443, 1000), Backend(IPv4Address("10.9.0.3"), 8443)),
    ),
    Identity(Protocol.UDP, HOST, 4789),
)
POOLS = (
    (),
    (IPv4Address("203.0.113.3"),),
    (IPv4Address("203.0.113.3"), IPv4Address("203.0.113.4")),
)
DEVICES = frozenset({"br0", "p0", "wan0"})
OWNER = """
table inet filter {
    chain input { type filter hook input priority 0; policy drop; }
    chain forward { type filter hook forward priority 0; policy accept; ct state invalid drop; }
}
table ip6 six {
    chain forward { type filter hook forward priority 0; policy drop; }
}
table ip empty {
    chain forward { type filter hook forward priority 0; policy accept; }
}
table ip closed {
    chain way { type filter hook forward priority 10; policy drop; }
}
table netdev early {
    chain far { type filter hook ingress device "far0" priority 0; drop; }
    chain wan { type filter hook ingress device "wan0" priority 0; accept; }
}
"""


def listed() -> str:
    return run(["nft", "-s", "list", "ruleset"])


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(("static", "mss"), [((), 0), (STATIC, 1400)])
@pytest.mark.parametrize("pool", POOLS, ids=len)
def test_every_table_is_taken_by_the_kernel(
    pool: tuple[IPv4Address, ...], static: tuple[Static, ...], mss: int
) -> None:
    nft = Nft()
    hairpin = pool or (IPv4Address("203.0.113.2"),)
    table = FallbackTable(("br0", "p7"), "wan0", pool, FALLBACK_PORTS, static, hairpin, mss)

    assert nft.fingerprint() == ""
    written = nft.write(table)
    assert written == nft.fingerprint() != ""
    assert nft.write(table) == written
    assert ":10000-19999" in listed()
    nft.remove()
    assert nft.fingerprint() == ""
    nft.remove()
    assert listed() == ""


@pytest.mark.usefixtures("site")
def test_an_edited_table_has_another_fingerprint() -> None:
    nft = Nft()
    written = nft.write(FallbackTable(("br0",), "wan0"))
    run(["nft", "add", "rule", "inet", "gw", "forward", "counter"])
    assert nft.fingerprint() != written
    assert nft.write(FallbackTable(("br0",), "wan0")) == written


@pytest.mark.usefixtures("site")
def test_the_owners_tables_stay() -> None:
    run(["nft", "-f", "-"], stdin=OWNER)
    before = listed()
    nft = Nft()
    nft.write(FallbackTable(("br0",), "wan0"))
    nft.remove()
    assert listed() == before


@pytest.mark.usefixtures("site")
def test_chains_that_xdp_would_pass_are_named() -> None:
    run(["nft", "-f", "-"], stdin=OWNER)
    nft = Nft()
    nft.write(FallbackTable(("br0",), "wan0"))
    assert bypass.chains(nft.base_chains(), DEVICES) == [
        "nft inet filter forward",
        "nft ip closed way",
        "nft netdev early wan",
    ]


@pytest.fixture
def owned(site: str) -> Iterator[None]:
    """A table that belongs to a running nft, as `nft -i` makes one."""
    assert site
    commands = [
        "add table inet fw { flags owner; }",
        "add chain inet fw forward { type filter hook forward priority 0; policy accept; }",
        "add rule inet fw forward ip saddr 10.9.0.0/24 drop",
    ]
    with subprocess.Popen(
        ["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as holder:
        try:
            assert holder.stdin
            print(*commands, sep="\n", file=holder.stdin, flush=True)
            end = time.monotonic() + 5.0
            while "drop" not in listed():
                assert time.monotonic() < end, "the owner has made its rule"
                select.select([], [], [], 0.05)
            yield
        finally:
            holder.kill()


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize("unreadable", ["table", "chain"])
def test_a_table_that_has_an_owner(monkeypatch: pytest.MonkeyPatch, unreadable: str) -> None:
    """libnftables 1.0.6 prints its flags from beyond a list: any text, or nothing that is JSON."""
    real = nftables.Nftables.json_cmd

    def damaged(self: Any, request: Any) -> Any:
        command = json.dumps(request)
        if '"list"' in command and f'"{unreadable}' in command and '"gw"' not in command:
            raise json.JSONDecodeError("Invalid control character", command, 0)
        return real(self, request)

    monkeypatch.setattr(nftables.Nftables, "json_cmd", damaged)
    nft = Nft()
    assert nft.fingerprint() == ""
    assert bypass.chains(nft.base_chains(), DEVICES) == ["nft inet fw forward"]
    assert nft.write(FallbackTable(("br0",), "wan0")) == nft.fingerprint() != ""


@pytest.mark.usefixtures("site")
def test_chains_are_found_in_a_listing_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    run(["nft", "-f", "-"], stdin=OWNER)
    read = Nft()

    def no_chains() -> Any:
        raise UnreadableError("no JSON")

    blind = Nft()
    monkeypatch.setattr(blind, "_list_chains", no_chains)
    assert blind.base_chains() == read.base_chains()


def test_shaping_is_named(site: str) -> None:
    run(["tc", "-n", site, "qdisc", "add", "dev", "wan0", "root", "tbf", "rate", "1mbit",
         "burst", "5kb", "latency", "50ms"])  # fmt: skip
    run(["tc", "-n", site, "qdisc", "add", "dev", "far0", "root", "pfifo", "limit", "10"])
    run(["tc", "-n", site, "qdisc", "add", "dev", "wan0", "clsact"])
    netlink = Netlink()
    links: tuple[Link, ...] = netlink.links()
    assert bypass.qdiscs(netlink.qdiscs(), links, DEVICES) == ["qdisc wan0 tbf"]


@pytest.mark.usefixtures("site")
def test_a_namespace_without_iptables_has_none() -> None:
    assert bypass.legacy_tables() == []
