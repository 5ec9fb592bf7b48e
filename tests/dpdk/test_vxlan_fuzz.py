# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever arrives, each frame is counted once, and the worker goes on."""

from collections.abc import Iterator
from random import Random

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.dpdk.flooded import HEARS, listening
from tests.dpdk.pieces import piece
from tests.dpdk.stretched import Stretched
from tests.dpdk.test_vxlan_encap import ip4, ip6, other
from tests.dpdk.test_vxlan_groups import GROUPS, SPEECH
from tests.dpdk.vxlan import FAMILIES, FAR, HERE, PEER, STRANGER, between
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk
families = pytest.mark.parametrize("family", FAMILIES)

FRAMES = 800
BURST = 100
TYPE, IP4_FRAGMENT, IP6_NEXT = slice(12, 14), slice(20, 22), 20
FRAGMENT = 44
ELSEWHERE = "02:00:00:00:00:77"
"""No host's MAC address."""
SPARE = 32
"""Buffers that the exceptions' thread has taken in advance, or has not."""


@pytest.fixture(scope="module")
def sides() -> Iterator[Stretched]:
    """Both segments cut, flood, and take over and answer what they can."""
    with Stretched.running("vf") as running:
        listening(running.bench)
        for segment in running.segments.values():
            running.bench.run(
                "bridge", "link", "set", "dev", segment.device, "neigh_suppress", "on"
            )
            running.bench.ip(f"link set {segment.bridge} type bridge mcast_snooping 1")
        running.all_options(fragment=True, ttl_inherit=True, tos_inherit=True, heard=HEARS)
        yield running


def right_ones(source: str, target: str) -> list[bytes]:
    """Of several kinds."""
    frames = [between(FAR, HERE), ip4(100, flags="DF"), ip6(100), other()]
    for frame in frames:
        frame.src, frame.dst = source, target
    return [bytes(frame) for frame in frames]


def for_groups(source: str) -> list[bytes]:
    """Some that are for everybody, and some that only look like it."""
    frames = [Ether(bytes(frame)) for frame in (*SPEECH.values(), *GROUPS.values())]
    for frame in frames:
        frame.src = source
    return [bytes(frame) for frame in frames]


def damaged(frame: bytes, random: Random) -> bytes:
    """Some bytes are others, mostly in the headers, or the end is missing, or there is more.

    But for whom it is stays; and no fragments: those of IPv4 the kernel puts together before an
    af_packet port sees them, and those of IPv6 have a test of their own.
    """
    broken = bytearray(frame)
    for _ in range(random.choice((1, 1, 2, 5))):
        place = 6 + min(int(random.expovariate(1 / 40)), len(broken) - 7)
        broken[place] = random.choice((0, 0xFF, random.randrange(256), broken[place] ^ 1))
    cut = random.random()
    if cut < 0.2:
        del broken[random.randrange(14, len(broken)) :]
    elif cut < 0.3:
        broken += random.randbytes(random.randrange(1, 60))
    if len(broken) > IP4_FRAGMENT.stop and broken[TYPE] == b"\x08\0":
        broken[IP4_FRAGMENT] = b"\0\0"
    elif len(broken) > IP6_NEXT and broken[IP6_NEXT] == FRAGMENT:
        broken[IP6_NEXT] = FRAGMENT + 1
    return bytes(broken)


def all_are_counted(sides: Stretched, port: Cable, frames: list[bytes]) -> None:
    """Once; copies of what is flooded come on top."""
    noise = frozenset({"FROM_KERNEL", "VXLAN_COPY", "VXLAN_HEARD"})
    for start in range(0, len(frames), BURST):
        some = frames[start : start + BURST]
        counting = sides.bench.counting(port.name, noise=noise)
        port.far.send(some)
        eventually(lambda c=counting: sum(c.now().values()) >= BURST, "each is counted")  # type: ignore[misc]
        moved = counting.now()
        assert sum(moved.values()) == len(some), moved
    assert sides.bench.worker.running


@families
@pytest.mark.parametrize("seed", [1, 2])
def test_outer_frames(sides: Stretched, family: int, seed: int) -> None:
    random = Random(seed)
    segment = sides.segments[family]
    whole = [
        bytes(segment.arriving(inner, checksum=checksum))
        for inner in right_ones(FAR.mac, HERE.mac)
        for checksum in (0, None)
    ]
    frames = [damaged(random.choice(whole), random) for _ in range(FRAMES)]
    all_are_counted(sides, sides.core, frames)
    sides.delivered(between(FAR, HERE), family)


