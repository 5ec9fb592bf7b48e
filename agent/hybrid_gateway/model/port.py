# SPDX-License-Identifier: GPL-2.0-or-later
"""The ports of a configuration, and the DPDK worker that some of them are for."""

from dataclasses import dataclass
from enum import Enum


class Plane(Enum):
    """Which data path owns a port."""

    XDP = "xdp"
    """The device stays the kernel's, with a program on it."""
    DPDK = "dpdk"
    """The worker has it, and the kernel a TAP in its place."""


class Polling(Enum):
    """How the worker waits for packets of a port."""

    ADAPTIVE = "adaptive"
    """Polls while there is traffic, then sleeps."""
    BUSY = "busy"
    """Never sleeps."""
    INTERRUPT = "interrupt"
    """Sleeps until the receive interrupt; refused of a driver that has none."""


ON_A_DEVICE = ("net_af_packet", "net_af_xdp", "net_pcap")
"""Drivers whose `iface` is a device that the kernel has; others make one of that name."""
IFACE = "iface="


@dataclass(frozen=True, slots=True)
class Port:
    """A network device that the gateway takes part in.

    Exactly one of `device`, `pci` and `vdev` says which; the latter two are the worker's.
    """

    name: str
    device: str = ""
    """The kernel's name for it; of a port of the worker also that of its TAP."""
    plane: Plane = Plane.XDP
    line: int = 0
    pci: str | None = None
    """A PCI address: 0000:04:00.0."""
    vdev: str | None = None
    """As DPDK's EAL has it: net_af_packet0,iface=veth1."""
    polling: Polling | None = None
    """None: as the worker's."""

    @property
    def iface(self) -> str | None:
        """The kernel's device that a virtual port works on, of drivers that do."""
        name, *arguments = (self.vdev or "").split(",")
        if not name.startswith(ON_A_DEVICE):
            return None
        return next((one.removeprefix(IFACE) for one in arguments if one.startswith(IFACE)), None)

    def on(self, device: str) -> str:
        """The `vdev` of a port that has an `iface`, with that device in its place."""
        name, *arguments = (self.vdev or "").split(",")
        place = next(i for i, one in enumerate(arguments) if one.startswith(IFACE))
        arguments[place] = f"{IFACE}{device}"
        return ",".join((name, *arguments))

    @property
    def where(self) -> str:
        """The device in the owner's words."""
        return self.device or self.pci or self.vdev or self.name


DEFAULT_HUGEPAGES = 256 << 20
DEFAULT_ROUTES = 0
"""As many as the worker has room for by default."""


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """Room in the worker's tables, routes of each family; 0: the default."""

    ipv4: int = DEFAULT_ROUTES
    ipv6: int = DEFAULT_ROUTES


@dataclass(frozen=True, slots=True)
class Worker:
    """What the DPDK worker runs with."""

    cores: tuple[int, ...] = ()
    """CPUs of the data path; empty: the highest one that is online."""
    hugepages: int = DEFAULT_HUGEPAGES
    """Bytes."""
    polling: Polling = Polling.ADAPTIVE
    routes: RouteLimits = RouteLimits()
    line: int = 0
