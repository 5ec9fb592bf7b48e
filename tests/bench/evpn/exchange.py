# SPDX-License-Identifier: GPL-2.0-or-later
"""How long stations take from one site to the other, and to be forgotten there."""

import time
from contextlib import ExitStack
from statistics import median

from tests.bench.evpn.sites import ACCESS, HOLD_SECONDS, TwoSites, await_until, station
from tests.bench.group import LIMIT
from tests.bench.measure import MeasurementError, Note
from tests.bench.report import Figure, progress

SAMPLES, MANY = 50, 10_000
LEARN_MS, MANY_SECONDS = 200.0, 10.0
DIES_SECONDS, LINK_SECONDS = HOLD_SECONDS + 1.0, 1.0
"""Of a port with stations, and of the way between the sites."""
PATIENCE_SECONDS = 60.0


def measure(note: Note) -> list[Figure]:
    with TwoSites() as sites:
        progress("evpn.learn")
        learned = [_learn(sites, number) for number in range(SAMPLES)]
        note(f"evpn.learn: {max(learned):.0f} ms at most, of {SAMPLES} stations")
        figures = [
            Figure("evpn.learn", median(learned), "ms", LIMIT, LEARN_MS),
            Figure("evpn.10k", _many(sites), "s", LIMIT, MANY_SECONDS),
            Figure("evpn.uplink-down", _uplink_down(sites), "s", LIMIT, LINK_SECONDS),
            Figure("evpn.link-down", _link_down(sites), "s", LIMIT, LINK_SECONDS),
        ]
        sites.here.ip(f"link set {ACCESS} up")
        sites.here.speak(range(SAMPLES))
        await_until(lambda: sites.there.remote() > 0, PATIENCE_SECONDS, "they do not come back")
        figures.append(Figure("evpn.site-dies", _dies(sites), "s", LIMIT, DIES_SECONDS))
    return figures


def _learn(sites: TwoSites, number: int) -> float:
    """From the station's first frame to the kernel's entry at the other site, which the data
    planes mirror; ms."""
    address = station(number).hex(":")
    with ExitStack() as stack:
        lines = sites.there.watch(stack).lines()
        time.sleep(0.2)  # until it listens
        began = time.monotonic()
        sites.here.speak(range(number, number + 1))
        for line in lines:
            if address in line and " dst " in line:
                return (time.monotonic() - began) * 1e3
    raise MeasurementError(f"evpn.learn: {address} was not told of")


def _many(sites: TwoSites) -> float:
    """Ten thousand at once; s."""
    progress("evpn.10k")
    first = 1 << 20
    began = time.monotonic()
    sites.here.speak(range(first, first + MANY))
    await_until(
        lambda: sites.there.remote() >= MANY,
        PATIENCE_SECONDS,
        "evpn.10k: not all of the stations came",
    )
    return time.monotonic() - began


def _link_down(sites: TwoSites) -> float:
    """The stations' port goes down: the other site forgets all of them; s."""
    progress("evpn.link-down")
    sites.here.ip(f"link set {ACCESS} down")
    return await_until(
        lambda: sites.there.remote() == 0, PATIENCE_SECONDS, "evpn.link-down: they stay"
    )


def _uplink_down(sites: TwoSites) -> float:
    """The link between the sites goes down: both forget each other; s. Then all is as before."""
    progress("evpn.uplink-down")
    known = sites.there.remote()
    sites.here.uplink(False)
    seconds = await_until(
        lambda: not sites.there.floods() and not sites.here.floods() and not sites.there.remote(),
        PATIENCE_SECONDS,
        "evpn.uplink-down: stations stay",
    )
    sites.here.uplink(True)
    await_until(
        lambda: sites.here.floods() and sites.there.remote() >= known,
        PATIENCE_SECONDS,
        "evpn.uplink-down: not all of the stations come back",
    )
    return seconds


def _dies(sites: TwoSites) -> float:
    """The site falls silent: the other one forgets its stations; s."""
    progress("evpn.site-dies")
    sites.here.freeze()
    return await_until(
        lambda: not sites.there.floods() and sites.there.remote() == 0,
        PATIENCE_SECONDS,
        "evpn.site-dies: its stations stay",
    )
