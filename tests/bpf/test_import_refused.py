# SPDX-License-Identifier: GPL-2.0-or-later
"""What gw_import cannot or must not take over; nothing is left of it."""

import socket
from ipaddress import IPv4Address
from random import Random

import pytest
from _gw_native import ffi, lib
from scapy.layers.inet import UDP

from hybrid_gateway import abi
from hybrid_gateway.bpf.tables import address_number
from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, tcp, udp

from .fixtures import CAPACITY
from .kinds import (
    KINDS,
    Kind,
    call,
    call_of_a_forward,
    forward,
    lan_frame,
    one_to_one,
    opened,
    udp_kind,
)
from .plane import Plane
from .saved import copy, exported, imported

FOREIGN = address_number(IPv4Address("198.51.100.77"))


def test_a_port_that_somebody_else_has(plane: Plane) -> None:
    plane.configure(ports=(20000, 20000))
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    mine = lan_frame(udp(LAN2.ip, SERVER, 5000, 53))
    assert plane.run(*mine).verdict == "FORWARD"

    assert imported(plane, saved) == ["CONFLICT"]
    assert plane.run(*mine).counted == {"FORWARD": 1}
    assert plane.host(LAN.ip) == (0, 0)


def test_an_endpoint_that_has_another_port(plane: Plane) -> None:
    plane.configure(ports=(20000, 20000))
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    plane.lan(udp(LAN.ip, SERVER2, 4000, 53))
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    plane.configure(ports=(20002, 20002))
    mine = lan_frame(udp(LAN.ip, SERVER, 4000, 53))
    plane.run(*mine)

    assert imported(plane, saved) == ["CONFLICT", "CONFLICT"]
    assert plane.run(*mine).counted == {"FORWARD": 1}
    assert plane.host(LAN.ip) == (1, 1)


def test_a_call_whose_callee_has_another_port(plane: Plane) -> None:
    """What was taken for the caller is given back."""
    plane.configure(ports=(20000, 20001))
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    plane.lan(udp(LAN.ip, WAN.ip, 4001, callee))
    (call,) = (record for record in exported(plane) if record.flags & lib.GW_SESSION_HAIRPIN)
    plane.dataplane.clear_sessions()
    plane.configure(ports=(20004, 20004))
    plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2)

    assert imported(plane, [call]) == ["CONFLICT"]
    assert [plane.host(LAN.ip), plane.host(LAN2.ip)] == [(0, 0), (1, 1)]


def test_no_room(plane: Plane) -> None:
    for dport in range(1, 11):
        plane.lan(udp(LAN.ip, SERVER, 4000, dport))
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    for dport in range(1, CAPACITY - 3):
        assert plane.lan(udp(LAN2.ip, SERVER, 5000, dport), LAN2).verdict == "FORWARD"

    assert imported(plane, saved) == ["DONE"] * 4 + ["FULL"] * 6
    assert plane.host(LAN.ip) == (4, 1)


@pytest.mark.parametrize("kind", [udp_kind, forward, one_to_one, call, call_of_a_forward])
def test_an_address_that_is_gone(plane: Plane, kind: Kind) -> None:
    opened(plane, kind)
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    other = IPv4Address("203.0.113.60")
    plane.configure(addresses=(other,))
    plane.dataplane.set_addresses([other])
    plane.statics()

    assert imported(plane, saved) == ["GONE"] * len(saved)
    assert plane.own.leaks() == []


def test_a_forward_that_is_gone_leaves_its_sessions(plane: Plane) -> None:
    frames = opened(plane, forward)
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    plane.statics()

    assert imported(plane, saved) == ["DONE"] * len(saved)
    assert plane.run(*frames[1]).counted == {"FORWARD": 1}


def test_a_session_that_expired_meanwhile(plane: Plane) -> None:
    opened(plane, udp_kind)
    saved = [copy(record, left=0) for record in exported(plane)]
    plane.dataplane.clear_sessions()

    assert imported(plane, saved) == ["GONE"] * len(saved)


# ---- what is no session ---------------------------------------------------------------------

UDP_WRONG = [
    {"protocol": 0},
    {"protocol": 47},
    {"protocol": 6},
    {"tcp_state": lib.GW_TCP_ESTABLISHED},
    {"fins": 1},
    {"flags": 0x10},
    {"flags": 0xFF},
    {"flags": lib.GW_SESSION_INBOUND},
    {"flags": lib.GW_SESSION_STATIC},
    {"flags": lib.GW_SESSION_INBOUND | lib.GW_SESSION_HAIRPIN},
    {"holds": 0},
    {"holds": 8 | lib.GW_SAVED_MAPPING},
    {"holds": lib.GW_SAVED_MAPPING | lib.GW_SAVED_PEER},
    {"arrives__saddr": 0},
    {"arrives__daddr": 0},
    {"leaves__saddr": 0},
    {"leaves__daddr": 0},
    {"arrives__saddr": 0xFFFFFFFF},
    {"arrives__daddr": FOREIGN},
    {"arrives__dport": socket.htons(7)},
    {"leaves__saddr": FOREIGN},
    {"leaves__sport": 0},
]


@pytest.mark.parametrize("wrong", UDP_WRONG, ids=str)
def test_what_contradicts_itself_is_refused(plane: Plane, wrong: dict[str, int]) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    (saved,) = exported(plane)
    plane.dataplane.clear_sessions()

    (result,) = imported(plane, [copy(saved, **wrong)])

    assert result in ("CONFLICT", "GONE")
    assert plane.sessions() == []
    assert plane.own.leaks() == []


@pytest.mark.parametrize("wrong", [{"tcp_state": 0}, {"tcp_state": 5}, {"fins": 4}], ids=str)
def test_a_connection_without_a_state_is_refused(plane: Plane, wrong: dict[str, int]) -> None:
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80))
    (saved,) = exported(plane)
    plane.dataplane.clear_sessions()

    assert imported(plane, [copy(saved, **wrong)]) == ["CONFLICT"]
    assert plane.own.leaks() == []


def test_nothing_but_zeros(plane: Plane) -> None:
    assert imported(plane, [abi.new("gw_saved")] * lib.GW_BATCH_MAX) == ["CONFLICT"] * 512


def test_damaged_records_leave_nothing_behind(plane: Plane) -> None:
    """Whatever a few wrong bytes make of them, they are sessions that can be ended, or none."""
    random = Random(7)
    whole: list[bytes] = []
    for kind in KINDS:
        opened(plane, kind)
        whole += [bytes(ffi.buffer(record)) for record in exported(plane)]
        plane.dataplane.clear_sessions()
    for _ in range(8):
        saved = []
        for _ in range(lib.GW_BATCH_MAX):
            damaged = bytearray(random.choice(whole))
            for _ in range(random.randrange(4)):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
            saved.append(
                ffi.new("struct gw_saved *", ffi.from_buffer("struct gw_saved *", damaged)[0])
            )
        assert {"CONFLICT", "GONE", "MERGED"} <= set(imported(plane, saved))
        plane.dataplane.clear_sessions()
        assert plane.own.leaks() == []


def test_a_count_that_is_too_large(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    (saved,) = exported(plane)
    plane.dataplane.clear_sessions()
    imported(plane, [abi.new("gw_saved")] * lib.GW_BATCH_MAX)
    plane.dataplane.table("gw_saved_batch").set(0, saved)
    plane.dataplane.table("gw_batch").set(0, abi.new("gw_batch", count=2**32 - 1))

    plane.dataplane._run("gw_import")

    assert len(plane.sessions()) == 1
