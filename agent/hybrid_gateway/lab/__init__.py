# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway with a LAN and an Internet, made of network namespaces on one machine."""

from .gateway import GatewayProcess
from .network import Lab, LabState
from .topology import (
    GW_INSIDE,
    HOSTS,
    INTERNET,
    LAN,
    LAN2,
    ROUTER,
    SECOND_HOSTS,
    WAN,
    Interface,
)

__all__ = [
    "GW_INSIDE",
    "HOSTS",
    "INTERNET",
    "LAN",
    "LAN2",
    "ROUTER",
    "SECOND_HOSTS",
    "WAN",
    "GatewayProcess",
    "Interface",
    "Lab",
    "LabState",
]
