# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of sessions without a gateway: lines, rates, and who reads them."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pytest
from _gw_native import ffi, lib

from hybrid_gateway.cli.log import describe
from hybrid_gateway.natlog import journal as journals
from hybrid_gateway.natlog.event import EVENT
from hybrid_gateway.natlog.journal import Journal, LineCounts
from hybrid_gateway.natlog.lines import MAPPINGS, SESSIONS, Line, count_of, lines
from hybrid_gateway.natlog.rate import PERIOD, Allowance, Meter
from tests.unit.log_events import (
    AT,
    CLOSED,
    INSIDE,
    MAPPED,
    OFFSET,
    OPENED,
    OUTSIDE,
    REMOTE,
    UNMAPPED,
    event,
)

BOTH = SESSIONS | MAPPINGS
STAMP = "time=2023-11-14T22:13:20.123Z"


def test_events_are_read_as_c_lays_them_out() -> None:
    assert ffi.sizeof("struct gw_log_event") == EVENT.size
    fields = EVENT.unpack(event(lib.GW_LOG_SESSION_CLOSED, flags=lib.GW_SESSION_INBOUND))
    ends = [(socket.inet_aton(a), p.to_bytes(2, "big")) for a, p in (INSIDE, OUTSIDE, REMOTE)]
    wanted: list[int | bytes] = [AT, 10, 1500, 20, 30000]
    for address, port in ends:
        wanted += [address, port, 6]
    assert list(fields) == [*wanted, lib.GW_LOG_SESSION_CLOSED, lib.GW_SESSION_INBOUND]


def texts(events: bytes, kinds: frozenset[int] = BOTH, destinations: bool = False) -> list[str]:
    made = lines(memoryview(events), OFFSET, kinds, destinations=destinations)
    return [line.text for line in made]


def test_lines() -> None:
    who = "inside=192.168.110.10:51000 outside=203.0.113.2:23456"
    assert texts(OPENED + CLOSED + MAPPED + UNMAPPED) == [
        f"nat44 open tcp {who} {STAMP}",
        f"nat44 close tcp {who} out=10/1500 in=20/30000 {STAMP}",
        f"nat44 map udp {who} {STAMP}",
        f"nat44 unmap udp {who} {STAMP}",
    ]


def test_lines_with_destinations() -> None:
    opened, mapped = texts(OPENED + MAPPED, destinations=True)
    assert " remote=198.51.100.10:443 " in opened
    assert "remote" not in mapped


def test_lines_name_the_origin_and_any_protocol() -> None:
    inbound = event(lib.GW_LOG_SESSION_OPENED, flags=lib.GW_SESSION_INBOUND, protocol=1)
    hairpin = event(lib.GW_LOG_SESSION_OPENED, flags=lib.GW_SESSION_HAIRPIN, protocol=132)
    first, second = texts(inbound + hairpin)
    assert first.startswith("nat44 open icmp inside=")
    assert " origin=inbound " in first
    assert second.startswith("nat44 open 132 inside=")
    assert " origin=hairpin " in second


def test_only_what_is_wanted_becomes_a_line() -> None:
    events = OPENED + CLOSED + MAPPED
    assert [text.split()[1] for text in texts(events, SESSIONS)] == ["open", "close"]
    assert [text.split()[1] for text in texts(events, MAPPINGS)] == ["map"]
    assert [count_of(memoryview(events), kinds) for kinds in (SESSIONS, MAPPINGS, BOTH)] == [
        2,
        1,
        3,
    ]


# ---- rates --------------------------------------------------------------------------------


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_allowance_is_a_rate_and_a_burst() -> None:
    clock = Clock()
    allowance = Allowance(10, 25, clock)
    assert allowance.take(100) == 25
    assert allowance.take(1) == 0
    clock.now += 0.5
    assert allowance.take(3) == 3
    assert allowance.take(100) == 2
    clock.now += 3600
    assert allowance.take(100) == 25


def test_a_meter_forgets() -> None:
    clock = Clock()
    meter = Meter(clock)
    for _ in range(10):
        meter.add(100)
        clock.now += 1
    assert meter.rate() == pytest.approx(100, rel=0.25)
    clock.now += 3 * PERIOD
    assert meter.rate() == 0
    assert meter.total == 1000


# ---- the journal --------------------------------------------------------------------------


@contextmanager
def daemon(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(path))
        opened.settimeout(2)
        yield opened


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(journals.OVERRIDE, str(tmp_path / "log"))
    monkeypatch.setattr(journals, "RETRY_SECONDS", 0.0)
    return tmp_path / "log"


