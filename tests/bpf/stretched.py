# SPDX-License-Identifier: GPL-2.0-or-later
"""The stretched segment of segment.py in XDP's tables, as the agent would write them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_address
from typing import Any

from _gw_native import ffi, lib
from scapy.packet import Packet

from hybrid_gateway import abi
from hybrid_gateway.bpf import (
    DEV_BRIDGE,
    DEV_BRIDGED,
    DEV_INSIDE,
    DEV_OUTSIDE,
    DEV_PORT,
    DEV_TUNNEL,
    DEV_UNDERLAY,
    VXLAN_ON,
    DeviceRecord,
)

from . import segment
from .plane import Outcome, Plane
from .segment import LOCAL, PEER, Station
from .site import mac_bytes

FLAGS = {
    segment.BRIDGE: DEV_BRIDGE | DEV_INSIDE,
    "seg0": DEV_PORT | DEV_INSIDE | DEV_BRIDGED,
    "seg1": DEV_PORT | DEV_INSIDE | DEV_BRIDGED,
    "seg2": DEV_PORT | DEV_INSIDE,
    segment.DEVICES[4]: DEV_TUNNEL,
    segment.DEVICES[6]: DEV_TUNNEL,
    segment.CORE: DEV_PORT | DEV_UNDERLAY,
}
LAYER2 = frozenset(name for name in FLAGS if name not in (segment.BRIDGE, segment.CORE))
"""Devices whose addresses are the bridge's."""
TUNNELS = {4: 10, 6: 11}
"""Where in gw_tunnels the way to each PEER is."""
UNUSED = 20
"""No tunnel is there."""
SLOTS = 32
"""Of gw_tunnels and gw_ways, that the tests use."""
WAY = 64
"""Bytes that struct way of bpf/src/underlay.h has at most, for each CPU."""
SETTINGS = {"vxlan": VXLAN_ON, "vxlan_ports": (segment.PORT, 8472)}


@dataclass(frozen=True, slots=True)
class Seen:
    """What XDP left in a station's entry: CLOCK_MONOTONIC seconds, 0: nothing."""

    used: int
    seen: int


def address(text: str) -> dict[str, list[int]]:
    """struct gw_vtep_address, for abi.new()."""
    return {"bytes": list(ip_address(text).packed)}


