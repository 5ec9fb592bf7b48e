# SPDX-License-Identifier: GPL-2.0-or-later
"""What a plan consists of."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from .system import (
    Attachment,
    Device,
    FallbackTable,
    NextHop,
    Offload,
    Settings,
    Sizes,
    StaticMapping,
    Sysctl,
)
from .vxlan import Segment, Stations, VniEntry
from .worker import PortSetup, RunningPort, TakenPort, WorkerSetup


class StepKind(Enum):
    """Everything that a plan can consist of, in the order of the work: see plan.py."""

    DETACH = "detach"
    DETACH_TUNNEL = "detach-tunnel"
    FORGET = "forget"
    RESTORE_OFFLOAD = "restore-offload"
    RESTORE_SYSCTL = "restore-sysctl"
    REMOVE_TABLE = "remove-table"
    LOAD = "load"
    MIRROR = "mirror"
    SYSCTL = "sysctl"
    TABLE = "table"
    OFFLOAD = "offload"
    SETTINGS = "settings"
    ADDRESSES = "addresses"
    STATICS = "statics"
    PREFIXES = "prefixes"
    VNIS = "vnis"
    DEVICES = "devices"
    ATTACH = "attach"
    ATTACH_TUNNEL = "attach-tunnel"
    MANAGE = "manage"
    REMOVE_PORT = "remove-port"
    GIVE_BACK = "give-back"
    STOP_WORKER = "stop-worker"
    RELEASE_MEMORY = "release-memory"
    RESERVE_MEMORY = "reserve-memory"
    START_WORKER = "start-worker"
    TAKE = "take"
    ADD_PORT = "add-port"
    HEAR = "hear"
    SEGMENTS = "segments"
    STOP_HEARING = "stop-hearing"
    EVPN = "evpn"


StepValue = (
    Sizes
    | Settings
    | Sysctl
    | FallbackTable
    | Offload
    | Attachment
    | NextHop
    | tuple[IPv4Address, ...]
    | tuple[StaticMapping, ...]
    | tuple[IPv4Network, ...]
    | tuple[Device, ...]
    | tuple[VniEntry, ...]
    | tuple[Segment, ...]
    | Stations
    | WorkerSetup
    | PortSetup
    | RunningPort
    | TakenPort
    | int
    | None
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change: to what, and in words; `value` is what `apply` needs to do it."""

    kind: StepKind
    subject: str
    text: str
    value: StepValue = None