@families
def test_inner_frames(sides: Stretched, family: int) -> None:
    random = Random(family)
    whole = right_ones(HERE.mac, FAR.mac)
    frames = [damaged(random.choice(whole), random) for _ in range(FRAMES)]
    all_are_counted(sides, sides.access[family], frames)
    sides.sent(between(HERE, FAR), family)


@families
def test_frames_inside_of_right_ones(sides: Stretched, family: int) -> None:
    """Checksums of the outer headers are right, so that what is inside is looked at."""
    random = Random(10 + family)
    segment = sides.segments[family]
    whole = right_ones(FAR.mac, HERE.mac)
    frames = [
        bytes(segment.arriving(damaged(random.choice(whole), random), tos=random.randrange(4)))
        for _ in range(FRAMES)
    ]
    all_are_counted(sides, sides.core, frames)
    sides.delivered(between(FAR, HERE), family)


@families
def test_frames_for_groups(sides: Stretched, family: int) -> None:
    """Both ways; what a bridge knows of groups it has read in such frames."""
    random = Random(20 + family)
    segment = sides.segments[family]
    for port, source in ((sides.access[family], HERE.mac), (sides.core, FAR.mac)):
        whole = for_groups(source)
        frames = [damaged(random.choice(whole), random) for _ in range(FRAMES)]
        if port is sides.core:
            frames = [bytes(segment.arriving(frame)) for frame in frames]
        heard = sides.bench.counters(port.name)["VXLAN_HEARD"]
        all_are_counted(sides, port, frames)
        assert sides.bench.counters(port.name)["VXLAN_HEARD"] > heard
    sides.delivered(between(FAR, HERE), family)


def broken_piece(frame: Packet, random: Random) -> bytes:
    """Of few packets, so that they meet, and of every length that makes sense, and some others."""
    begin, end = sorted(random.choice((0, 0, 8, 16, 64, 104, 150)) for _ in range(2))
    part = piece(frame, begin, end, random.randrange(12), more=random.random() < 0.6)
    broken = bytearray(bytes(part))
    if random.random() < 0.3:
        place = random.randrange(14, len(broken))
        broken[place] = random.choice((0, 0xFF, random.randrange(256), broken[place] ^ 1))
    if random.random() < 0.1:
        del broken[random.randrange(14, len(broken)) :]
    elif random.random() < 0.1:
        broken += random.randbytes(random.randrange(1, 60))
    return bytes(broken)


@pytest.mark.parametrize("seed", [1, 2])
def test_pieces_and_their_buffers(sides: Stretched, seed: int) -> None:
    """In the end each is counted, and its buffer is free again."""
    random = Random(seed)
    segment = sides.segments[6]
    inners = [Ether(frame) for frame in right_ones(FAR.mac, HERE.mac)]
    whole = [segment.arriving(inner, source=PEER[6], checksum=0) for inner in inners]
    whole += [segment.arriving(inner, source=STRANGER[6]) for inner in inners]
    frames = [broken_piece(random.choice(whole), random) for _ in range(FRAMES)]
    noise = frozenset({"FROM_KERNEL", "DROP_NOT_FOR_US", "VXLAN_COPY", "VXLAN_HEARD"})

    def free() -> int:
        memory = sides.bench.client.status().memory
        assert memory
        return memory.mbufs_free

    def received() -> int:
        return sides.bench.client.status().ports[sides.core.name].rx_packets

    def tick() -> None:
        """Something else comes, at which the lcore looks who is late."""
        sides.core.far.send([bytes(Ether(src=sides.core.far_mac, dst=ELSEWHERE) / bytes(46))])

    before, first = free(), received()
    counting = sides.bench.counting("core", noise=noise)
    for start in range(0, len(frames), BURST):
        sides.core.far.send(frames[start : start + BURST])
        wanted = first + start + BURST
        eventually(lambda w=wanted: received() >= w, "the ring is empty")  # type: ignore[misc]

    def all_are_back() -> bool:
        tick()
        return sum(counting.now().values()) == FRAMES and free() >= before - SPARE

    eventually(all_are_back, "each is counted, and its buffer is free", 8.0)
    sides.delivered(between(FAR, HERE), 6)
