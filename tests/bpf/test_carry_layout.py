# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions out of maps that look like nothing this version knows."""

import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from _gw_native import ffi, lib
from scapy.layers.inet import UDP

from hybrid_gateway.bpf.objects import LoadedObject, ObjectFile
from tests.lib.packets import LAN, SERVER, SERVER2, WAN, udp

from .plane import Plane, loaded
from .site import Site
from .test_carry import put_in_force, start

SOURCE = Path(__file__).with_name("older.bpf.c")
MAPS = ("gw_settings", "gw_records")
NS = 1_000_000_000
LIVE, FREE, BUSY = 0x11, 0x10, 0x12
Older = Callable[..., None]


def _tuple(saddr: str, daddr: str, sport: int, dport: int) -> bytes:
    addresses = IPv4Address(saddr).packed + IPv4Address(daddr).packed
    return addresses + struct.pack("=HH", socket.htons(sport), socket.htons(dport))


def _session(claim: int, protocol: int, inside: int, outside: int, left: float) -> bytes:
    deadline = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(left * NS)
    head = struct.pack("=IBBH", claim, lib.GW_SESSION_PERMIT, protocol, 0)
    leaves = _tuple(WAN.ip, SERVER, outside, 53)
    return head + leaves + _tuple(LAN.ip, SERVER, inside, 53) + struct.pack("=Q", max(0, deadline))


def _records() -> list[bytes]:
    return [
        _session(LIVE, 17, 4000, 30000, 100),
        _session(FREE, 17, 4001, 30001, 100),
        _session(BUSY, 17, 4002, 30002, 100),
        _session(LIVE, 17, 4003, 30003, -1),
        _session(LIVE, 6, 4004, 30004, 3600),
        _session(LIVE, 17, 4005, 30000, 100),  # two inside endpoints cannot have one outside
    ]


@pytest.fixture
def plane(site: Site) -> Iterator[Plane]:
    """A data plane of one test's own, whose pins a test replaces."""
    with site.entered(), loaded(site, "o", 64, ports=()) as own:
        own.reset()
        yield own


@pytest.fixture
def older(plane: Plane, tmp_path: Path) -> Older:
    """Pins the other maps, compiled with these macros, as if they had always been there."""

    def pin(*macros: str) -> None:
        compiled = tmp_path / "older.bpf.o"
        multiarch = subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
        flags = ["-O2", "-g", "-target", "bpf", f"-I/usr/include/{multiarch}"]
        flags += [f"-D{macro}" for macro in macros]
        subprocess.run(["clang", *flags, "-c", SOURCE, "-o", compiled], check=True)
        loaded = LoadedObject(ObjectFile(compiled, ("older",)))
        loaded.load()
        maps = {name: lib.gw_map_fd(found) for name, found in loaded.maps().items()}
        settings = struct.pack("=II", 7, 1) + IPv4Address(WAN.ip).packed + bytes(4)
        assert lib.gw_update(maps["gw_settings"], ffi.new("__u32 *"), settings) == 0
        for index, record in enumerate(_records()):
            assert lib.gw_update(maps["gw_records"], ffi.new("__u32 *", index), record) == 0
        for path in plane.instance.pinned_maps.iterdir():
            path.unlink()
        for name in MAPS:
            place = os.fsencode(plane.instance.pinned_maps / name)
            assert lib.gw_pin(maps[name], place) == 0
        loaded.close()

    return pin


def test_by_name_and_with_what_may_be_assumed(plane: Plane, older: Older) -> None:
    older()
    start(plane, 64)
    assert plane.dataplane.session_count() == 0
    assert put_in_force(plane) == [
        "2 sessions carried over",
        "1 sessions not carried over: their ports are in use by others",
    ]

    first, second = plane.sessions()
    assert (first.inside[1], first.outside[1], first.state) == (4000, 30000, "active")
    assert 95 < first.expires_in <= 100
    assert first.age < 5
    # What is not known of a connection is assumed to be in its favour.
    assert (second.inside[1], second.state) == (4004, "established")
    assert plane.wan(udp(SERVER, WAN.ip, 99, 30000)).verdict == "FORWARD"
    assert plane.wan(udp(SERVER2, WAN.ip, 53, 30000)).verdict == "DROP_FILTERED"
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport == 30000
    plane.dataplane.clear_sessions()
    assert plane.own.leaks() == []


@pytest.mark.parametrize(
    ("macro", "reason"),
    [
        ("UNREADABLE", "their records have no field arrives.saddr"),
        ("UNMAPPABLE", "their records cannot be mapped into memory"),
    ],
)
def test_what_cannot_be_read_is_told(plane: Plane, older: Older, macro: str, reason: str) -> None:
    older(macro)
    start(plane, 64)
    assert put_in_force(plane) == [f"sessions cannot be carried over: {reason}"]
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).verdict == "FORWARD"


def test_no_records_at_all(plane: Plane, older: Older) -> None:
    older()
    (plane.instance.pinned_maps / "gw_records").unlink()
    start(plane, 64)
    assert put_in_force(plane) == ["sessions cannot be carried over: there are no records"]
