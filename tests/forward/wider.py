# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab with a narrow link on either side of the gateway, and a host behind each.

    deep ── inner ══ 1300 ══ lan ── gw ── wan ══ 1400 ══ edge ── far
      192.168.112.0/24  192.168.111.0/24    192.0.2.0/25  192.0.2.128/25

Only the routers know how narrow the links are.
"""

from contextlib import AbstractContextManager

from hybrid_gateway.lab import LAN, Lab
from hybrid_gateway.lab.extension import Cable, ExtendedLab, Extension, extended

FAR = "192.0.2.130"
EDGE = "192.0.2.2"
INNER = "192.168.111.2"
LAN_DEEP = "192.168.111.1"
FAR_MTU, DEEP_MTU = 1400, 1300

WIDER = Extension(
    cables=(
        Cable(("wan", "edge0", "192.0.2.1/25"), ("edge", "eth0", f"{EDGE}/25"), FAR_MTU),
        Cable(("edge", "far0", "192.0.2.129/25"), ("far", "eth0", f"{FAR}/25")),
        Cable(("lan", "inner0", f"{LAN_DEEP}/24"), ("inner", "eth0", f"{INNER}/24"), DEEP_MTU),
        Cable(("inner", "deep0", "192.168.112.1/24"), ("deep", "eth0", "192.168.112.10/24")),
    ),
    routers=("wan", "edge", "lan", "inner"),
    routes=(
        ("wan", "192.0.2.128/25", EDGE),
        ("lan", "192.168.112.0/24", INNER),
        ("gw", "192.168.111.0/24", LAN.ip),
        ("gw", "192.168.112.0/24", LAN.ip),
    ),
)


def wider(lab: Lab) -> AbstractContextManager[ExtendedLab]:
    """Four hosts more; everything else is the lab that it was made from."""
    return extended(lab, WIDER)
