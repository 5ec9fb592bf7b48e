# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables that the agent fills: settings, devices, statics, addresses, prefixes."""

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from _gw_native import ffi, lib

from .. import abi
from ..errors import GwError
from .maps import Map
from .records import DEV_PORT, BackendRecord, DeviceRecord, NatSettings, StaticRecord

NS = 1_000_000_000
FIRST_ROW = 1
"""Row 0 counts what happens on no port."""
PORTS = 65536
PORT_BITS = 16


def address_number(address: IPv4Address) -> int:
    """An address as a __u32 of gw_abi.h: network byte order in memory."""
    return int.from_bytes(address.packed, "little")


def _bytes(value: Any) -> bytes:
    return bytes(ffi.buffer(value))


def arrange(
    before: Sequence[IPv4Address], addresses: Sequence[IPv4Address]
) -> tuple[IPv4Address, ...]:
    """The addresses, with those that stay where they were: mappings are kept by place."""
    places: list[IPv4Address | None] = [
        old if old in addresses else None for old in before[: len(addresses)]
    ]
    places += [None] * (len(addresses) - len(places))
    rest = iter([address for address in addresses if address not in places])
    return tuple(place if place is not None else next(rest) for place in places)


def write_settings(table: Map, settings: NatSettings, sizes: Mapping[str, int]) -> bool:
    """Returns whether the pool is another one now; `sizes` are those of the maps.

    Keeps the seed: the places of live sessions follow from it. `timeouts` are in the order of enum
    gw_timer_class.
    """
    before = table.get(0)
    pool = [] if before is None else [number_address(n) for n in before.pool[0 : before.pool_size]]
    addresses = arrange(pool, settings.addresses)
    timers = (settings.udp, settings.icmp, settings.tcp_transitory, settings.tcp_established)
    value = abi.new(
        "gw_settings",
        abi_version=abi.VERSION,
        enabled=settings.enabled,
        timeouts=[seconds * NS for seconds in timers],
        port_rest=settings.port_rest * NS,
        filtering=settings.filtering,
        sessions=sizes["gw_records"],
        pool_size=len(addresses),
        pool=[address_number(address) for address in addresses],
        port_low=settings.ports[0],
        port_high=settings.ports[1],
        host_sessions=settings.host_sessions,
        host_ports=settings.host_ports,
        bucket_mask=sizes["gw_sessions"] - 1,
        endpoint_mask=sizes["gw_endpoints"] - 1,
        mss=settings.mss,
        log=settings.log,
        vxlan=settings.vxlan,
        vxlan_ports=[socket.htons(port) for port in settings.vxlan_ports],
        seed=before.seed if before is not None else 0,
    )
    table.set(0, value)
    return before is None or list(before.pool) != list(value.pool)


def number_address(number: int) -> IPv4Address:
    """And back."""
    return IPv4Address(int(number).to_bytes(4, "little"))


def port_prefixes(first: int, count: int) -> Iterator[tuple[int, int]]:
    """The ports first, first+1, … as (port, length of the prefix), as few as there can be."""
    end = first + count
    while first < end:
        size = first & -first or PORTS
        while size > end - first:
            size //= 2
        yield first, PORT_BITS - size.bit_length() + 1
        first += size


def _keys(protocol: int, address: IPv4Address, port: int, ports: int) -> Iterator[Any]:
    if not protocol:
        yield abi.new(
            "gw_static_key", length=lib.GW_STATIC_ADDRESS, address=address_number(address)
        )
        return
    for first, bits in port_prefixes(port, ports):
        yield abi.new(
            "gw_static_key",
            length=lib.GW_STATIC_PORT - PORT_BITS + bits,
            address=address_number(address),
            protocol=protocol,
            port=socket.htons(first),
        )


def _static(static: StaticRecord) -> Any:
    """Where the outside endpoints lead to."""
    value = abi.new("gw_static", flags=static.host and lib.GW_STATIC_HOST)
    backends = static.backends or (BackendRecord(static.inside, static.inside_port),)
    if len(backends) > lib.GW_BACKENDS_MAX:
        raise GwError(f"more than {lib.GW_BACKENDS_MAX} backends", code="bpf.backends")
    value.count, total, upto = len(backends), sum(b.weight for b in backends), 0
    for entry, backend in zip(value.backends, backends, strict=False):
        upto += backend.weight
        entry.address = address_number(backend.address)
        entry.shift = (backend.port - static.outside_port) % PORTS
        entry.share = upto * PORTS // total - 1
    return value


def _way_back(static: StaticRecord, inside_port: int) -> Any:
    """Where an inside endpoint comes out."""
    value = abi.new("gw_static", flags=static.host and lib.GW_STATIC_HOST, count=1)
    value.backends[0].address = address_number(static.outside)
    value.backends[0].shift = (static.outside_port - inside_port) % PORTS
    value.backends[0].share = PORTS - 1
    return value


