# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions that the agent picks to be ended."""

from _gw_native import lib
from scapy.layers.inet import UDP

from hybrid_gateway import abi
from tests.lib.packets import LAN, SERVER, WAN, udp

from .plane import Plane

Pick = tuple[int, int]
"""Index and claim."""


def _picked(plane: Plane) -> dict[int, Pick]:
    """The pick of each session, by its inside port."""
    found: dict[int, Pick] = {}
    for session in plane.sessions():
        record = plane.dataplane.table("gw_records").get(session.index)
        assert record is not None
        found[session.inside[1]] = session.index, record.session.claim
    return found


def _removed(plane: Plane, picks: list[Pick]) -> int:
    table, batch = plane.dataplane.table("gw_picks"), plane.dataplane.table("gw_batch")
    for i, (index, claim) in enumerate(picks):
        table.set(i, abi.new("gw_pick", index=index, claim=claim))
    batch.set(0, abi.new("gw_batch", count=len(picks)))
    plane.dataplane._run("gw_remove")
    result = batch.get(0)
    assert result is not None
    return int(result.done)


def _open(plane: Plane, sport: int) -> int:
    return int(plane.lan(udp(LAN.ip, SERVER, sport, 53)).packet[UDP].sport)


def test_those_that_were_picked_and_no_other(plane: Plane) -> None:
    ports = {sport: _open(plane, sport) for sport in range(4000, 4010)}
    picks = _picked(plane)

    assert _removed(plane, [picks[sport] for sport in range(4000, 4005)]) == 5

    assert _picked(plane).keys() == set(range(4005, 4010))
    assert plane.dataplane.session_count() == 5
    assert plane.host(LAN.ip) == (5, 5)
    assert plane.wan(udp(SERVER, WAN.ip, 53, ports[4000])).verdict == "DROP_NO_MAPPING"
    assert plane.wan(udp(SERVER, WAN.ip, 53, ports[4009])).verdict == "FORWARD"


def test_a_record_that_is_another_session_by_now(plane: Plane) -> None:
    _open(plane, 4000)
    before = _picked(plane)[4000]
    assert _removed(plane, [before]) == 1

    index, claim = before
    assert _removed(plane, [before, (index, claim + lib.GW_CLAIM_GENERATION)]) == 0


def test_a_session_picked_twice_ends_once(plane: Plane) -> None:
    _open(plane, 4000)

    assert _removed(plane, [_picked(plane)[4000]] * 3) == 1


def test_picks_that_are_no_records(plane: Plane) -> None:
    _open(plane, 4000)
    index, claim = _picked(plane)[4000]
    wrong = [(plane.capacity, 1), (2**32 - 1, 1), (index | 2**31, claim)]
    wrong += [(index, claim ^ bit) for bit in (1, 2, 3, 4)]

    assert _removed(plane, wrong) == 0
    assert len(plane.sessions()) == 1


def test_a_count_that_is_too_large(plane: Plane) -> None:
    _removed(plane, [(0, 0)] * lib.GW_BATCH_MAX)
    plane.dataplane.table("gw_batch").set(0, abi.new("gw_batch", count=2**32 - 1))

    plane.dataplane._run("gw_remove")

    result = plane.dataplane.table("gw_batch").get(0)
    assert result is not None
    assert result.done == 0
