# SPDX-License-Identifier: GPL-2.0-or-later
"""One event as one line, and as the fields by which the journal finds it again."""

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from socket import inet_ntoa
from typing import Any

from .event import (
    EVENT,
    HAIRPIN,
    INBOUND,
    MAPPING_CLOSED,
    MAPPING_OPENED,
    SESSION_CLOSED,
    SESSION_OPENED,
)

VERBS = {
    SESSION_OPENED: "open",
    SESSION_CLOSED: "close",
    MAPPING_OPENED: "map",
    MAPPING_CLOSED: "unmap",
}
SESSIONS = frozenset({SESSION_OPENED, SESSION_CLOSED})
MAPPINGS = frozenset({MAPPING_OPENED, MAPPING_CLOSED})
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}
PORT = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is "nat44 open tcp inside=A:P outside=B:Q …"; `fields` name the same for search."""

    text: str
    fields: tuple[tuple[str, str], ...]
    seconds: float
    """When it happened, since 1970."""


def _endpoint(address: bytes, port: bytes) -> tuple[str, str]:
    return inet_ntoa(address), str(PORT.unpack(port)[0])


def moment(nanoseconds: int) -> str:
    """UTC with milliseconds, as RFC 3339 has it: the resolution of the data path's clock."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}Z"


def count_of(events: memoryview, kinds: frozenset[int]) -> int:
    """How many of the events are of these kinds."""
    at = EVENT.size - 8  # the kind: the last eight bytes are it, the flags and padding
    return sum(kind in kinds for kind in events[at :: EVENT.size])


def lines(
    events: memoryview, offset: int, kinds: frozenset[int], *, destinations: bool
) -> Iterator[Line]:
    """Those of `events` (struct gw_log_event) that are of these kinds; `offset`: clock_offset()."""
    for fields in EVENT.iter_unpack(events):
        if fields[-2] in kinds:
            yield _line(fields, offset, destinations)


def _line(fields: tuple[Any, ...], offset: int, destinations: bool) -> Line:
    at, out, out_bytes, back, back_bytes, ia, ip, protocol, oa, op, _, ra, rp, _, kind, flags = (
        fields
    )
    name = PROTOCOLS.get(protocol, str(protocol))
    inside, outside = _endpoint(ia, ip), _endpoint(oa, op)
    text = f"nat44 {VERBS[kind]} {name} inside={inside[0]}:{inside[1]}"
    text += f" outside={outside[0]}:{outside[1]}"
    if destinations and kind in SESSIONS:
        text += " remote={}:{}".format(*_endpoint(ra, rp))
    if flags & (INBOUND | HAIRPIN):
        text += " origin=inbound" if flags & INBOUND else " origin=hairpin"
    if kind == SESSION_CLOSED:
        text += f" out={out}/{out_bytes} in={back}/{back_bytes}"
    text += f" time={moment(at + offset)}"
    found = (
        ("GW_EVENT", VERBS[kind]),
        ("GW_PROTOCOL", name),
        ("GW_INSIDE_ADDRESS", inside[0]),
        ("GW_INSIDE_PORT", inside[1]),
        ("GW_OUTSIDE_ADDRESS", outside[0]),
        ("GW_OUTSIDE_PORT", outside[1]),
    )
    return Line(text, found, (at + offset) / 1e9)