def write_statics(inbound: Map, outbound: Map, statics: Sequence[StaticRecord]) -> None:
    """Both directions; of several outside endpoints for one inside the first answers outbound."""
    to_inside: dict[bytes, Any] = {}
    to_outside: dict[bytes, Any] = {}
    for static in statics:
        for key in _keys(static.protocol, static.outside, static.outside_port, static.ports):
            to_inside[_bytes(key)] = _static(static)
        backends = static.backends or (BackendRecord(static.inside, static.inside_port),)
        for backend in backends:
            for key in _keys(static.protocol, backend.address, backend.port, static.ports):
                to_outside.setdefault(_bytes(key), _way_back(static, backend.port))
        if static.protocol and static.outside == static.inside:
            # Later fragments, which have no ports: the guard lets them out.
            later = abi.new(
                "gw_static_key",
                length=lib.GW_STATIC_LATER,
                address=address_number(static.outside),
                protocol=static.protocol,
                pad=lib.GW_STATIC_LATER_PAD,
            )
            to_inside[_bytes(later)] = _static(static)
            to_outside[_bytes(later)] = _way_back(static, static.inside_port)
    most = max(len(to_inside), len(to_outside))
    if most > lib.GW_STATICS_MAX:
        message = f"the static mappings come to {most} prefixes of ports, each address of the pool "
        message += f"by itself, and there is room for {lib.GW_STATICS_MAX}"
        raise GwError(message, code="bpf.statics")
    inbound.replace(to_inside)
    outbound.replace(to_outside)


def write_addresses(table: Map, addresses: Iterable[IPv4Address]) -> bool:
    """Returns whether an address is gone that was there before."""
    one = ffi.new("__u32 *", 1)
    wanted = {address.packed: one for address in addresses}
    before = {_bytes(key) for key in table.every_key()}
    table.replace(wanted)
    return bool(before - wanted.keys())


def write_prefixes(table: Map, prefixes: Iterable[IPv4Network]) -> None:
    one = ffi.new("__u32 *", 1)
    wanted = {
        _bytes(
            abi.new(
                "gw_prefix",
                length=prefix.prefixlen,
                address=address_number(prefix.network_address),
            )
        ): one
        for prefix in prefixes
    }
    table.replace(wanted)


class DeviceTable:
    """gw_devices with gw_tx beside it: rows are given out here and stay with their port."""

    def __init__(
        self, devices: Map, ports: Map, counters: Map, rows: Mapping[int, int] | None = None
    ) -> None:
        """`rows`: of ports that are not in the table yet, but in the counters."""
        self._devices = devices
        self._ports = ports
        self._counters = counters
        self._rows = rows or {}

    def rows(self) -> dict[int, int]:
        """Device to its row, of the ports that are in the table."""
        found = dict(self._rows)
        for _, device in self._devices.slice(0, lib.GW_DEVICES_MAX):
            if device.ifindex and device.flags & DEV_PORT:
                found[device.ifindex] = device.row
        return found

    def write(self, records: Sequence[DeviceRecord]) -> None:
        """Replaces the table; a port's redirect target is there before the port is."""
        rows = self.rows()
        wanted = {record.ifindex % lib.GW_DEVICES_MAX: record for record in records}
        if len(wanted) < len(records):
            raise GwError("two devices share a slot of the device table", code="bpf.slots")
        kept = {record.ifindex: rows.get(record.ifindex) for record in records}
        free = self._free_rows(set(rows.values()))
        empty = abi.new("gw_device")
        for slot, device in [
            (slot, device.ifindex) for slot, device in self._devices.slice(0, lib.GW_DEVICES_MAX)
        ]:
            if device and slot not in wanted:
                self._devices.set(slot, empty)
        for slot, record in wanted.items():
            row = 0
            if record.flags & DEV_PORT:
                row = self._row(record.ifindex, kept[record.ifindex], free)
            value = abi.new(
                "gw_device",
                ifindex=record.ifindex,
                flags=record.flags,
                l3_ifindex=record.l3_ifindex,
                row=row,
                address=address_number(record.address) if record.address else 0,
                mac=list(record.mac),
                vlan=record.vlan,
            )
            self._devices.set(slot, value)

    def _free_rows(self, taken: set[int]) -> Iterator[int]:
        """Rows of no port. Unused ones first: the count of sessions needs what is in the others."""
        free = [row for row in range(FIRST_ROW, lib.GW_PORTS_MAX) if row not in taken]
        values = ffi.new("struct gw_port_counters[]", lib.gw_possible_cpus())
        used: list[int] = []
        for row in free:
            lib.gw_lookup(self._counters.fd, ffi.new("__u32 *", row), values)
            if any(ffi.buffer(values)[:]):
                used.append(row)
            else:
                yield row
        yield from used

    def _row(self, ifindex: int, kept: int | None, free: Any) -> int:
        if kept:
            row = kept
        else:
            row = next(free, 0)
            if not row:
                raise GwError(f"more than {lib.GW_PORTS_MAX - 1} ports", code="bpf.ports")
            cpus = lib.gw_possible_cpus()
            self._counters.set(row, ffi.new("struct gw_port_counters[]", cpus))
        self._ports.set(row, ifindex)
        return row
