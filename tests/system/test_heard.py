# SPDX-License-Identifier: GPL-2.0-or-later
"""A TAP by which a bridge hears: what is written to it arrives at the bridge, and nowhere else."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hybrid_gateway.devices import heard, networkd, tap
from hybrid_gateway.errors import GwError
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import heard_name
from hybrid_gateway.netlink import Netlink

STATION, BROADCAST = "02:00:c6:12:00:01", "ff:ff:ff:ff:ff:ff"
"""A station of the bridge; of its own FDB nothing is asked."""
ADDRESS, OTHER = "198.18.0.1", "198.18.0.9"
PORT = 6767
TEXT = b"heard once"


@pytest.fixture
def bridge(place: Path) -> int:
    """Of which veth0 is a port; in the namespace of its own that the thread is in by `place`."""
    del place
    for line in (
        "link add br50 type bridge mcast_snooping 0",
        "link set br50 addrgenmode none up",
        f"addr add {ADDRESS}/24 dev br50",
        "link add veth0 type veth peer name host0",
        "link set veth0 master br50 addrgenmode none up",
        "link set host0 addrgenmode none up",
    ):
        namespaces.run(["ip", *line.split()])
    return socket.if_nametoindex("br50")


@contextlib.contextmanager
def opened(name: str) -> Iterator[int]:
    """As the worker has it."""
    fd = os.open(tap.DEVICE, os.O_RDWR)
    try:
        fcntl.ioctl(fd, tap.TUNSETIFF, tap.REQUEST.pack(name.encode(), tap.IFF_TAP | tap.IFF_NO_PI))
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def listening(device: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as found:
        found.bind((device, 0))
        found.setblocking(False)
        yield found


def received(at: socket.socket) -> list[bytes]:
    """Of the frames that are there those of the test: kernels speak by themselves. What was written
    to a TAP has arrived by the time that a server has got what was written behind it."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(at.recv(2048))
    return [one for one in found if TEXT in one]


def frame(dst: str, address: str, length: int = len(TEXT)) -> bytes:
    """`length`: of what UDP carries, bytes."""
    packet = IP(src=OTHER, dst=address) / UDP(sport=68, dport=PORT) / Raw(TEXT.ljust(length))
    return bytes(Ether(src=STATION, dst=dst) / packet)


def observed() -> tuple[frozenset[int], frozenset[int]]:
    netlink = Netlink()
    try:
        return heard.observe(netlink.links())
    finally:
        netlink.close()


@pytest.mark.parametrize(
    ("mac", "address"), [(BROADCAST, "255.255.255.255"), (BROADCAST, "198.18.0.255")]
)
def test_the_bridge_hears_and_floods_nothing(bridge: int, mac: str, address: str) -> None:
    heard.make(bridge)
    assert observed() == (frozenset({bridge}), frozenset({bridge}))
    sent = frame(mac, address)
    with (
        opened(heard_name(bridge)) as fd,
        listening("br50") as at_bridge,
        listening("host0") as at_host,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
    ):
        server.bind(("", PORT))
        server.settimeout(5.0)
        os.write(fd, sent)
        assert server.recv(100) == TEXT
        assert received(at_bridge) == [sent]
        assert received(at_host) == []
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(100)
    learned = namespaces.run(["bridge", "fdb", "show", "br", "br50"])
    assert STATION not in learned


def test_a_frame_that_is_longer_than_the_tap_takes_by_itself(bridge: int) -> None:
    """Whose MTU is the usual one, whatever the bridge has."""
    namespaces.run(["ip", "link", "set", "br50", "mtu", "2000"])
    heard.make(bridge)
    sent = frame(BROADCAST, "198.18.0.255", 1900)
    with opened(heard_name(bridge)) as fd, socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("", PORT))
        server.settimeout(5.0)
        os.write(fd, sent)
        assert server.recv(2048) == sent[42:]


def test_to_nobody_in_particular(bridge: int) -> None:
    """What is for another station is for who listens to everything, and not for the host."""
    heard.make(bridge)
    sent = frame("02:00:c6:12:00:02", ADDRESS)
    with (
        opened(heard_name(bridge)) as fd,
        listening("br50") as at_bridge,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
    ):
        server.bind(("", PORT))
        server.setblocking(False)
        os.write(fd, sent)
        os.write(fd, marker := frame(BROADCAST, "198.18.0.255"))
        server.settimeout(5.0)
        assert server.recv(100) == TEXT, "the second one"
        assert received(at_bridge) == [sent, marker]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(100)


def test_it_keeps_to_itself(bridge: int) -> None:
    """No port of a bridge, no address, and nothing said by it."""
    heard.make(bridge)
    said = namespaces.run(["ip", "-d", "link", "show", heard_name(bridge)])
    assert "NOARP" in said
    assert "persist on" in said
    assert "master" not in said
    assert not namespaces.run(["ip", "addr", "show", heard_name(bridge), "up"]).count("inet")


def test_without_its_program_it_is_not_whole(bridge: int) -> None:
    heard.make(bridge)
    namespaces.run(["tc", "qdisc", "del", "dev", heard_name(bridge), "clsact"])
    assert observed() == (frozenset(), frozenset({bridge}))
    with opened(heard_name(bridge)):
        # Whoever has it open has no part in that.
        heard.make(bridge)
    assert observed() == (frozenset({bridge}), frozenset({bridge}))
    heard.remove(bridge)
    heard.remove(bridge)
    assert observed() == (frozenset(), frozenset())


def test_what_is_not_ours_stays(bridge: int) -> None:
    """Another device by its name, and one of its kind by another."""
    namespaces.run(["ip", "link", "add", heard_name(bridge), "type", "veth"])
    namespaces.run(["ip", "tuntap", "add", "gwh0x1", "mode", "tap"])
    with pytest.raises(GwError, match=heard_name(bridge)):
        heard.make(bridge)
    heard.make(bridge + 1000)
    heard.sweep()
    listed = namespaces.run(["ip", "-br", "link"])
    assert heard_name(bridge) in listed
    assert "gwh0x1" in listed
    assert heard_name(bridge + 1000) not in listed
    assert "gw-new" not in listed
    assert observed() == (frozenset(), frozenset())


def test_networkd_is_told_once(
    bridge: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file for all of them, which goes with the last one."""
    monkeypatch.setattr(networkd, "is_here", lambda: True)
    monkeypatch.setattr(networkd, "RUN", tmp_path)
    told: list[str] = []
    monkeypatch.setattr(networkd, "_reload", lambda: told.append("reload"))
    files = tmp_path / "network"
    for one in (bridge, bridge + 1000):
        heard.make(one)
    assert told == ["reload"]
    wanted = "Name=gwh[0-9]*\n\n[Link]\nUnmanaged=yes"
    assert wanted in (files / "00-gw-heard.network").read_text()
    assert "OriginalName=gw-new* gwh[0-9]*\n" in (files / "00-gw-heard.link").read_text()
    heard.remove(bridge)
    assert len(list(files.iterdir())) == 2
    heard.remove(bridge + 1000)
    assert list(files.iterdir()) == []
    assert told == ["reload", "reload"]
