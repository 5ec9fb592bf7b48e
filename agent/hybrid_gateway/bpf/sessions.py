# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the session records and the counters."""

import socket
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

from _gw_native import ffi, lib

from .. import abi
from .maps import Map
from .records import SessionInfo
from .tables import number_address

NS = 1_000_000_000
ICMP = 1
STATES = {
    lib.GW_TCP_NONE: "active",
    lib.GW_TCP_OPENING: "opening",
    lib.GW_TCP_SYN_BOTH: "opening",
    lib.GW_TCP_ESTABLISHED: "established",
    lib.GW_TCP_CLOSING: "closing",
}

Endpoint = tuple[IPv4Address, int]


# A page of sessions has the same few addresses again and again.
_address = lru_cache(1024)(number_address)


def endpoint(address: int, port: int) -> Endpoint:
    """From the numbers of gw_abi.h."""
    return _address(address), socket.ntohs(port)


def _origin(flags: int) -> str:
    kind = "hairpin" if flags & lib.GW_SESSION_HAIRPIN else "outbound"
    if flags & lib.GW_SESSION_INBOUND:
        kind = "inbound"
    return f"{kind}, static" if flags & lib.GW_SESSION_STATIC else kind


def _age(now: int, created: int) -> float:
    """Seconds. A carried session may be older than the clock, and a new one is a tick ahead."""
    age = (now / NS - created) % 2**32
    return age if age < 2**31 else 0.0


def describe(index: int, session: Any, now: int) -> SessionInfo:
    """Names the three endpoints, whichever side sent the first packet."""
    arrives, leaves = session.arrives, session.leaves
    inbound = bool(session.flags & lib.GW_SESSION_INBOUND)
    outwards, inwards = (1, 0) if inbound else (0, 1)
    if inbound:
        inside = endpoint(leaves.daddr, leaves.dport)
        outside = endpoint(arrives.daddr, arrives.dport)
        remote = endpoint(arrives.saddr, arrives.sport)
    else:
        inside = endpoint(arrives.saddr, arrives.sport)
        outside = endpoint(leaves.saddr, leaves.sport)
        remote = endpoint(arrives.daddr, arrives.dport)
    return SessionInfo(
        index=index,
        protocol=session.protocol,
        state=STATES.get(session.tcp_state, "?"),
        origin=_origin(session.flags),
        inside=inside,
        outside=outside,
        remote=remote,
        packets_out=session.traffic[outwards].packets,
        packets_in=session.traffic[inwards].packets,
        bytes_out=session.traffic[outwards].bytes,
        bytes_in=session.traffic[inwards].bytes,
        age=_age(now, session.created),
        expires_in=(session.deadline - now) / NS,
    )


def read_counters(counters: Map, row: int) -> dict[str, int]:
    """One port's counts over all CPUs, by name."""
    cpus = lib.gw_possible_cpus()
    values = ffi.new("struct gw_port_counters[]", cpus)
    key = ffi.new("__u32 *", row)
    if lib.gw_lookup(counters.fd, key, values):
        return {}
    return {
        name: sum(values[cpu].count[index] for cpu in range(cpus))
        for index, name in enumerate(abi.counter_names())
    }
