# SPDX-License-Identifier: GPL-2.0-or-later
"""What several requirements expect alike."""

from _gw_native import lib

HIT = {"FORWARD": 1}
NEW_SESSION = HIT | {"NAT_NEW_SESSION": 1}
NEW = NEW_SESSION | {"NAT_NEW_MAPPING": 1}
"""What one frame moves the counters by, of a known session, and of one that is opened."""

SLACK = 30.0
"""Seconds that a test may take between a frame and a look at its session's timer: less than any two
timers differ by."""

MODES = [
    # filtering, from another port of the same host, from another host
    (lib.GW_FILTER_ENDPOINT_INDEPENDENT, "FORWARD", "FORWARD"),
    (lib.GW_FILTER_ADDRESS_DEPENDENT, "FORWARD", "DROP_FILTERED"),
    (lib.GW_FILTER_ADDRESS_AND_PORT_DEPENDENT, "DROP_FILTERED", "DROP_FILTERED"),
]