class Stretched:
    """Around a plane; made anew for each test."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.site = plane.site
        self.bridge = self.site.ifindex(segment.BRIDGE)
        self.core = self.site.devices[segment.CORE]
        self._table = plane.dataplane.table

    def fill(self) -> None:
        """Everything as the agent would have it; VTEPs may send, nothing learns."""
        self.plane.configure(**SETTINGS)
        self.devices()
        for family in segment.FAMILIES:
            self.tunnel(family)
            self.vni(segment.VNIS[family], family)
            self.vni(segment.KERNEL_VNI, family, flags=lib.GW_VNI_KERNEL)
            self.vni(lib.GW_VNI_OTHER, family)
            self.vtep(PEER[family], family, 1 + TUNNELS[family])
        for station in segment.STATIONS:
            self.station(station)

    def clear(self) -> None:
        """Nothing of it is left in what Plane.reset() does not write."""
        for name in ("gw_vnis", "gw_vteps"):
            for key in self._table(name).every_key():
                self._table(name).delete(key)
        for index in range(SLOTS):
            self.no_tunnel(index)

    # ---- tables -----------------------------------------------------------------------

    def devices(self, **flags: int) -> None:
        """The site's devices and these; `flags` instead of FLAGS, of a device by its name."""
        records = {record.name: record for record in self.plane.site.records()}
        records |= {name: self._record(name, flag) for name, flag in FLAGS.items()}
        for name, flag in flags.items():
            records[name] = self._record(name, flag)
        self.plane.dataplane.set_devices(list(records.values()))

    def _record(self, name: str, flags: int, vlan: int = 0) -> DeviceRecord:
        own = self.site.devices[name]
        l3 = self.site.devices[segment.BRIDGE] if name in LAYER2 else own
        inside = l3.name == segment.BRIDGE
        address = IPv4Interface(segment.BRIDGE_NETWORK).ip if inside else None
        return DeviceRecord(own.ifindex, flags, l3.ifindex, l3.mac_bytes, name, address, vlan)

    def vlans(self, **vlans: int) -> None:
        """The bridge filters VLANs: these are the ones of untagged frames, by device."""
        records = {record.name: record for record in self.plane.site.records()}
        for name, flag in FLAGS.items():
            records[name] = self._record(name, flag, vlans.get(name, 0))
        self.plane.dataplane.set_devices(list(records.values()))

    def underlay_at_wan(self) -> None:
        """VXLAN may arrive where NAT's outside is, too."""
        self.devices(wan0=DEV_PORT | DEV_OUTSIDE | DEV_UNDERLAY)

    def tunnel(self, family: int, index: int | None = None, **fields: Any) -> int:
        """Writes one of gw_tunnels; returns its index."""
        index = TUNNELS[family] if index is None else index
        before = self._table("gw_tunnels").get(index)
        assert before is not None
        ip6 = lib.GW_TUNNEL_IPV6 if family == 6 else 0
        values: dict[str, Any] = {
            "ifindex": self.site.ifindex(segment.DEVICES[family]),
            "flags": lib.GW_TUNNEL_CHECKSUM | lib.GW_TUNNEL_FRAGMENT,
            "generation": before.generation + 1,
            "vni": segment.VNIS[family],
            "local": LOCAL[family],
            "remote": PEER[family],
            "port": segment.PORT,
            "port_low": 49152,
            "port_high": 65535,
            "mtu": 2000,
            "ttl": 64,
        } | fields
        values["flags"] |= ip6
        values["port"] = socket.htons(values["port"])
        for end in ("local", "remote"):
            values[end] = address(values[end])
        self._table("gw_tunnels").set(index, abi.new("gw_tunnel", **values))
        return index

    def no_tunnel(self, index: int) -> None:
        """Frees an entry."""
        before = self._table("gw_tunnels").get(index)
        generation = before.generation + 1 if before else 1
        self._table("gw_tunnels").set(index, abi.new("gw_tunnel", generation=generation))

    def vni(self, vni: int, family: int, port: int = segment.PORT, **fields: Any) -> None:
        key = abi.new(
            "gw_vni_key",
            vni=vni,
            port=socket.htons(port),
            family=family,
            local=address(fields.pop("local", LOCAL[family])),
        )
        ifindex = self.site.ifindex(segment.DEVICES[family])
        values = {"ifindex": ifindex, "bridge": self.bridge} | fields
        self._table("gw_vnis").set(key, abi.new("gw_vni", **values))

    def vtep(self, text: str, family: int, tunnel: int, vni: int | None = None) -> None:
        """Who may send, and 1 + the index of the way back."""
        self._table("gw_vteps").set(
            self._vtep(text, family, vni), abi.new("gw_vtep", tunnel=tunnel)
        )

    def no_vtep(self, text: str, family: int) -> None:
        self._table("gw_vteps").delete(self._vtep(text, family, None))

    def _vtep(self, text: str, family: int, vni: int | None) -> Any:
        return abi.new(
            "gw_vtep_key",
            ifindex=self.site.ifindex(segment.DEVICES[family]),
            vni=segment.VNIS[family] if vni is None else vni,
            address=address(text),
        )

    def _fdb_key(self, mac: str, vlan: int = 0) -> Any:
        return abi.new("gw_fdb_key", bridge=self.bridge, mac=list(mac_bytes(mac)), vlan=vlan)

    def station(self, station: Station, vlan: int = 0, **fields: int) -> None:
        if isinstance(station.place, int):
            device, tunnel = segment.DEVICES[station.place], 1 + TUNNELS[station.place]
        else:
            device, tunnel = station.place, 0
        values = {"port": self.site.ifindex(device), "tunnel": tunnel} | fields
        self._table("gw_fdb").set(
            self._fdb_key(station.mac, vlan), abi.new("gw_fdb_entry", **values)
        )

    def no_station(self, station: Station) -> None:
        self._table("gw_fdb").delete(self._fdb_key(station.mac))

    def marks(self, station: Station, vlan: int = 0) -> Seen:
        entry = self._table("gw_fdb").get(self._fdb_key(station.mac, vlan))
        assert entry is not None
        return Seen(entry.used, entry.seen)

    # ---- frames -----------------------------------------------------------------------

    def forget_ways(self) -> None:
        """As if the coarse clock had ticked."""
        table, cpus = self.plane.own.maps["gw_ways"], lib.gw_possible_cpus()
        zeros = ffi.new("char[]", WAY * cpus)
        for index in range(SLOTS):
            assert lib.gw_update(table.fd, ffi.new("__u32 *", index), zeros) == 0

    def run(self, frame: Packet | bytes, port: str, to: str | None = None) -> Outcome:
        """One frame arrives at a port; what XDP sends leaves by `to`, if that is said."""
        self.forget_ways()
        with self.only(to):
            return self.plane.run(frame, port)

    @contextmanager
    def only(self, port: str | None) -> Iterator[None]:
        """XDP can send by this port alone: by any other, XDP_REDIRECT becomes XDP_DROP."""
        table = self._table("gw_tx")
        others: dict[int, int] = {}
        for name in () if port is None else self.site.devices:
            row = self.plane.row(name)
            if row and name != port:
                others[row] = self.site.ifindex(name)
                table.delete(row)
        yield
        for row, ifindex in others.items():
            table.set(row, ifindex)

    def from_core(self, frame: Packet | bytes, to: str | None = None) -> Outcome:
        """A frame from the underlay."""
        return self.run(frame, segment.CORE, to)


def same_frame(outcome: Outcome, expected: bytes) -> None:
    assert outcome.frame.hex(" ") == expected.hex(" ")
