# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 6888 REQ-12: who had what outside, not whom they spoke to; live in tests/forward/test_log."""

from hybrid_gateway.model import NatLog
from hybrid_gateway.natlog.lines import MAPPINGS, SESSIONS, lines
from tests.unit.log_events import CLOSED, MAPPED, OFFSET, OPENED, REMOTE, UNMAPPED

EVENTS = OPENED + CLOSED + MAPPED + UNMAPPED


def written(*, destinations: bool) -> list[str]:
    made = lines(memoryview(EVENTS), OFFSET, SESSIONS | MAPPINGS, destinations=destinations)
    return [line.text for line in made]


def test_rfc6888_req12_destinations_are_not_logged() -> None:
    """SHOULD NOT, unless the administrator requires it: not by default, nor is anything else."""
    assert NatLog() == NatLog(sessions=False, mappings=False, destinations=False, ipfix=None)
    without = "\n".join(written(destinations=NatLog().destinations))
    assert REMOTE[0] not in without
    assert f":{REMOTE[1]} " not in without
    assert REMOTE[0] in "\n".join(written(destinations=True))


def test_rfc6888_req12_protocol_subscriber_endpoint_and_time_are() -> None:
    """What an operator needs to answer who it was."""
    for line in written(destinations=False):
        for word in (" tcp " if "open" in line or "close" in line else " udp ", "inside=", "time="):
            assert word in line
        assert " outside=203.0.113.2:23456" in line
