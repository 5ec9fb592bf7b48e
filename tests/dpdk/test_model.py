# SPDX-License-Identifier: GPL-2.0-or-later
"""Some thousand frames, whole and damaged, against a second opinion of what becomes of each."""

from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from random import Random

import pytest
from scapy.layers.inet import IP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.dpdk.harness import Bench
from tests.dpdk.model import Router, Verdict, Way, Where
from tests.dpdk.wires import Cable

BATCH = 100
SEEDS = range(25)

# The kernel would forward what it gets as well, and that is not what this compares.
SILENT = """
table inet silent {
    chain forward { type filter hook forward priority 0; policy drop; }
    chain output { type filter hook output priority 0; policy drop; }
}
table arp silent {
    chain output { type filter hook output priority 0; policy drop; }
}
"""

ROUTES = (
    "route add 10.1.0.0/16 via 203.0.113.9",
    "route add 10.1.2.0/24 via 203.0.113.10",
    "route add 10.1.2.128/25 via 203.0.113.9",
    "route add blackhole 10.2.0.0/16",
    "route add unreachable 10.3.0.0/16",
    "route add 10.4.0.0/16 via 203.0.113.77",
    "route add 2001:db8:10::/48 via 2001:db8:2::9",
    "route add 2001:db8:10:2::/64 via 2001:db8:2::10",
    "route add blackhole 2001:db8:20::/48",
    "route add unreachable 2001:db8:30::/48",
    "route add 2001:db8:40::/48 via 2001:db8:2::77",
)


@dataclass(frozen=True)
class Site:
    """A worker with two ports, and the same router as a model."""

    bench: Bench
    into: Cable
    out: Cable
    router: Router


@pytest.fixture(scope="module")
def site(bench: Bench) -> Site:
    into = bench.port("p0", "198.51.100.1/24", "2001:db8:1::1/64")
    out = bench.port("p1", "203.0.113.1/24", "2001:db8:2::1/64")
    bench.neighbour(out, "203.0.113.9", "2001:db8:2::9")
    second = "02:00:00:00:02:77"
    for address in ("203.0.113.10", "2001:db8:2::10"):
        bench.ip(f"neigh replace {address} lladdr {second} dev p1")
    bench.ip(*ROUTES)
    bench.run("nft", SILENT)
    bench.settle()
    first, other = Way(out.far_mac, out.mac), Way(second, out.mac)
    local, connected = Way(instead="PUNT_LOCAL"), Way(instead="CONNECTED")
    blackhole, unreachable = Way(instead="DROP_BLACKHOLE"), Way(instead="PUNT_UNREACHABLE")
    unresolved = Way(instead="PUNT_NEIGHBOUR")
    routes = {
        "127.0.0.0/8": local,
        "::1/128": local,
        "198.51.100.1/32": local,
        "198.51.100.255/32": local,
        "203.0.113.1/32": local,
        "203.0.113.255/32": local,
        "2001:db8:1::/128": local,
        "2001:db8:1::1/128": local,
        "2001:db8:2::/128": local,
        "2001:db8:2::1/128": local,
        "198.51.100.0/24": connected,
        "203.0.113.0/24": connected,
        "2001:db8:1::/64": connected,
        "2001:db8:2::/64": connected,
        "10.1.0.0/16": first,
        "10.1.2.0/24": other,
        "10.1.2.128/25": first,
        "10.2.0.0/16": blackhole,
        "10.3.0.0/16": unreachable,
        "10.4.0.0/16": unresolved,
        "2001:db8:10::/48": first,
        "2001:db8:10:2::/64": other,
        "2001:db8:20::/48": blackhole,
        "2001:db8:30::/48": unreachable,
        "2001:db8:40::/48": unresolved,
    }
    neighbours = {
        "203.0.113.9": first,
        "203.0.113.10": other,
        "2001:db8:2::9": first,
        "2001:db8:2::10": other,
    }
    router = Router(
        into.mac,
        {ip_network(text): way for text, way in routes.items()},
        {ip_address(text): way for text, way in neighbours.items()},
    )
    return Site(bench, into, out, router)


DESTINATIONS4 = (
    *("10.1.1.1", "10.1.2.1", "10.1.2.200", "10.2.0.1", "10.3.0.1", "10.4.0.1", "192.0.2.1"),
    *("198.51.100.1", "198.51.100.9", "203.0.113.9", "203.0.113.10", "203.0.113.55", "224.0.0.5"),
)
DESTINATIONS6 = (
    *("2001:db8:10::1", "2001:db8:10:2::1", "2001:db8:20::1", "2001:db8:30::1", "2001:db8:40::1"),
    *("2001:db8:1::1", "2001:db8:2::9", "2001:db8:2::10", "2001:db8:2::55", "3fff::1", "fe80::9"),
)


