# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking for sessions in C finds what a plain search in Python finds, page by page, in order."""

import itertools
import random
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from _gw_native import ffi, lib

from hybrid_gateway import abi
from hybrid_gateway.bpf import SessionInfo
from hybrid_gateway.bpf.maps import BATCH
from hybrid_gateway.bpf.scan import Match, Order, SessionFilter, monotonic
from hybrid_gateway.bpf.sessions import NS, describe
from hybrid_gateway.bpf.tables import address_number

from .plane import Plane, loaded
from .site import Site

RECORDS = 40_000
"""More than are mapped into memory at one time."""
PAGE = 1000
FLAGS = (0, lib.GW_SESSION_INBOUND, lib.GW_SESSION_HAIRPIN, lib.GW_SESSION_STATIC)


def net(text: str) -> Match:
    return Match(IPv4Network(text))


def _tuple(rng: random.Random) -> dict[str, int]:
    def address(prefix: str) -> int:
        return address_number(IPv4Network(prefix)[rng.randrange(200)])

    return {
        "saddr": address("10.1.0.0/16"),
        "daddr": address("198.51.100.0/24"),
        "sport": rng.randrange(65536),
        "dport": socket.htons(rng.choice((80, 443, 53))),
    }


def _session(rng: random.Random, now: int) -> dict[str, Any]:
    """Any live, expired, free or busy record, of any kind."""
    arrives, leaves = _tuple(rng), _tuple(rng)
    if rng.random() < 0.5:
        leaves["daddr"], leaves["dport"] = arrives["daddr"], arrives["dport"]
    return {
        "deadline": now + rng.randrange(-20, 7440) * NS + rng.randrange(NS),
        "claim": rng.choice((1, 1, 1, 5, 9, 0, 2)) + rng.randrange(100) * lib.GW_CLAIM_GENERATION,
        "protocol": rng.choice((1, 6, 6, 17)),
        "flags": rng.choice(FLAGS),
        "tcp_state": rng.randrange(5),
        "arrives": arrives,
        "leaves": leaves,
        "slot": lib.GW_NO_SLOT,
        "peer": lib.GW_NO_SLOT,
        "traffic": [{"packets": rng.randrange(9), "bytes": rng.randrange(1 << 33)}] * 2,
        # A session that was carried over may be older than the clock.
        "created": (now // NS - rng.randrange(-1, 400_000_000)) % 2**32,
    }


@pytest.fixture(scope="module")
def filled(site: Site) -> Iterator[Plane]:
    """A plane of its own with arbitrary records, the last 1000 of them never used."""
    rng, now = random.Random(4), monotonic()
    with site.entered(), loaded(site, "s", RECORDS, ports=()) as plane:
        records = plane.dataplane.table("gw_records")
        for index in range(RECORDS - 1000):
            record = ffi.new("struct gw_record *", {"session": _session(rng, now)})
            records.set(index, record)
        status = abi.new("gw_status", fresh=RECORDS - 1000)
        plane.dataplane.table("gw_status").set(0, status)
        yield plane


@pytest.fixture(scope="module")
def expected(filled: Plane) -> list[SessionInfo]:
    """Every live session, read one by one."""
    found, now = [], monotonic()
    table = filled.dataplane.table("gw_records")
    for start in range(0, RECORDS - 1000, BATCH):
        for index, record in table.slice(start, min(BATCH, RECORDS - 1000 - start)):
            session = record.session
            live = session.claim & lib.GW_CLAIM_MASK == lib.GW_CLAIM_LIVE
            # What expires while the test runs would be there at one time and not at another.
            if live and session.deadline > now + 30 * NS:
                found.append(describe(index, session, now))
    assert len(found) > RECORDS / 4
    return found


Judge = Callable[[SessionInfo], bool]
CASES: dict[str, tuple[SessionFilter, Judge]] = {
    "protocol": (SessionFilter(protocol=17), lambda s: s.protocol == 17),
    "state": (SessionFilter(state="opening"), lambda s: s.state == "opening"),
    "inbound": (SessionFilter(origin="inbound"), lambda s: s.origin.startswith("inbound")),
    "outbound": (SessionFilter(origin="outbound"), lambda s: s.origin.startswith("outbound")),
    "hairpin": (SessionFilter(origin="hairpin"), lambda s: s.origin.startswith("hairpin")),
    "static": (SessionFilter(origin="static"), lambda s: s.origin.endswith("static")),
    "older": (SessionFilter(older=200_000_000), lambda s: s.age >= 200_000_000),
    "younger": (SessionFilter(younger=200_000_000), lambda s: s.age < 200_000_001),
    "expires": (SessionFilter(expires_within=3600), lambda s: s.expires_in <= 3600),
    "remote": (
        SessionFilter(remote=net("198.51.100.64/26")),
        lambda s: s.remote[0] in IPv4Network("198.51.100.64/26"),
    ),
    "remote port": (
        SessionFilter(remote=Match(ports=(53, 80))),
        lambda s: 53 <= s.remote[1] <= 80,
    ),
    "all together": (
        SessionFilter(remote=net("198.51.100.0/25"), protocol=6, any=Match(ports=(443, 443))),
        lambda s: (
            s.remote[0] in IPv4Network("198.51.100.0/25")
            and s.protocol == 6
            and 443 in (s.remote[1], s.inside[1], s.outside[1])
        ),
    ),
    "nothing": (SessionFilter(any=net("192.0.2.0/24")), lambda _: False),
}
EDGE = 40
"""Seconds by which ages may differ: between the two looks time goes by."""


def _on_edge(session: SessionInfo, name: str) -> bool:
    times = {"older": session.age - 2e8, "younger": session.age - 2e8}
    times["expires"] = session.expires_in - 3600
    return name in times and abs(times[name]) < EDGE


def _all(plane: Plane, wanted: SessionFilter, order: Order | None = None) -> list[SessionInfo]:
    """Page after page."""
    found: list[SessionInfo] = []
    cursor: int | str | None = 0
    while cursor is not None:
        page, cursor = plane.dataplane.nat.sessions(wanted, cursor=cursor, limit=PAGE, order=order)
        assert len(page) == PAGE or cursor is None
        found += page
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_filter_finds_what_a_plain_search_does(
    filled: Plane, expected: list[SessionInfo], name: str
) -> None:
    wanted, judge = CASES[name]
    # A call has a second inside and outside endpoint, which describe() does not tell of.
    calls = name == "all together"
    known = {s.index for s in expected if not _on_edge(s, name)}
    found = [s.index for s in _all(filled, wanted) if s.index in known]
    right = {s.index for s in expected if s.index in known and judge(s)}
    if calls:
        right |= {s.index for s in expected if s.origin.startswith("hairpin")} & set(found)
    assert found == sorted(right)


def test_either_end_of_a_call_counts(filled: Plane) -> None:
    records = filled.dataplane.table("gw_records")
    call = _all(filled, SessionFilter(origin="hairpin"))[0]
    record = records.get(call.index)
    assert record is not None
    callee = IPv4Address(int(record.session.leaves.daddr).to_bytes(4, "little"))
    for wanted in (
        SessionFilter(inside=net(f"{callee}")),
        SessionFilter(outside=net(f"{call.remote[0]}")),
        SessionFilter(any=net(f"{callee}")),
    ):
        assert call.index in {s.index for s in _all(filled, wanted)}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("by", "key", "descending"),
    [
        ("age", lambda s: round(s.age), True),
        ("expires", lambda s: s.expires_in, False),
        ("bytes", lambda s: s.bytes_in + s.bytes_out, True),
        ("packets", lambda s: s.packets_in + s.packets_out, True),
        ("inside", lambda s: s.inside, False),
        ("outside", lambda s: s.outside, False),
        ("remote", lambda s: s.remote, False),
    ],
)
def test_sorted_pages_are_in_order_and_complete(
    filled: Plane, expected: list[SessionInfo], by: str, key: Any, descending: bool, reverse: bool
) -> None:
    known = {s.index: s for s in expected}
    found = [s.index for s in _all(filled, SessionFilter(), Order(by, reverse))]

    assert len(found) == len(set(found))
    assert known.keys() <= set(found)
    keys = [key(known[index]) for index in found if index in known]
    if by == "age":
        # Whole seconds that the session began at, told with another moment's fraction.
        steps = itertools.pairwise(keys)
        assert all((a - b) * (1 if descending is not reverse else -1) >= -1 for a, b in steps)
        return
    assert keys == sorted(keys, reverse=descending is not reverse)


def test_counting_agrees_with_listing(filled: Plane) -> None:
    wanted = SessionFilter(protocol=17, older=1000)
    assert abs(filled.dataplane.nat.count(wanted) - len(_all(filled, wanted))) <= 5


def test_a_page_ends_where_the_next_begins(filled: Plane) -> None:
    first, cursor = filled.dataplane.nat.sessions(limit=10)
    assert isinstance(cursor, int)
    second, _ = filled.dataplane.nat.sessions(cursor=cursor, limit=10)
    both, _ = filled.dataplane.nat.sessions(limit=20)
    assert [s.index for s in first + second] == [s.index for s in both]
    assert second[0].index == cursor


def test_the_first_of_the_sorted_are_those_of_all(filled: Plane) -> None:
    order = Order("bytes")
    few, _ = filled.dataplane.nat.sessions(limit=7, order=order)
    assert [s.index for s in few] == [s.index for s in _all(filled, SessionFilter(), order)[:7]]
