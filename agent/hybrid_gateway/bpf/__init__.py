# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP plane as the agent sees it: load, attach, fill tables, read what happened."""

from .dataplane import DataPlane
from .objects import ObjectError
from .records import (
    DEV_BRIDGE,
    DEV_BRIDGED,
    DEV_INSIDE,
    DEV_OUTSIDE,
    DEV_PORT,
    DEV_TUNNEL,
    DEV_UNDERLAY,
    DEV_WORKER,
    VXLAN_ANY_PATH,
    VXLAN_ON,
    BackendRecord,
    DeviceRecord,
    LoadReport,
    MapSizes,
    NatSettings,
    SessionInfo,
    StaticRecord,
)
from .saved import SavedError, SavedSessions

__all__ = [
    "DEV_BRIDGE",
    "DEV_BRIDGED",
    "DEV_INSIDE",
    "DEV_OUTSIDE",
    "DEV_PORT",
    "DEV_TUNNEL",
    "DEV_UNDERLAY",
    "DEV_WORKER",
    "VXLAN_ANY_PATH",
    "VXLAN_ON",
    "BackendRecord",
    "DataPlane",
    "DeviceRecord",
    "LoadReport",
    "MapSizes",
    "NatSettings",
    "ObjectError",
    "SavedError",
    "SavedSessions",
    "SessionInfo",
    "StaticRecord",
]
