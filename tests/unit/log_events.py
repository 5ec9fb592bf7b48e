# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of the log, as the data path writes them."""

import socket
from typing import Any

from _gw_native import ffi, lib

INSIDE, OUTSIDE, REMOTE = ("192.168.110.10", 51000), ("203.0.113.2", 23456), ("198.51.100.10", 443)
AT = 5_000_000_000
"""CLOCK_MONOTONIC of every event here, ns."""
OFFSET = 1_700_000_000_000_000_000 - AT + 123_456_789
"""So that they happened at 2023-11-14T22:13:20.123Z."""


def _set(endpoint: Any, where: tuple[str, int], protocol: int) -> None:
    endpoint.address = int.from_bytes(socket.inet_aton(where[0]), "little")
    endpoint.port = socket.htons(where[1])
    endpoint.protocol = protocol


def event(kind: int, *, protocol: int = 6, flags: int = 0) -> bytes:
    """As the data path writes it, through the C type."""
    made = ffi.new("struct gw_log_event *")
    made.time, made.kind, made.flags = AT, kind, flags
    _set(made.inside, INSIDE, protocol)
    _set(made.outside, OUTSIDE, protocol)
    if kind in (lib.GW_LOG_SESSION_OPENED, lib.GW_LOG_SESSION_CLOSED):
        _set(made.remote, REMOTE, protocol)
    if kind == lib.GW_LOG_SESSION_CLOSED:
        made.traffic[0].packets, made.traffic[0].bytes = 10, 1500
        made.traffic[1].packets, made.traffic[1].bytes = 20, 30000
    return bytes(ffi.buffer(made))


OPENED, CLOSED, MAPPED, UNMAPPED = (
    event(lib.GW_LOG_SESSION_OPENED),
    event(lib.GW_LOG_SESSION_CLOSED),
    event(lib.GW_LOG_MAPPING_OPENED, protocol=17),
    event(lib.GW_LOG_MAPPING_CLOSED, protocol=17),
)
