# SPDX-License-Identifier: GPL-2.0-or-later
"""The DPDK worker as it should be and as it is."""

from dataclasses import dataclass, field
from enum import Enum

from .port import Plane, Polling, Port, RouteLimits
from .vxlan import Segment


class WorkerState(Enum):
    """Whether there is a worker to talk to, and if not, what becomes of its ports."""

    ABSENT = "absent"
    """Nobody listens, and the kernel has all its devices."""
    STARTING = "starting"
    """It died a moment ago; its ports wait for the next one."""
    RUNNING = "running"
    GIVEN_BACK = "given back"
    """It did not come back, or dies again and again: the kernel has its devices."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is started with, and keeps for its life."""

    cores: tuple[int, ...]
    """CPUs of the data path."""
    memory: int
    """Bytes of hugepages."""
    routes: RouteLimits = field(default_factory=RouteLimits)
    pci: bool = False
    """It looks at the PCI bus."""
    physical: bool = False
    """Devices are given physical addresses: there is no IOMMU between."""
    frames: int = 0
    """Buffers of all ports together; 0: as many as the worker takes by itself."""
    tunnels: int = 0
    """Room for VTEPs of all VXLAN segments together; 0: no VXLAN."""
    stations: int = 0
    """Room for stations of bridges; 0: as many as the worker takes by itself."""


@dataclass(frozen=True, slots=True)
class PortSetup:
    """A port that the worker should have."""

    name: str
    port: Port
    polling: Polling = Polling.ADAPTIVE


@dataclass(frozen=True, slots=True)
class TakenPort:
    """A device that was taken from the kernel, which has a TAP in its place."""

    name: str
    tap: str
    device: str
    """As EAL has it: a PCI address, or a virtual device on the renamed one; empty of what was
    taken by halves."""
    source: str = ""
    """As the configuration names it: `Port.where`."""
    wire: bool = False
    """The kernel still has it, under another name: the virtual device's `iface`."""

    @property
    def virtual(self) -> bool:
        """There was no device of the kernel's in the TAP's place."""
        return self.device.startswith("net_") and not self.wire

    def serves(self, port: Port) -> bool:
        """Whether it is the device that this port names."""
        return bool(self.device) and self.source == port.where

    @property
    def port(self) -> Port:
        """As it was in the configuration."""
        if self.source == self.device and not self.source.startswith("net_"):
            return Port(self.name, plane=Plane.DPDK, pci=self.source)
        if self.source.startswith("net_"):
            return Port(self.name, plane=Plane.DPDK, vdev=self.source)
        return Port(self.name, self.source, Plane.DPDK)


@dataclass(frozen=True, slots=True)
class RunningPort:
    """A port that the worker has."""

    name: str
    tap: str
    device: str
    polling: Polling = Polling.ADAPTIVE


HEARD = "gwh"
"""Begins the names of TAPs by which bridges hear."""


def heard_name(bridge: int) -> str:
    """The TAP by which the bridge of that ifindex hears what the worker floods."""
    return f"{HEARD}{bridge}"


def heard_bridge(name: str) -> int | None:
    """The other way round; None: that is the name of no such TAP."""
    number = name.removeprefix(HEARD)
    own = number.isascii() and number.isdecimal() and heard_name(int(number)) == name
    return int(number) if own else None


@dataclass(frozen=True, slots=True)
class WantedWorker:
    """The worker by its configuration and the devices that are there."""

    setup: WorkerSetup
    ports: tuple[PortSetup, ...] = ()
    segments: tuple[Segment, ...] = ()
    """Of VXLAN: what the kernel has of their FDBs the worker sees by itself."""

    @property
    def heard(self) -> frozenset[int]:
        """Bridges that hear by a TAP what the worker floods."""
        return frozenset(segment.bridge for segment in self.segments if segment.heard)


@dataclass(frozen=True, slots=True)
class ObservedWorker:
    """The worker as it was found, with what was taken from the kernel for it."""

    state: WorkerState = WorkerState.ABSENT
    reason: str = ""
    """Of a state that is no good one, in words."""
    setup: WorkerSetup | None = None
    """None: it has not been started, or there is none."""
    ports: tuple[RunningPort, ...] = ()
    taken: tuple[TakenPort, ...] = ()
    reserved: int = 0
    """Bytes of hugepages that were added to what the host had."""
    online: tuple[int, ...] = ()
    """CPUs."""
    missing: frozenset[str] = frozenset()
    """Names of ports whose device is not there at the moment."""
    shunned: tuple[tuple[str, str], ...] = ()
    """Names of ports that the worker could not have before, and why."""
    physical: frozenset[str] = frozenset()
    """Names of ports whose device has to be given physical addresses."""
    segments: tuple[Segment, ...] | None = ()
    """That it was given; None: somebody else gave it some."""
    segments_refused: str = ""
    """Why it did not take others before; empty: it took them, or may be asked."""
    unheard: tuple[tuple[str, str], ...] = ()
    """Names of TAPs by which bridges were to hear and could not be made, and why."""
