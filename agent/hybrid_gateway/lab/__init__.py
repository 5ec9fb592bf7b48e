# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway with a LAN and an Internet, made of network namespaces on one machine."""

from .bgp import BgpProcess
from .gateway import GatewayProcess
from .network import Lab, LabState
from .sfp import EAST, SFP0, SFP1, WEST
from .topology import (
    GW_INSIDE,
    HOSTS,
    INTERNET,
    LAN,
    LAN2,
    ROUTER,
    SECOND_HOSTS,
    SFP_HOSTS,
    WAN,
    Interface,
)
from .worker import WorkerProcess

__all__ = [
    "EAST",
    "GW_INSIDE",
    "HOSTS",
    "INTERNET",
    "LAN",
    "LAN2",
    "ROUTER",
    "SECOND_HOSTS",
    "SFP0",
    "SFP1",
    "SFP_HOSTS",
    "WAN",
    "WEST",
    "BgpProcess",
    "GatewayProcess",
    "Interface",
    "Lab",
    "LabState",
    "WorkerProcess",
]
