# SPDX-License-Identifier: GPL-2.0-or-later
"""struct gw_log_event of gw_abi.h, as it is read many at a time."""

import struct
import time

from _gw_native import lib

EVENT = struct.Struct("=QQQQQ4s2sBx4s2sBx4s2sBxBB6x")
"""CLOCK_MONOTONIC ns; packets and bytes out, packets and bytes in; address, port and protocol of
inside, outside and remote; kind; flags. Addresses and ports are in network byte order."""

SESSION_OPENED: int = lib.GW_LOG_SESSION_OPENED
SESSION_CLOSED: int = lib.GW_LOG_SESSION_CLOSED
MAPPING_OPENED: int = lib.GW_LOG_MAPPING_OPENED
MAPPING_CLOSED: int = lib.GW_LOG_MAPPING_CLOSED
INBOUND: int = lib.GW_SESSION_INBOUND
HAIRPIN: int = lib.GW_SESSION_HAIRPIN


def clock_offset() -> int:
    """What to add to CLOCK_MONOTONIC to have the time of day, in ns; changes when that is set."""
    return time.time_ns() - time.monotonic_ns()
