# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking for sessions: what to look for, and the ones that were found, a page at a time.

The records are gone through in C (agent/native/scan.c); a Python object is made for what is shown.
"""

import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from _gw_native import ffi, lib

from ..errors import KernelError, UsageError
from .maps import Map
from .sessions import NS, STATES
from .tables import address_number

ANYWHERE = IPv4Network("0.0.0.0/0")
EVERY_PORT = (0, 65535)
AGE_MAX = 2**32
"""Seconds; more than any session can have lived."""
LEFT_MAX = 2**63

# Sort name: what it is by, and whether the largest comes first.
SORTS = {
    "age": (lib.GW_SORT_AGE, True),
    "expires": (lib.GW_SORT_LEFT, False),
    "bytes": (lib.GW_SORT_BYTES, True),
    "packets": (lib.GW_SORT_PACKETS, True),
    "inside": (lib.GW_SORT_INSIDE, False),
    "outside": (lib.GW_SORT_OUTSIDE, False),
    "remote": (lib.GW_SORT_REMOTE, False),
}

# Origin: the flags that decide, and how they are then.
ORIGINS = {
    "outbound": (lib.GW_SESSION_INBOUND | lib.GW_SESSION_HAIRPIN, 0),
    "inbound": (lib.GW_SESSION_INBOUND, lib.GW_SESSION_INBOUND),
    "hairpin": (lib.GW_SESSION_HAIRPIN, lib.GW_SESSION_HAIRPIN),
    "static": (lib.GW_SESSION_STATIC, lib.GW_SESSION_STATIC),
}


@dataclass(frozen=True, slots=True)
class Match:
    """Endpoints: the addresses of a prefix, and ports from one to another, inclusive."""

    network: IPv4Network = ANYWHERE
    ports: tuple[int, int] = EVERY_PORT

    def covers(self, address: IPv4Address, port: int) -> bool:
        return address in self.network and self.ports[0] <= port <= self.ports[1]


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """All of it has to hold. Times in seconds; `any` is about whichever endpoint."""

    inside: Match = field(default_factory=Match)
    outside: Match = field(default_factory=Match)
    remote: Match = field(default_factory=Match)
    any: Match = field(default_factory=Match)
    protocol: int = 0
    state: str = ""
    origin: str = ""
    older: float = 0
    younger: float = AGE_MAX
    expires_within: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """How the sessions are sorted, by a name of SORTS; "" leaves them as the records are."""

    by: str = ""
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Hits:
    """One page: structs gw_scan_hit, the time they were looked at, and where the next one begins.

    `following` is a number when they are not sorted and text when they are; None at the end.
    """

    hits: Any
    count: int
    now: int
    following: int | str | None


def monotonic() -> int:
    """CLOCK_MONOTONIC in nanoseconds, the data path's clock."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def set_match(struct: Any, match: Match) -> None:
    """Fills in a struct gw_match."""
    struct.address = address_number(match.network.network_address)
    struct.mask = address_number(match.network.netmask)
    struct.low, struct.high = match.ports


def prepare(wanted: SessionFilter, end: int) -> Any:
    """A struct gw_scan that looks for these, from the first record to the last."""
    scan = ffi.new("struct gw_scan *")
    scan.now = monotonic()
    scan.end = end
    for end_of, match in (
        (lib.GW_MATCH_INSIDE, wanted.inside),
        (lib.GW_MATCH_OUTSIDE, wanted.outside),
        (lib.GW_MATCH_REMOTE, wanted.remote),
        (lib.GW_MATCH_ANY, wanted.any),
    ):
        set_match(scan.matches[end_of], match)
    scan.protocol = wanted.protocol
    scan.states = sum(1 << number for number, name in STATES.items() if name == wanted.state)
    if wanted.origin:
        scan.flags_mask, scan.flags = ORIGINS[wanted.origin]
    scan.age_min, scan.age_max = int(wanted.older), int(min(wanted.younger, AGE_MAX))
    within = wanted.expires_within
    scan.left_max = LEFT_MAX if within is None else min(LEFT_MAX, int(within * NS))
    return scan


def run(records: Map, scan: Any) -> Any:
    """Scans; returns the hits, `scan.found` of them."""
    hits = ffi.new("struct gw_scan_hit[]", max(1, scan.limit))
    result = lib.gw_scan_sessions(records.fd, scan, hits)
    if result:
        raise KernelError("map gw_records: scan", -result, code="bpf.map")
    return hits


def _resume(scan: Any, order: Order, cursor: int | str) -> None:
    """Goes on where an earlier page ended; UsageError for a cursor that no page gave."""
    number, largest_first = SORTS[order.by] if order.by else (lib.GW_SORT_NONE, False)
    scan.sort = number
    scan.descending = largest_first is not order.reverse
    if not order.by:
        if not isinstance(cursor, int):
            raise UsageError("this cursor is of a sorted listing: give the same order with it")
        setattr(scan, "from", cursor)
        return
    if cursor == 0:
        return
    key, dot, index = str(cursor).partition(".")
    if not (dot and key.isdecimal() and index.isdecimal()):
        raise UsageError("this cursor is not of a sorted listing")
    if len(str(cursor)) > 31 or int(key) >= 1 << 64 or int(index) >= 1 << 32:
        raise UsageError("this is not a cursor that an answer gave")
    scan.resume, scan.after_key, scan.after_index = 1, int(key), int(index)


def find(
    records: Map,
    fresh: int,
    wanted: SessionFilter,
    *,
    cursor: int | str = 0,
    limit: int,
    order: Order | None = None,
) -> Hits:
    """At most `limit` live sessions that match, from `cursor` (0 first) on."""
    order = order or Order()
    scan = prepare(wanted, fresh)
    scan.limit = limit
    _resume(scan, order, cursor)
    hits = run(records, scan)
    following: int | str | None = None
    if order.by and scan.matched > scan.found:
        last = hits[scan.found - 1]
        following = f"{last.key}.{last.index}"
    elif not order.by and scan.next != lib.GW_NO_SLOT:
        following = int(scan.next)
    return Hits(hits, scan.found, scan.now, following)


def count(records: Map, fresh: int, wanted: SessionFilter) -> int:
    """How many live sessions match."""
    scan = prepare(wanted, fresh)
    run(records, scan)
    return int(scan.matched)
