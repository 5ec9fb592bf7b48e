# SPDX-License-Identifier: GPL-2.0-or-later
"""The four maps that the mirror writes, as bpf/src/maps.h has them, without any program."""

import ctypes
import os
import platform
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from _gw_native import ffi, lib

from hybrid_gateway import abi
from hybrid_gateway.bpf.maps import BATCH, Map
from hybrid_gateway.bpf.stations import FdbMirror
from hybrid_gateway.model import IPAddress

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
BPF_MAP_CREATE = 0
HASH, ARRAY, NO_PREALLOC = 1, 2, 1

_libc = ctypes.CDLL(None, use_errno=True)


class CreateAttr(ctypes.Structure):
    """The part of union bpf_attr that BPF_MAP_CREATE reads."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("type", "key_size", "value_size", "max_entries", "flags")
    ]


def create(kind: int, key: str, value: str, entries: int) -> Map:
    attr = CreateAttr(
        kind, ffi.sizeof(key), ffi.sizeof(value), entries, NO_PREALLOC if kind == HASH else 0
    )
    fd = _libc.syscall(SYS_BPF, BPF_MAP_CREATE, ctypes.byref(attr), ctypes.sizeof(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return Map(fd, value, key, value)


@dataclass(frozen=True, slots=True)
class Entry:
    """struct gw_fdb_entry, with the VTEP of its tunnel instead of an index."""

    port: int
    vtep: str | None = None
    seen: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The part of struct gw_tunnel that follows from FDB entries."""

    ifindex: int
    vni: int
    remote: str
    port: int


def mac_text(mac: Any) -> str:
    return bytes(mac).hex(":")


def address_text(value: Any, ipv6: bool) -> str:
    packed = bytes(value.bytes)
    return str(IPv6Address(packed) if ipv6 else IPv4Address(packed[:4]))


class Maps:
    """Open until close()."""

    def __init__(self) -> None:
        self.fdb = create(HASH, "struct gw_fdb_key", "struct gw_fdb_entry", lib.GW_FDB_MAX)
        self.tunnels = create(ARRAY, "__u32", "struct gw_tunnel", lib.GW_TUNNELS_MAX)
        self.vteps = create(HASH, "struct gw_vtep_key", "struct gw_vtep", lib.GW_VTEPS_MAX)
        self.floods = create(HASH, "struct gw_flood_key", "struct gw_flood", lib.GW_FLOODS_MAX)

    def close(self) -> None:
        for table in (self.fdb, self.tunnels, self.vteps, self.floods):
            lib.gw_close(table.fd)

    def mirror(self) -> FdbMirror:
        return FdbMirror(self.fdb.fd, self.tunnels.fd, self.vteps.fd, self.floods.fd)

    # ---- what is in them --------------------------------------------------------------

    def tunnel(self, number: int) -> Tunnel:
        """By the number in an entry: 1 + index."""
        value = self.tunnels.get(number - 1)
        assert number
        assert value is not None
        assert value.ifindex, f"tunnel {number - 1} is free"
        remote = address_text(value.remote, bool(value.flags & lib.GW_TUNNEL_IPV6))
        return Tunnel(value.ifindex, value.vni, remote, value.port)

    def used_tunnels(self) -> int:
        return sum(
            value.ifindex != 0
            for start in range(0, lib.GW_TUNNELS_MAX, BATCH)
            for _, value in self.tunnels.slice(start, BATCH)
        )

    def generation(self, number: int) -> int:
        value = self.tunnels.get(number - 1)
        assert value is not None
        return int(value.generation)

    def raw(self, bridge: int, mac: str, vlan: int = 0) -> Any:
        return self.fdb.get(self.key(bridge, mac, vlan))

    @staticmethod
    def key(bridge: int, mac: str, vlan: int = 0) -> Any:
        return abi.new(
            "gw_fdb_key", bridge=bridge, mac=list(bytes.fromhex(mac.replace(":", ""))), vlan=vlan
        )

    def stations(self) -> dict[str, Entry]:
        """By MAC address; of one bridge and VLAN."""
        found = {}
        for key in self.fdb.every_key():
            value = self.fdb.get(key)
            if value is not None:
                vtep = self.tunnel(value.tunnel).remote if value.tunnel else None
                found[mac_text(key.mac)] = Entry(value.port, vtep, value.seen, value.used)
        return found

    def count(self) -> int:
        return len(self.fdb.every_key())

    def mark(self, bridge: int, mac: str, *, seen: int = 0, used: int = 0) -> None:
        """As XDP does."""
        value = self.raw(bridge, mac)
        assert value is not None
        value.seen, value.used = seen, used
        self.fdb.set(self.key(bridge, mac), value)

    def senders(self, ifindex: int, ipv6: bool = False) -> dict[str, str | None]:
        """VTEPs that may send, to where the way back leads."""
        found = {}
        for key in self.vteps.every_key():
            value = self.vteps.get(key)
            if key.ifindex == ifindex and value is not None:
                back = self.tunnel(value.tunnel).remote if value.tunnel else None
                found[address_text(key.address, ipv6)] = back
        return found

    def flood(self, ifindex: int, vlan: int = 0) -> set[str] | None:
        """None: there is none."""
        value = self.floods.get(abi.new("gw_flood_key", ifindex=ifindex, vlan=vlan))
        if value is None:
            return None
        if value.count > lib.GW_FLOOD_TUNNELS:
            assert not any(value.tunnels)
            return {f"{value.count} VTEPs"}
        return {self.tunnel(number).remote for number in value.tunnels[0 : value.count]}

    def bytes_for_an_entry(self) -> float:
        """Memory of gw_fdb, by what the kernel says (6.4 and later)."""
        lines = Path(f"/proc/self/fdinfo/{self.fdb.fd}").read_text().splitlines()
        memory = next(int(line.split()[1]) for line in lines if line.startswith("memlock"))
        return memory / max(1, self.count())


def vtep_key(ifindex: int, vni: int, address: IPAddress) -> Any:
    key = abi.new("gw_vtep_key", ifindex=ifindex, vni=vni)
    key.address.bytes = list(address.packed.ljust(16, b"\0"))
    return key
