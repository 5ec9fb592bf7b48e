# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab with a narrow link on either side of the gateway, and a host behind each.

    deep ── inner ══ 1300 ══ lan ── gw ── wan ══ 1400 ══ edge ── far
      192.168.112.0/24  192.168.111.0/24    192.0.2.0/25  192.0.2.128/25

Only the routers know how narrow the links are.
"""

from contextlib import AbstractContextManager

from hybrid_gateway.lab import LAN, Lab
from hybrid_gateway.lab.extension import BEYOND, Cable, End, ExtendedLab, Extension, extended

INNER, LAN_DEEP, DEEP_MTU = "192.168.111.2", "192.168.111.1", 1300

WIDER = Extension(
    cables=(
        *BEYOND.cables,
        Cable(
            End("lan", "inner0", [f"{LAN_DEEP}/24"]),
            End("inner", "eth0", [f"{INNER}/24"]),
            DEEP_MTU,
        ),
        Cable(
            End("inner", "deep0", ["192.168.112.1/24"]),
            End("deep", "eth0", ["192.168.112.10/24"]),
        ),
    ),
    routers=(*BEYOND.routers, "lan", "inner"),
    routes=(
        *BEYOND.routes,
        ("lan", "192.168.112.0/24", INNER),
        ("gw", "192.168.111.0/24", LAN.ip),
        ("gw", "192.168.112.0/24", LAN.ip),
    ),
)


def wider(lab: Lab) -> AbstractContextManager[ExtendedLab]:
    """Four hosts more; everything else is the lab that it was made from."""
    return extended(lab, WIDER)
