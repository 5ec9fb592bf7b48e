# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_vnis: which VXLAN may arrive at which local address, and which VLAN a device's VNI is."""

import socket
import sys
from collections.abc import Iterable
from typing import Any

from _gw_native import ffi, lib

from .. import abi
from ..model import VNI_OTHER, IPAddress, VniEntry
from .maps import Map

Place = tuple[IPAddress, int]
"""A local address and a UDP port."""


def _key(vni: int, place: Place) -> bytes:
    local, port = place
    key = abi.new(
        "gw_vni_key",
        vni=vni,
        port=socket.htons(port),
        family=local.version,
        local={"bytes": list(local.packed)},
    )
    return bytes(ffi.buffer(key))


def _device_key(entry: VniEntry) -> bytes:
    """For gw_tunnel, which is told a VNI by the bridge, and not its VLAN."""
    local = entry.ifindex.to_bytes(4, sys.byteorder).ljust(16, b"\0")
    key = abi.new("gw_vni_key", vni=entry.vni, local={"bytes": list(local)})
    return bytes(ffi.buffer(key))


def _value(entry: VniEntry) -> Any:
    flags = (
        entry.kernel * lib.GW_VNI_KERNEL
        | entry.learns * lib.GW_VNI_LEARNS
        | entry.any_source * lib.GW_VNI_ANY_SOURCE
    )
    return abi.new(
        "gw_vni", ifindex=entry.ifindex, bridge=entry.bridge, vlan=entry.vlan, flags=flags
    )


def write(table: Map, entries: Iterable[VniEntry]) -> list[Place]:
    """Replaces the table; returns the places that there is no room for.

    At a place that is in the table every VNI has to be: XDP drops those that are not. So one that
    does not fit with all of its VNIs is left out, and the kernel takes what arrives there.
    """
    places: dict[Place, dict[bytes, Any]] = {}
    for entry in entries:
        place = (entry.address, entry.port)
        there = places.setdefault(place, {})
        if entry.vni != VNI_OTHER:
            there[_key(entry.vni, place)] = _value(entry)
            if entry.vlan:
                there[_device_key(entry)] = _value(entry)
    vnis: dict[bytes, Any] = {}
    others: dict[bytes, Any] = {}
    left_out = []
    for place, found in places.items():
        if len(vnis) + len(others) + len(found) + 1 > lib.GW_VNIS_MAX:
            left_out.append(place)
            continue
        vnis |= found
        others[_key(lib.GW_VNI_OTHER, place)] = abi.new("gw_vni")
    _replace(table, vnis, others)
    return left_out


def _replace(table: Map, vnis: dict[bytes, Any], others: dict[bytes, Any]) -> None:
    """A place is there no sooner than its VNIs, and no longer."""
    known = {bytes(ffi.buffer(key)): key for key in table.every_key()}
    gone = [key for packed, key in known.items() if packed not in vnis and packed not in others]
    for key in sorted(gone, key=lambda key: key.vni != lib.GW_VNI_OTHER):
        table.delete(key)
    for wanted in (vnis, others):
        for packed, value in wanted.items():
            table.set(ffi.from_buffer("struct gw_vni_key *", packed), value)