def some(count: int) -> list[Line]:
    return list(lines(memoryview(OPENED * count), OFFSET, BOTH, destinations=False))


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_utc")
def test_what_syslog_gets() -> None:
    (line,) = some(1)
    assert journals.syslog_entry(line).decode() == (
        f"<30>Nov 14 22:13:20 gw-nat[{os.getpid()}]: {line.text}"
    )


def test_what_the_journal_gets() -> None:
    (line,) = some(1)
    assert journals.journal_entry(line).decode().splitlines() == [
        f"MESSAGE={line.text}",
        "PRIORITY=6",
        "SYSLOG_FACILITY=3",
        "SYSLOG_IDENTIFIER=gw-nat",
        "GW_EVENT=open",
        "GW_PROTOCOL=tcp",
        "GW_INSIDE_ADDRESS=192.168.110.10",
        "GW_INSIDE_PORT=51000",
        "GW_OUTSIDE_ADDRESS=203.0.113.2",
        "GW_OUTSIDE_PORT=23456",
    ]


def test_the_journal_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(journals.OVERRIDE, raising=False)
    monkeypatch.setattr(journals, "JOURNAL", tmp_path / "journal")
    monkeypatch.setattr(journals, "SYSLOG", tmp_path / "syslog")

    async def run() -> None:
        with daemon(tmp_path / "journal") as journald, daemon(tmp_path / "syslog"):
            journal = Journal(asyncio.get_running_loop(), LineCounts())
            journal.write(some(1))
            assert journald.recv(2000).startswith(b"MESSAGE=nat44 open tcp")
            assert journal.place == str(tmp_path / "journal")
            journal.close()

    asyncio.run(run())


def test_a_busy_daemon_holds_nobody_up(syslog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines wait for it, in order and up to a limit; what comes on top is counted."""
    monkeypatch.setattr(journals, "WAITING_MAX", 300)

    async def run() -> None:
        counts = LineCounts()
        journal = Journal(asyncio.get_running_loop(), counts)
        with daemon(syslog) as reading:
            journal.write(some(1000))
            taken = counts.written
            assert 0 < taken < 1000
            assert counts.lost == 1000 - 300
            for _ in range(300):
                assert reading.recv(2000)
                await asyncio.sleep(0)
            assert (counts.written, counts.lost) == (300, 700)
            journal.close()

    asyncio.run(run())


def test_a_daemon_comes_back(syslog: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without one the agent's own log has the lines."""

    async def run() -> None:
        counts = LineCounts()
        journal = Journal(asyncio.get_running_loop(), counts)
        journal.write(some(1))
        assert journal.place == "stderr"
        assert "nat44 open tcp inside=192.168.110.10:51000" in caplog.text
        for _ in range(2):
            with daemon(syslog) as reading:
                journal.write(some(1))
                assert b"nat44 open" in reading.recv(2000)
            journal.write(some(1))  # finds out, and loses this one
        assert asdict(counts) == {"written": 3, "lost": 2, "limited": 0}
        journal.close()

    asyncio.run(run())


# ---- gwctl show log -----------------------------------------------------------------------

ANSWER: dict[str, Any] = {
    "enabled": True,
    "reading": True,
    "events": 400_008,
    "rate": 1234.5,
    "unknown": 0,
    "journal": "/dev/log",
    "lines": {"written": 10_205, "lost": 1, "limited": 2},
    "collector": "192.0.2.7:4739",
    "export": {"records": 400_008, "messages": 11_412, "lost": 3, "errors": 4},
    "ring_lost": 5,
}


def test_show_log() -> None:
    found = [line.split(": ") for line in describe(ANSWER).splitlines()]
    assert {name: value.strip() for name, value in found} == {
        "events": "400 008, 1 234.5 a second",
        "lost before they were read": "5",
        "lines to": "/dev/log",
        "lines written": "10 205",
        "lines lost to the limit": "2",
        "lines that nobody took": "1",
        "collector": "192.0.2.7:4739",
        "records sent": "400 008",
        "messages sent": "11 412",
        "records not sent": "3",
        "errors": "4",
    }


def test_show_log_of_one_of_both() -> None:
    assert "collector" not in describe(ANSWER | {"collector": None})
    assert "lines" not in describe(ANSWER | {"journal": None})
    assert "warning: nothing is read" in click.unstyle(describe(ANSWER | {"reading": False}))
    assert describe(ANSWER | {"enabled": False}) == "nothing is logged (nat44.log)"
