# SPDX-License-Identifier: GPL-2.0-or-later
"""A neighbour that says the same route again and again is ended before gobgpd has no memory."""

from hybrid_gateway.evpn.pace import MESSAGES_A_SECOND, Pace
from hybrid_gateway.model import PeerState, SessionState

from .evpn_site import ASN, vtep

LIMITS = {vtep(2): 60_000, vtep(3): 60_000}


def peer(number: int, messages: int) -> PeerState:
    return PeerState(vtep(number), ASN, SessionState.ESTABLISHED, messages=messages)


def test_all_at_once_and_much_for_ever_is_right() -> None:
    pace = Pace()
    for second in range(600):
        told = 60_000 + int(second * MESSAGES_A_SECOND) if second else 0
        assert not pace.look([peer(2, told)], LIMITS, float(second))


def test_who_is_too_fast_is_told_once() -> None:
    pace = Pace()
    found = [
        pace.look([peer(2, 15_000 * second), peer(3, second)], LIMITS, float(second))
        for second in range(13)
    ]

    assert [second for second, one in enumerate(found) if one] == [10]
    assert found[10] == {vtep(2)}


def test_another_session_counts_from_the_beginning() -> None:
    pace = Pace()
    pace.look([peer(2, 100_000)], LIMITS, 0.0)

    assert not pace.look([peer(2, 5)], LIMITS, 1.0)
    assert not pace.look([peer(2, 100_005)], LIMITS, 2.0)