def whole(rng: Random, site: Site) -> Packet:
    """A sound frame of some kind for that port."""
    ether = Ether(dst=site.into.mac, src=site.into.far_mac)
    load = UDP(sport=4000, dport=rng.choice((53, 4789))) / Raw(
        rng.randbytes(rng.choice((0, 1, 40)))
    )
    ttl = rng.choice((0, 1, 2, 64, 255))
    ip4 = IP(src="198.51.100.9", dst=rng.choice(DESTINATIONS4), ttl=ttl, id=rng.randrange(1 << 16))
    ip6 = IPv6(src="2001:db8:1::9", dst=rng.choice(DESTINATIONS6), hlim=ttl, tc=rng.randrange(256))
    kinds = (
        *(ether / ip4 / load, ether / ip6 / load) * 6,
        ether / IP(src="198.51.100.9", dst="10.1.1.1", options=[IPOption_Router_Alert()]) / load,
        ether / IPv6(src="2001:db8:1::9", dst="2001:db8:10::1") / IPv6ExtHdrHopByHop() / load,
        ether / ARP(op=2, psrc="198.51.100.1", pdst="198.51.100.9"),
        ether / Dot1Q(vlan=7) / ip4 / load,
        Ether(dst="ff:ff:ff:ff:ff:ff", src=site.into.far_mac) / ip4 / load,
        Ether(dst="02:00:00:00:09:09", src=site.into.far_mac) / ip4 / load,
    )
    return rng.choice(kinds)


def reaches_the_port(data: bytes) -> bool:
    """Not what the kernel keeps from DPDK's af_packet driver: IPv4 fragments, which that driver has
    put together first, and tags with nothing behind them."""
    if data[12:14] in (b"\x81\x00", b"\x88\xa8"):
        data = data[:12] + data[16:]
        if len(data) < 20:
            return False
    fragment = int.from_bytes(data[20:22], "big") & 0x3FFF
    return data[12:14] != b"\x08\x00" or fragment == 0


def frame(rng: Random, site: Site) -> bytes:
    """One that the port gets."""
    while not reaches_the_port(data := damaged(rng, site)):
        pass
    return data


def damaged(rng: Random, site: Site) -> bytes:
    """Perhaps damaged: bytes changed, an end that is missing, or one that is too much."""
    data = bytearray(bytes(whole(rng, site)))
    if rng.random() < 0.4:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(12 if rng.random() < 0.5 else 0, min(len(data), 54))] = rng.choice(
                (0, 1, 0x45, 0x60, 0xFF, rng.randrange(256))
            )
    if rng.random() < 0.2:
        data = data[: rng.randrange(14, len(data) + 1)]
    elif rng.random() < 0.2:
        data += rng.randbytes(rng.randrange(1, 60))
    return bytes(data)


def arrive(verdicts: list[Verdict], where: Where) -> list[bytes]:
    return [verdict.frame for verdict in verdicts if verdict.where is where]


def of_one_flow(frames: list[bytes]) -> dict[bytes, list[bytes]]:
    """In their order: IPv4 and IPv6 go different ways through the graph, and may overtake."""
    flows: dict[bytes, list[bytes]] = {}
    for data in frames:
        flows.setdefault(data[12:14], []).append(data)
    return flows


@pytest.fixture
def quiet(site: Site) -> None:
    site.out.far.forget()
    site.into.kernel.forget()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", SEEDS)
def test_every_frame_goes_where_the_model_says(site: Site, seed: int) -> None:
    rng = Random(seed)
    frames = [frame(rng, site) for _ in range(BATCH)]
    verdicts = [site.router.verdict(data) for data in frames]
    counting = site.bench.counting("p0", noise=frozenset())

    site.into.far.send(frames)

    counting.expect(**Counter(verdict.counter for verdict in verdicts))
    out, kernel = arrive(verdicts, Where.OUT), arrive(verdicts, Where.KERNEL)
    sent = [bytes(packet) for packet in site.out.far.expect(len(out))]
    assert of_one_flow(sent) == of_one_flow(out)
    # Frames are refused by several nodes on the way.
    assert sorted(map(bytes, site.into.kernel.expect(len(kernel)))) == sorted(kernel)
