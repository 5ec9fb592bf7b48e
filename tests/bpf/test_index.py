# SPDX-License-Identifier: GPL-2.0-or-later
"""The session table of bpf/src/index.h: no kind of traffic crowds into a few of its buckets."""

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lib.packets import LAN, SERVER, from_lan, udp

from .frames import DADDR, DPORT, SADDR, SPORT, UDP_CHECKSUM, mended
from .plane import Plane, loaded
from .site import Site

SESSIONS = 16384
FILLED = SESSIONS * 9 // 10
"""Full to the last record, a table with perfect hashing would refuse one session in 40 fillings."""

Sweep = Callable[[bytearray, int], None]


@pytest.fixture
def large(site: Site) -> Iterator[Plane]:
    """A data plane of one test's own; the shared one has registered the devices' queues."""
    with ExitStack() as stack:
        stack.enter_context(site.entered())
        plane = stack.enter_context(loaded(site, "i", SESSIONS, ports=()))
        plane.reset()
        plane.configure(host_sessions=SESSIONS, host_ports=SESSIONS)
        yield plane
        plane.dataplane.clear_sessions()
        assert plane.dataplane.session_count() == 0


def _remote_port(frame: bytearray, i: int) -> None:
    struct.pack_into("!H", frame, DPORT, 1 + i)


def _remote_address(frame: bytearray, i: int) -> None:
    struct.pack_into("!I", frame, DADDR, 0xC6330000 + i)


def _inside_port(frame: bytearray, i: int) -> None:
    struct.pack_into("!H", frame, SPORT, 1024 + i)


def _inside_address(frame: bytearray, i: int) -> None:
    struct.pack_into("!I", frame, SADDR, 0xC0A86E02 + i % 250)
    struct.pack_into("!H", frame, SPORT, 1024 + i // 250)


def _hosts_and_remotes(frame: bytearray, i: int) -> None:
    """Each inside host talks to each of as many remote addresses."""
    struct.pack_into("!I", frame, SADDR, 0xC0A86E02 + i % 128)
    struct.pack_into("!I", frame, DADDR, 0xC6330000 + i // 128)


SWEEPS = [_remote_port, _remote_address, _inside_port, _inside_address]


@pytest.mark.parametrize("sweep", SWEEPS, ids=[sweep.__name__[1:] for sweep in SWEEPS])
def test_a_table_can_be_filled_by_any_sweep(large: Plane, sweep: Sweep) -> None:
    _fill(large, sweep)


def test_a_table_can_be_filled_from_few_ports(large: Plane) -> None:
    """What the answers look like differs in the last bytes of port and address only."""
    large.configure(host_sessions=SESSIONS, host_ports=SESSIONS, ports=(20224, 20479))
    _fill(large, _hosts_and_remotes)


def _fill(large: Plane, sweep: Sweep) -> None:
    frame = bytearray(bytes(from_lan(udp(LAN.ip, SERVER, 4000, 53, payload=b""))))
    struct.pack_into("!H", frame, UDP_CHECKSUM, 0)
    before = large.counters("lan0")
    for i in range(FILLED):
        sweep(frame, i)
        large.run_uncounted(mended(frame), "lan0")
    after = large.counters("lan0")

    counted = {name: n - before[name] for name, n in after.items() if n != before[name]}
    counted.pop("NAT_NEW_MAPPING")
    assert counted == {"FORWARD": FILLED, "NAT_NEW_SESSION": FILLED}
