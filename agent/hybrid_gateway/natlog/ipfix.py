# SPDX-License-Identifier: GPL-2.0-or-later
"""IPFIX messages (RFC 7011) about NAT events (RFC 8158): pure, the socket is collector.py's."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .event import (
    EVENT,
    INBOUND,
    MAPPING_CLOSED,
    MAPPING_OPENED,
    SESSION_CLOSED,
    SESSION_OPENED,
)

VERSION = 10
DOMAIN = 1
"""Observation domain: a gateway has one NAT."""
MESSAGE_MAX = 1400
"""Bytes, so that no datagram is fragmented on a link of 1500 (RFC 7011, 10.3.3)."""
TEMPLATE_SET = 2
REVERSE = 29305
"""Private enterprise number of elements for the way back (RFC 5103)."""
ENTERPRISE = 0x8000

HEADER = struct.Struct("!HHIII")
SET = struct.Struct("!HH")
FIELD = struct.Struct("!HH")
NUMBER = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Element:
    """An information element of IANA's registry; `code` is struct's for its value."""

    number: int
    code: str
    enterprise: int = 0

    def specifier(self) -> bytes:
        """As a template lists it (RFC 7011, 3.2)."""
        length = struct.calcsize(f"!{self.code}")
        if not self.enterprise:
            return FIELD.pack(self.number, length)
        return FIELD.pack(self.number | ENTERPRISE, length) + NUMBER.pack(self.enterprise)


@dataclass(frozen=True)
class Template:
    """The elements of one kind of record, in order."""

    number: int
    elements: tuple[Element, ...]

    def record(self) -> struct.Struct:
        return struct.Struct("!" + "".join(element.code for element in self.elements))

    def encoded(self) -> bytes:
        fields = b"".join(element.specifier() for element in self.elements)
        return SET.pack(self.number, len(self.elements)) + fields


_WHEN = (Element(323, "Q"), Element(230, "B"), Element(4, "B"))
"""observationTimeMilliseconds, natEvent, protocolIdentifier."""
_REALM = (Element(229, "B"),)
"""natOriginatingAddressRealm: 1 inside, 2 outside opened it."""
_WHO = (Element(8, "4s"), Element(225, "4s"), Element(7, "2s"), Element(227, "2s"))
"""sourceIPv4Address, postNATSourceIPv4Address, sourceTransportPort, postNAPTSourceTransportPort;
the ports are the identifier for an ICMP query."""
_WHERE = (Element(12, "4s"), Element(11, "2s"))
"""destinationIPv4Address, destinationTransportPort."""
_TRAFFIC = (Element(2, "Q"), Element(1, "Q"), Element(2, "Q", REVERSE), Element(1, "Q", REVERSE))
"""packetDeltaCount, octetDeltaCount, and the same of the way back."""

MAPPING = Template(256, _WHEN + _WHO)
OPENED = Template(257, _WHEN + _REALM + _WHO)
CLOSED = Template(258, _WHEN + _REALM + _WHO + _TRAFFIC)
# Numbers of their own: over UDP a template cannot be withdrawn (RFC 7011, 8.4).
OPENED_WHERE = Template(259, _WHEN + _REALM + _WHO + _WHERE)
CLOSED_WHERE = Template(260, _WHEN + _REALM + _WHO + _WHERE + _TRAFFIC)

NAT_EVENTS = {SESSION_OPENED: 4, SESSION_CLOSED: 5, MAPPING_OPENED: 8, MAPPING_CLOSED: 9}
"""Kind of event to natEvent: NAT44 session create and delete, NAT44 BIB create and delete."""
REALM_INSIDE, REALM_OUTSIDE = 1, 2


@dataclass(frozen=True, slots=True)
class Message:
    """One datagram, and how many data records it has."""

    data: bytes
    records: int


class _Draft:
    """A message in the making."""

    def __init__(self, begin: bytes) -> None:
        self._data = bytearray(HEADER.size) + begin
        self._set = 0
        self._open = 0
        self.records = 0

    def add(self, template: int, record: bytes) -> bool:
        """Whether there was room for it."""
        other = template != self._open
        if len(self._data) + len(record) + (SET.size if other else 0) > MESSAGE_MAX:
            return False
        if other:
            self._end_set()
            self._set, self._open = len(self._data), template
            self._data += bytes(SET.size)
        self._data += record
        self.records += 1
        return True

    def _end_set(self) -> None:
        if self._open:
            SET.pack_into(self._data, self._set, self._open, len(self._data) - self._set)

    def message(self, seconds: int, sequence: int) -> Message:
        self._end_set()
        HEADER.pack_into(
            self._data, 0, VERSION, len(self._data), seconds & 0xFFFFFFFF, sequence, DOMAIN
        )
        return Message(bytes(self._data), self.records)


class Encoder:
    """Turns events into messages; `sequence` counts the data records before the next one."""

    def __init__(self, *, destinations: bool) -> None:
        self.sequence = 0
        self._where = destinations
        self._opened = OPENED_WHERE if destinations else OPENED
        self._closed = CLOSED_WHERE if destinations else CLOSED
        self._packs = {t.number: t.record().pack for t in (MAPPING, self._opened, self._closed)}

    def templates(self) -> bytes:
        """The set that tells a collector how to read what follows."""
        listed = b"".join(t.encoded() for t in (MAPPING, self._opened, self._closed))
        return SET.pack(TEMPLATE_SET, SET.size + len(listed)) + listed

    def messages(
        self, events: memoryview, offset: int, seconds: int, *, templates: bool
    ) -> Iterator[Message]:
        """All of `events` (struct gw_log_event); `offset` is that of clock_offset().

        `seconds` is the time of export, since 1970. With `templates` the first message begins
        with them.
        """
        draft = _Draft(self.templates() if templates else b"")
        for template, record in self._records(events, offset):
            if not draft.add(template, record):
                yield self._finish(draft, seconds)
                draft = _Draft(b"")
                draft.add(template, record)
        if draft.records:
            yield self._finish(draft, seconds)

    def _finish(self, draft: _Draft, seconds: int) -> Message:
        message = draft.message(seconds, self.sequence)
        self.sequence = (self.sequence + message.records) & 0xFFFFFFFF
        return message

    def _records(self, events: memoryview, offset: int) -> Iterator[tuple[int, bytes]]:
        """Template number and record of each; flat, for it runs a hundred thousand times a
        second."""
        opened, closed, mapping = self._opened.number, self._closed.number, MAPPING.number
        pack_opened, pack_closed = self._packs[opened], self._packs[closed]
        pack_mapping = self._packs[mapping]
        where: Sequence[bytes] = ()
        for fields in EVENT.iter_unpack(events):
            at, *traffic, ia, ip, protocol, oa, op, _, ra, rp, _, kind, flags = fields
            when = ((at + offset) // 1_000_000, NAT_EVENTS.get(kind, 0), protocol)
            if kind in (MAPPING_OPENED, MAPPING_CLOSED):
                yield mapping, pack_mapping(*when, ia, oa, ip, op)
                continue
            realm = REALM_OUTSIDE if flags & INBOUND else REALM_INSIDE
            if self._where:
                where = (ra, rp)
            if kind == SESSION_OPENED:
                yield opened, pack_opened(*when, realm, ia, oa, ip, op, *where)
            elif kind == SESSION_CLOSED:
                yield closed, pack_closed(*when, realm, ia, oa, ip, op, *where, *traffic)
