# SPDX-License-Identifier: GPL-2.0-or-later
"""The C side of EVPN's view of the kernel (agent/native/gw_evpn.h), in Python's values."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address

from _gw_native import ffi, lib

from ..errors import KernelError
from ..model import IPAddress, IPNetwork

ROOM = 4096
"""Facts that one call fetches, and writes that one call makes."""
WAYS_MAX = int(lib.GW_EVPN_WAYS_MAX)
FACT = struct.Struct("=IIHBB6s2x16sI6sBB16sI")
WRITE = struct.Struct("=IIIIIIIiHBBBx6s16s16s")
ERROR_OFFSET = 28
NO_MAC = bytes(6)


class FactKind(IntEnum):
    STATION = lib.GW_EVPN_STATION
    ENTRY = lib.GW_EVPN_ENTRY
    FLOOD = lib.GW_EVPN_FLOOD
    NEIGHBOUR = lib.GW_EVPN_NEIGHBOUR
    LINK = lib.GW_EVPN_LINK
    ADDRESS = lib.GW_EVPN_ADDRESS
    ROUTE = lib.GW_EVPN_ROUTE


class FactFlag(IntFlag):
    STATIC = lib.GW_EVPN_STATIC
    EXTERN = lib.GW_EVPN_EXTERN
    STICKY = lib.GW_EVPN_STICKY
    ROUTER = lib.GW_EVPN_ROUTER
    OURS = lib.GW_EVPN_OURS
    UP = lib.GW_EVPN_UP
    OWN = lib.GW_EVPN_OWN


@dataclass(frozen=True, slots=True)
class Fact:
    """As struct gw_evpn_key and gw_evpn_value have it."""

    kind: int
    ifindex: int
    vni: int
    """Of a single VXLAN device; of a route, its table."""
    vlan: int
    """Of a route, the length of its prefix."""
    mac: bytes
    """Of a station or an entry; of a neighbour, what its address resolves to."""
    address: IPAddress | None
    """VTEP of an entry or a flood list, address of a neighbour, the bridge or a route."""
    port: int
    flags: int
    gone: bool


class WriteKind(IntEnum):
    MAC = lib.GW_EVPN_WRITE_MAC
    FLOOD = lib.GW_EVPN_WRITE_FLOOD
    NEIGHBOUR = lib.GW_EVPN_WRITE_NEIGHBOUR
    ROUTE = lib.GW_EVPN_WRITE_ROUTE


@dataclass(frozen=True, slots=True)
class Write:
    """One change; see struct gw_evpn_write."""

    kind: WriteKind
    ifindex: int
    address: IPAddress
    mac: bytes = NO_MAC
    bridge: int = 0
    vlan: int = 0
    vni: int = 0
    delete: bool = False
    sticky: bool = False
    router: bool = False
    prefix: IPNetwork | None = None
    table: int = 0
    metric: int = 0
    others: tuple[IPAddress, ...] = ()
    """More next hops of a route: WAYS_MAX with the first."""


@dataclass(frozen=True, slots=True)
class SocketStatus:
    """What following the kernel came to: counts since the start."""

    messages: int
    lost: int
    """Times that the kernel dropped events, and all was read anew."""
    dumps: int
    facts: int
    waiting: int
    refused: int
    """Facts without room, since the last dump."""


def _address(family: int, packed: bytes) -> IPAddress | None:
    if family == 4:
        return IPv4Address(packed[:4])
    return IPv6Address(packed) if family == 6 else None


def _fact(
    values: tuple[int, int, int, int, int, bytes, bytes, int, bytes, int, int, bytes, int],
) -> Fact:
    ifindex, vni, vlan, kind, family, mac, address = values[:7]
    port, other_mac, flags, other_family, other_address, gone = values[7:]
    if kind == FactKind.NEIGHBOUR:
        mac = other_mac
    elif kind == FactKind.ENTRY:
        family, address = other_family, other_address
    return Fact(kind, ifindex, vni, vlan, mac, _address(family, address), port, flags, gone != 0)


def _records(write: Write) -> list[bytes]:
    """One; of a route, those of more next hops before it."""
    also = [replace(write, address=one, others=()) for one in write.others]
    return [*(_packed(one, lib.GW_EVPN_ONE_MORE) for one in also), _packed(write)]


def _packed(write: Write, how: int = 0) -> bytes:
    if write.delete:
        how |= lib.GW_EVPN_DELETE
    if write.sticky:
        how |= lib.GW_EVPN_MAKE_STICKY
    if write.router:
        how |= lib.GW_EVPN_IS_ROUTER
    prefix = write.prefix
    return WRITE.pack(
        write.kind,
        how,
        write.ifindex,
        write.bridge,
        write.vni,
        write.table,
        write.metric,
        0,
        write.vlan,
        write.address.version,
        prefix.version if prefix else 0,
        prefix.prefixlen if prefix else 0,
        write.mac,
        write.address.packed,
        prefix.network_address.packed if prefix else b"",
    )


class KernelSocket:
    """Lives in the namespace that it was made in; for one thread."""

    def __init__(self, protocol: int) -> None:
        error = ffi.new("int *")
        self._evpn = lib.gw_evpn_open(protocol, error)
        if self._evpn == ffi.NULL:
            raise KernelError("following FDBs", error[0], code="evpn.kernel")
        self._status = ffi.new("struct gw_evpn_status *")
        self._facts = ffi.new("struct gw_evpn_fact[]", ROOM)

    def close(self) -> None:
        """What was written stays."""
        if self._evpn != ffi.NULL:
            lib.gw_evpn_close(self._evpn)
            self._evpn = ffi.NULL

    def fileno(self) -> int:
        return int(lib.gw_evpn_fd(self._evpn))

    def follow(self, bridges: Iterable[int], tunnels: Iterable[int]) -> None:
        """These from now on, by ifindex; the next `read` has all that they have."""
        first = ffi.new("__u32[]", sorted(bridges))
        second = ffi.new("__u32[]", sorted(tunnels))
        result = lib.gw_evpn_follow(self._evpn, first, len(first), second, len(second))
        if result:
            raise KernelError("following FDBs", result, code="evpn.kernel")

    def read(self) -> SocketStatus:
        """Reads what waits; KernelError when a dump failed, which the next call repeats."""
        result = lib.gw_evpn_read(self._evpn, self._status)
        if result:
            raise KernelError("dumping FDBs", result, code="evpn.kernel")
        status = self._status
        return SocketStatus(
            status.messages,
            status.lost,
            status.dumps,
            status.facts,
            status.waiting,
            status.refused,
        )

    def take(self) -> Iterator[Fact]:
        """What changed since it was taken; writing meanwhile is no harm."""
        while count := lib.gw_evpn_take(self._evpn, self._facts, ROOM):
            yield from self._unpacked(count)

    def known(self) -> Iterator[Fact]:
        """All facts; nothing else may be called meanwhile."""
        cursor = ffi.new("__u32 *")
        while True:
            count = lib.gw_evpn_list(self._evpn, cursor, self._facts, ROOM)
            yield from self._unpacked(count)
            if not cursor[0]:
                return

    def _unpacked(self, count: int) -> list[Fact]:
        data = bytes(ffi.buffer(self._facts, count * FACT.size))
        return [_fact(values) for values in FACT.iter_unpack(data)]

    def write(self, writes: Sequence[Write]) -> dict[int, int]:
        """In that order. The errno (positive) of those that failed, by their place.

        EEXIST: something that the owner made to stay, or an address of the bridge, is in the way.
        """
        failed: dict[int, int] = {}
        for first in range(0, len(writes), ROOM):
            owners: list[int] = []
            part = bytearray()
            for place, write in enumerate(writes[first : first + ROOM], first):
                records = _records(write)
                owners += [place] * len(records)
                part += b"".join(records)
            into = ffi.cast("struct gw_evpn_write *", ffi.from_buffer(part))
            if lib.gw_evpn_write(self._evpn, into, len(owners)):
                for i, place in enumerate(owners):
                    (error,) = struct.unpack_from("=i", part, i * WRITE.size + ERROR_OFFSET)
                    if error:
                        failed[place] = -error
            # The kernel tells of each write: what waits is taken in before it is too much.
            lib.gw_evpn_read(self._evpn, self._status)
        return failed
