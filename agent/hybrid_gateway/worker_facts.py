# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker and the host say of themselves, as the model has it, and back."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .model import Df, Port, RouteLimits, RunningPort, Segment, Sources, TakenPort, WorkerSetup
from .worker_client import WorkerOptions, WorkerStatus
from .worker_values import WorkerSegment

if TYPE_CHECKING:
    from .devices.handover import Taken

MB = 1 << 20
ONLINE = Path("/sys/devices/system/cpu/online")
PCI_DEVICES = Path("/sys/bus/pci/devices")
UDEV = Path("/run/udev")


def online() -> tuple[int, ...]:
    """CPUs, ascending; empty when the kernel does not say."""
    try:
        text = ONLINE.read_text().strip()
    except OSError:
        return ()
    found: list[int] = []
    for part in text.split(",") if text else ():
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return tuple(found)


def options_of(setup: WorkerSetup) -> WorkerOptions:
    return WorkerOptions(
        cores=setup.cores,
        memory_mb=setup.memory // MB,
        routes4=setup.routes.ipv4,
        routes6=setup.routes.ipv6,
        no_pci=not setup.pci,
        iova_pa=setup.physical,
        mbufs=setup.frames,
        tunnels=setup.tunnels,
        stations=setup.stations,
    )


def setup_of(status: WorkerStatus) -> WorkerSetup | None:
    options = status.options
    if not status.started or options is None:
        return None
    return WorkerSetup(
        options.cores,
        options.memory_mb * MB,
        RouteLimits(options.routes4, options.routes6),
        not options.no_pci,
        options.iova_pa,
        options.mbufs,
        options.tunnels,
        options.stations,
    )


def segment_of(segment: Segment) -> WorkerSegment:
    """For one VNI of a device that has one alone, in a bridge that does not tell VLANs apart."""
    how = segment.encapsulation
    return WorkerSegment(
        ifindex=segment.ifindex,
        bridge=segment.bridge,
        vni=segment.vni,
        family=segment.family,
        port=segment.port,
        first_port=how.ports.low,
        last_port=how.ports.high,
        mtu=how.mtu,
        ttl=how.ttl,
        tos=how.tos,
        label=how.label,
        link=segment.link,
        local=str(segment.local) if segment.local else "",
        heard=segment.heard,
        arrivals=tuple(str(address) for address in segment.arrives),
        sources=tuple(str(address) for address in segment.listed),
        listed=segment.sources is Sources.LISTED,
        any_source=segment.sources is Sources.ANY,
        fragment=how.fragment,
        learns=segment.learns,
        checksum=how.checksum,
        ttl_inherit=how.ttl_inherit,
        tos_inherit=how.tos_inherit,
        df=how.df is Df.SET,
        df_inherit=how.df is Df.INHERIT,
    )


def running_of(status: WorkerStatus) -> tuple[RunningPort, ...]:
    return tuple(
        RunningPort(name, port.tap, port.device, port.polling)
        for name, port in sorted(status.ports.items())
    )


def taken_of(one: "Taken") -> TakenPort:
    return TakenPort(one.port, one.tap, one.eal, one.source, one.kind == "wire")


def key_of(port: Port) -> str:
    return "device" if port.device else "pci" if port.pci else "vdev"


def is_there(port: Port, taken: Sequence[TakenPort]) -> bool:
    """Its device; one that is made when it is asked for always is."""
    mine = next((one for one in taken if one.name == port.name and one.serves(port)), None)
    if mine and not mine.wire:
        return mine.device.startswith("net_") or (PCI_DEVICES / mine.device).exists()
    if port.pci:
        return (PCI_DEVICES / port.pci).exists() and _named(PCI_DEVICES / port.pci)
    device = Port("", vdev=mine.device).iface if mine else port.device or port.iface
    if device is None:
        return True
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True


def _named(function: Path) -> bool:
    """Whether udev has given the function's device its name, where there is an udev: for a moment
    of the boot it is eth0, and the TAP in its place would be called so."""
    from .devices.networkd import is_here

    if not is_here() or not (UDEV / "control").exists():
        return True
    files = (*function.glob("net/*/ifindex"), *function.glob("virtio*/net/*/ifindex"))
    try:
        return all((UDEV / "data" / f"n{file.read_text().strip()}").exists() for file in files)
    except OSError:
        return False  # it is being renamed
