# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables hold for one packet: the questions that the data path asks, asked again.

Each function names the one of bpf/src that it follows. Nothing is taken, touched or counted.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING, Any

from _gw_native import lib

from .. import abi
from ..model import IPAddress
from .nat import PROTOCOLS, MappingFilter, MappingInfo, find_mappings, pool
from .records import SessionInfo
from .scan import Match, SessionFilter, monotonic
from .sessions import NS, Endpoint
from .tables import address_number, number_address

if TYPE_CHECKING:
    from .dataplane import DataPlane

SLOT_NUMBERS = {protocol: number for number, protocol in PROTOCOLS.items()}


@dataclass(frozen=True, slots=True)
class Fixed:
    """Where a static mapping leads an endpoint; `host`: to the gateway itself."""

    to: Endpoint
    host: bool
    backends: int


@dataclass(frozen=True, slots=True)
class HostShare:
    """What an inside host holds, and its pool address, None when it has none yet."""

    sessions: int
    ports: int
    address: IPv4Address | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bridge has a station: behind which port, and behind which VTEP, None: no one."""

    port: int
    vtep: IPAddress | None = None


def exactly(at: Endpoint) -> Match:
    return Match(IPv4Network(at[0]), (at[1], at[1]))


class Lookup:
    """One moment's look at the loaded tables."""

    def __init__(self, dataplane: "DataPlane") -> None:
        self._dataplane = dataplane
        self._table = dataplane.table
        self.settings = dataplane.nat.settings()
        self.pool = pool(self.settings)

    def device(self, ifindex: int) -> Any | None:
        """Its struct gw_device, if it has a role."""
        found = self._table("gw_devices").get(ifindex % lib.GW_DEVICES_MAX)
        return found if found is not None and found.ifindex == ifindex else None

    def is_outside(self, address: IPv4Address) -> bool:
        """Of the pool or 1:1."""
        return self._table("gw_addresses").get(address_number(address)) is not None

    def static(
        self, protocol: int, at: Endpoint, source: Endpoint, *, outwards: bool
    ) -> Fixed | None:
        """static_find(): the longest prefix decides, then the sender's endpoint on the backend."""
        key = abi.new(
            "gw_static_key",
            length=lib.GW_STATIC_PORT,
            address=address_number(at[0]),
            protocol=protocol,
            port=socket.htons(at[1]),
        )
        found = self._table("gw_static_out" if outwards else "gw_static_in").get(key)
        if found is None:
            return None
        backend = found.backends[_backend(found, source)]
        to = number_address(backend.address), (at[1] + backend.shift) % 65536
        return Fixed(to, bool(found.flags & lib.GW_STATIC_HOST), found.count)

    def session(self, *filters: SessionFilter) -> SessionInfo | None:
        """The first live one that a filter finds."""
        for wanted in filters:
            found, _ = self._dataplane.nat.sessions(wanted, limit=1)
            if found:
                return found[0]
        return None

    def mapping_of(self, protocol: int, inside: Endpoint) -> MappingInfo | None:
        """mapping_acquire(): the one that an inside endpoint has."""
        return self._mapping(MappingFilter(inside=exactly(inside), protocol=protocol))

    def mapping_at(self, protocol: int, outside: Endpoint) -> MappingInfo | None:
        """Who has an outside endpoint."""
        return self._mapping(MappingFilter(outside=exactly(outside), protocol=protocol))

    def _mapping(self, wanted: MappingFilter) -> MappingInfo | None:
        found, _ = find_mappings(self._table("gw_mappings"), self.settings, wanted, 0, 1)
        return found[0] if found else None

    def rests(self, protocol: int, outside: Endpoint) -> float:
        """Seconds until a port that was freed is given out again, 0: it does not rest."""
        if outside[0] not in self.pool:
            return 0.0
        group = self.pool.index(outside[0]) * lib.GW_NAT_PROTOCOLS + SLOT_NUMBERS[protocol]
        slot = self._table("gw_mappings").get(group << 16 | outside[1])
        if slot is None or not slot.released or slot.users:
            return 0.0
        left = slot.released + self.settings.port_rest / NS - monotonic() / NS
        return max(0.0, float(left))

    def permits(self, protocol: int, outside: Endpoint, remote: IPv4Address) -> bool:
        """filter_permits(), by the sessions that hold the permits."""
        if self.settings.filtering == lib.GW_FILTER_ENDPOINT_INDEPENDENT:
            return True
        if self.settings.filtering != lib.GW_FILTER_ADDRESS_DEPENDENT:
            return False
        wanted = SessionFilter(
            outside=exactly(outside),
            remote=Match(IPv4Network(remote)),
            protocol=protocol,
            origin="outbound",
        )
        return self._dataplane.nat.count(wanted) > 0

    def share(self, inside: IPv4Address) -> HostShare:
        found = self._table("gw_hosts").get(address_number(inside))
        if found is None:
            return HostShare(0, 0, None)
        place = found.pool - 1
        kept = self.pool[place] if 0 <= place < len(self.pool) else None
        return HostShare(found.users, found.ports, kept)

    def pool_address(self, inside: IPv4Address) -> IPv4Address:
        """pool_index_of(), for a host that has no address of the pool yet."""
        spread = int(inside) * 0x9E3779B1 & 0xFFFFFFFF
        return self.pool[(spread >> 16) % len(self.pool)]

    def ports_taken(self, protocol: int, address: IPv4Address) -> tuple[int, int]:
        """(used, resting) of the configured range."""
        for use in self._dataplane.nat.ports():
            if (use.address, use.protocol) == (address, protocol):
                return use.used_in_range, use.resting
        return 0, 0

    def sessions_used(self) -> int:
        return self._dataplane.session_count()

    def station(self, bridge: Any, mac: bytes) -> Place | None:
        """egress_port(), for a bridge's struct gw_device; None: the station is not known."""
        key = abi.new("gw_fdb_key", bridge=bridge.ifindex, mac=list(mac), vlan=bridge.vlan)
        found = self._table("gw_fdb").get(key)
        if found is None:
            return None
        return Place(found.port, self._vtep(found.tunnel) if found.tunnel else None)

    def _vtep(self, reference: int) -> IPAddress | None:
        """tunnel_at(): the remote address of tunnel number `reference` - 1."""
        tunnel = self._table("gw_tunnels").get(reference - 1)
        if tunnel is None or not tunnel.ifindex:
            return None
        packed = bytes(tunnel.remote.bytes)
        if tunnel.flags & lib.GW_TUNNEL_IPV6:
            return IPv6Address(packed)
        return IPv4Address(packed[:4])


def _backend(fixed: Any, source: Endpoint) -> int:
    """static_backend()."""
    spread = (int(source[0]) ^ source[1]) * 0x9E3779B1 & 0xFFFFFFFF
    spread ^= spread >> 15
    spread = spread * 0x85EBCA6B & 0xFFFFFFFF
    for number in range(lib.GW_BACKENDS_MAX - 1):
        if number + 1 >= fixed.count or spread >> 16 <= fixed.backends[number].share:
            return number
    return int(lib.GW_BACKENDS_MAX) - 1
