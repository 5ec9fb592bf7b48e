# SPDX-License-Identifier: GPL-2.0-or-later
"""The same packets by the worker's ports and by devices of the kernel's own: what is forwarded is
the same, to the last byte."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

import pytest
from scapy.layers.inet import IP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop, PadN
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import namespaces
from tests.dpdk.harness import Bench
from tests.dpdk.wires import End

pytestmark = pytest.mark.dpdk

HOST4, HOST6 = "198.51.100.9", "2001:db8:1::9"
AWAY4, AWAY6 = "10.1.1.1", "2001:db8:10::1"
ETHERNET = 14
ENDS = 2
"""Packets that `forwarded` adds."""
SHORTEST = 60
"""Of a frame on a wire, without its checksum."""

SOURCES4 = (
    *(HOST4, "198.51.100.1", "203.0.113.1", "198.51.100.255", "198.51.100.0", "192.0.2.77"),
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
)
SOURCES6 = (
    *(HOST6, "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::", "3fff::77", "::", "::1"),
    *("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "ff02::1", "ff0e::1", "fe80::9"),
)
DESTINATIONS4 = ("10.1.1.1", "10.2.0.1", "0.1.2.3", "127.0.0.1", "240.0.0.1", "192.0.2.1")
DESTINATIONS6 = ("2001:db8:10::1", "::ffff:10.0.0.1", "::1", "::10.0.0.1", "3fff::1", "fec0::1")


@dataclass(frozen=True)
class Side:
    """A way through the gateway: frames go in by one device and leave by the other."""

    mac: str
    into: End
    out: End
    device: str
    """The one out."""

    def routes(self) -> Iterator[str]:
        for prefix in ("10.1.0.0/16", "10.2.0.0/16", "0.1.0.0/16"):
            yield f"route replace {prefix} via 10.255.0.9 dev {self.device} onlink"
        for prefix in ("2001:db8:10::/48", "::/8", "fec0::/10"):
            yield f"route replace {prefix} via 3fff:9::9 dev {self.device} onlink"


@dataclass(frozen=True)
class Sides:
    bench: Bench
    worker: Side
    kernel: Side

    def forwarded(
        self, side: Side, packets: Mapping[str, bytes], last: int = 1
    ) -> dict[bytes, int]:
        """What leaves of IP packets, each once, behind the Ethernet header: how many of each.

        `last` is that of the source address's bytes.
        """
        ether = bytes(Ether(dst=side.mac, src=f"02:00:00:00:02:{last:02x}"))[:12]
        types = {4: b"\x08\x00", 6: b"\x86\xdd"}
        # The options make these the kernel's, each behind all of its family that were before it.
        end4 = IP(src=HOST4, dst=AWAY4, id=0xFFFF, options=[IPOption_Router_Alert()]) / UDP()
        end6 = IPv6(src=HOST6, dst=AWAY6, fl=0xFFFF) / IPv6ExtHdrHopByHop(options=[PadN()]) / UDP()
        ends = {bytes(end4)[4:6], bytes(end6)[1:4]}
        self.bench.ip(*side.routes())
        self.bench.settle()
        side.out.forget()
        for data in (*packets.values(), bytes(end4), bytes(end6)):
            side.into.send([ether + types.get(data[0] >> 4, types[4]) + data])
        seen: dict[bytes, int] = {}
        for packet in side.out.arriving():
            if IP not in packet and IPv6 not in packet:
                continue
            data = bytes(packet)[ETHERNET:]
            ends.discard(data[4:6] if IP in packet else data[1:4])
            seen[data] = seen.get(data, 0) + 1
            if not ends:
                return seen
        raise AssertionError("the last packets do not come")

    def compare(self, packets: Mapping[str, Packet | bytes]) -> dict[bytes, int]:
        frames = {name: bytes(packet) for name, packet in packets.items()}
        wanted = self.forwarded(self.kernel, frames)
        assert self.forwarded(self.worker, frames) == wanted
        return wanted


@contextmanager
def both_sides(bench: Bench) -> Iterator[Sides]:
    """Two ports of the worker's, and two of the kernel's."""
    p0 = bench.port("p0", "198.51.100.1/24", "2001:db8:1::1/64")
    p1 = bench.port("p1", "203.0.113.1/24", "2001:db8:2::1/64")
    with ExitStack() as stack:
        for number, name in enumerate(("k0", "k1")):
            bench.ip(
                f"link add {name} address 02:00:00:00:03:0{number} type veth"
                f" peer name {name} address 02:00:00:00:04:0{number} netns {bench.far}",
                f"link set {name} up",
            )
            namespaces.write_sysctl(bench.far, f"net/ipv6/conf/{name}/disable_ipv6", "1")
            namespaces.ip_batch(bench.far, [f"link set {name} up"])
        bench.ip("address add 192.0.2.1/24 dev k0", "address add 192.0.3.1/24 dev k1")
        bench.ip("address add 3fff:1::1/64 dev k0 nodad", "address add 3fff:2::1/64 dev k1 nodad")
        for name, mac in (("p1", p1.far_mac), ("k1", "02:00:00:00:04:01")):
            for address in ("10.255.0.9", "3fff:9::9"):
                bench.ip(f"neigh replace {address} lladdr {mac} dev {name}")
        into, out = (End(bench.far, name, stack) for name in ("k0", "k1"))
        bench.settle()
        yield Sides(
            bench,
            Side(p0.mac, p0.far, p1.far, "p1"),
            Side("02:00:00:00:03:00", into, out, "k1"),
        )


@pytest.fixture(scope="module")
def sides(bench: Bench) -> Iterator[Sides]:
    with both_sides(bench) as made:
        yield made


def packet4(number: int = 1, src: str = HOST4, dst: str = AWAY4, load: bytes = b"") -> Packet:
    """Without a UDP checksum, as nothing is said of a packet without one."""
    return IP(src=src, dst=dst, id=number) / UDP(sport=4000, dport=53, chksum=0) / Raw(load)


def packet6(number: int = 1, src: str = HOST6, dst: str = AWAY6, load: bytes = b"") -> Packet:
    return IPv6(src=src, dst=dst, fl=number) / UDP(sport=4000, dport=53) / Raw(load)


def test_sources(sides: Sides) -> None:
    """Who says to be this host, or nobody, is not forwarded; an IPv6 host may."""
    packets = {src: packet4(number, src) for number, src in enumerate(SOURCES4, 1)}
    packets |= {src: packet6(number, src) for number, src in enumerate(SOURCES6, 1)}

    wanted = sides.compare(packets)

    sources = {packet.src for packet in map(_parsed, wanted)}
    assert {HOST4, HOST6} <= sources
    assert not {"198.51.100.1", "203.0.113.1", "127.0.0.1", "0.0.0.0", "::1"} & sources


def test_an_own_address_is_one_as_long_as_it_is_there(sides: Sides) -> None:
    bench, guest = sides.bench, "192.0.2.77"
    counting = bench.counting("p0")
    frames = {"one": bytes(packet4(1, guest))}

    bench.ip(f"address add {guest}/32 dev lo")
    assert len(sides.forwarded(sides.worker, frames)) == ENDS
    bench.ip(f"address del {guest}/32 dev lo")
    assert len(sides.forwarded(sides.worker, frames)) == ENDS + 1

    counting.expect(PUNT_SOURCE=1, FORWARD_IP4=1, PUNT_OPTIONS=4)


def test_a_network_of_own_addresses(sides: Sides) -> None:
    bench = sides.bench
    counting = bench.counting("p0")
    frames = {"one": bytes(packet4(1, "172.16.5.7")), "another": bytes(packet4(2, "172.17.5.7"))}

    bench.ip("route add local 172.16.0.0/16 dev lo")
    assert len(sides.forwarded(sides.worker, frames)) == ENDS + 1
    bench.ip("route del local 172.16.0.0/16 dev lo")

    counting.expect(PUNT_SOURCE=1, FORWARD_IP4=1, PUNT_OPTIONS=2)


def test_destinations(sides: Sides) -> None:
    packets = {dst: packet4(number, dst=dst) for number, dst in enumerate(DESTINATIONS4, 1)}
    packets |= {dst: packet6(number, dst=dst) for number, dst in enumerate(DESTINATIONS6, 1)}

    sides.compare(packets)


@pytest.mark.parametrize("load", [0, 1, 17, 18, 19, 200])
def test_what_is_behind_a_packet(sides: Sides, load: int) -> None:
    """Padding of a wire's shortest frame, and more than that: none of it is anybody's."""
    packets: dict[str, bytes] = {}
    for number, behind in enumerate((0, 1, 4, 46, 100, 1000), 1):
        secret = b"secret" * 200
        for packet in (packet4(number, load=bytes(load)), packet6(number, load=bytes(load))):
            data = bytes(packet)
            packets[f"{behind} behind {packet.name}"] = data + secret[:behind]
            missing = SHORTEST - ETHERNET - len(data)
            if missing > 0 and behind == 0:
                packets[f"padded {packet.name}"] = data + secret[:missing]

    wanted = sides.compare(packets)

    assert not any(b"secret" in data for data in wanted)


def damaged(rng: Random) -> dict[str, bytes]:
    """Any bytes of the headers, any length; the fields that say who it is for stay."""
    packets: dict[str, bytes] = {}
    for number in range(1, 100):
        make = rng.choice((packet4, packet6))
        data = bytearray(bytes(make(number, load=rng.randbytes(rng.choice((0, 1, 40))))))
        address = (16, 20) if make is packet4 else (24, 40)
        for _ in range(rng.randrange(3)):
            place = rng.randrange(min(len(data), 48))
            # An IPv4 fragment is put together on its way to the worker's device, as nowhere else.
            if not address[0] <= place < address[1] and not (make is packet4 and 6 <= place < 8):
                data[place] = rng.choice((0, 1, 0x44, 0x46, 0xFF, rng.randrange(256)))
        if make is packet4 and rng.random() < 0.7:
            data[10:12] = b"\0\0"
            data[10:12] = IP(bytes(data)[:10] + b"\0\0" + bytes(data)[12:]).chksum.to_bytes(2)
        cut = rng.random()
        if cut < 0.2:
            data = data[: rng.randrange(len(data))]
        elif cut < 0.5:
            data += rng.randbytes(rng.randrange(100))
        if data:
            packets[str(number)] = bytes(data)
    return packets


@pytest.mark.parametrize("seed", range(10))
def test_damaged_packets(sides: Sides, seed: int) -> None:
    sides.compare(damaged(Random(seed)))


def _parsed(data: bytes) -> Packet:
    return IPv6(data) if data[0] >> 4 == 6 else IP(data)
