# SPDX-License-Identifier: GPL-2.0-or-later
"""The ports, and the worker that those of `plane: dpdk` are for."""

import re
from collections.abc import Iterator, Sequence

from ..model import (
    DEFAULT_HUGEPAGES,
    Nat44,
    Notice,
    Plane,
    Polling,
    Port,
    RouteLimits,
    Worker,
)
from ..model.port import ON_A_DEVICE
from .document import Document, Path

WAYS = ("device", "pci", "vdev")
"""To say which device a port is, of which each port takes one."""
DEVICE = re.compile(r"[^\s/:]{1,15}")
NAME_MAX = 15
"""What a device of the kernel may be called, and so a TAP."""
PORTS_MAX = 32
"""GW_WORKER_PORTS."""
HUGEPAGE = 2 << 20
UNITS = {"M": 20, "G": 30}


def ports_of(document: Document) -> tuple[Port, ...]:
    """`ports`; what is wrong with a port leaves it out."""
    ports: list[Port] = []
    owners: dict[str, str] = {}
    for path, _ in document.under("ports"):
        port = _port(document, path)
        if port is None:
            continue
        if _claim(document, path, port, owners):
            ports.append(port)
    of_worker = [port for port in ports if port.plane is Plane.DPDK]
    for port in of_worker[PORTS_MAX:]:
        message = f"the worker has at most {PORTS_MAX} ports"
        document.add(("ports", port.name), message, "config.invalid")
    return tuple(ports)


def _claim(document: Document, path: Path, port: Port, owners: dict[str, str]) -> bool:
    for key, what, thing in _claims(port):
        owner = owners.setdefault(thing, port.name)
        if owner != port.name:
            message = f"{what} is port {owner} already"
            document.add((*path, *key), message, "config.conflict")
            return False
    return True


def _claims(port: Port) -> Iterator[tuple[Path, str, str]]:
    """(key, in words, what nobody else may have)."""
    if port.device:
        yield ("device",), f"device {port.device}", port.device
    elif port.pci:
        yield ("pci",), f"PCI device {port.pci}", port.pci
    elif port.vdev:
        name = port.vdev.split(",")[0]
        yield ("vdev",), f"virtual device {name} (the number at its end tells them apart)", name
        if port.iface:
            yield ("vdev",), f"device {port.iface}", port.iface
        else:
            yield (), f"a device named {port.name}", port.name


def _port(document: Document, path: Path) -> Port | None:
    given = [way for way in WAYS if document.has(*path, way)]
    if not given:
        message = "required, but missing (or pci, or vdev, with plane: dpdk)"
        document.add((*path, "device"), message, "config.missing-key")
        return None
    for way in given[1:]:
        message = f"{given[0]} says already which device it is: one of {', '.join(WAYS)} is enough"
        document.add((*path, way), message, "config.conflict")
    dpdk = document.get(*path, "plane") == Plane.DPDK.value
    if not dpdk and not document.is_bad((*path, "plane")):
        _refuse_without_worker(document, path)
    name = str(path[-1])
    if dpdk and len(name) > NAME_MAX:
        message = f"is too long for a port of the worker: at most {NAME_MAX} characters"
        document.add(path, message, "config.invalid")
    _check_vdev(document, (*path, "vdev"))
    if document.is_bad(path) or any(document.is_bad((*path, key)) for key in (*WAYS, "plane")):
        return None
    polling, pci = document.get(*path, "polling"), document.get(*path, "pci")
    return Port(
        name,
        document.get(*path, "device") or "",
        Plane.DPDK if dpdk else Plane.XDP,
        document.line(path),
        _whole_address(pci) if pci else None,
        document.get(*path, "vdev"),
        Polling(polling) if polling else None,
    )


def _whole_address(pci: str) -> str:
    """lspci leaves out the domain where there is one only."""
    return (pci if pci.count(":") == 2 else f"0000:{pci}").lower()


def _refuse_without_worker(document: Document, path: Path) -> None:
    for key in ("pci", "vdev"):
        if document.has(*path, key):
            message = "is of the worker's ports: add plane: dpdk, or name the device by `device`"
            document.add((*path, key), message, "config.conflict")
    if document.has(*path, "polling"):
        message = "only a port of plane: dpdk is polled"
        document.add((*path, "polling"), message, "config.conflict")


def _check_vdev(document: Document, path: Path) -> None:
    vdev = document.get(*path)
    if vdev is None:
        return
    name = vdev.split(",")[0]
    device = Port("", vdev=vdev).iface
    message = ""
    if not name[-1].isdigit():
        message = f"{name} needs a number at its end, as in {name}0"
    elif device is None and name.startswith(ON_A_DEVICE[:2]):
        message = f"{name} needs iface=DEVICE, a network device of the kernel"
    elif device is not None and not DEVICE.fullmatch(device):
        message = f"iface={device} is no network device name (1 to 15 characters)"
    if message:
        document.add(path, message, "config.invalid")


# ---- the worker -----------------------------------------------------------------------


def worker_of(document: Document, ports: Sequence[Port], notices: list[Notice]) -> Worker | None:
    """`worker`, or its defaults; None when no port is for it."""
    needed = any(port.plane is Plane.DPDK for port in ports)
    given = document.has("worker")
    if not needed:
        # A port that is wrong may have been for it.
        if given and not document.problems:
            where = document.where(("worker",))
            notices.append(Notice(where, "has no effect: no port has plane: dpdk"))
        if not given:
            return None
    polling = document.get("worker", "polling")
    limits = {str(path[-1]): value for path, value in document.under("worker", "routes")}
    found = Worker(
        cores=tuple(document.get("worker", "cores") or ()),
        hugepages=_hugepages(document),
        polling=Polling(polling) if polling else Polling.ADAPTIVE,
        routes=RouteLimits(**limits),
        line=document.line(("worker",)) if given else 0,
    )
    return found if needed else None


def _hugepages(document: Document) -> int:
    path: Path = ("worker", "hugepages")
    value = document.get(*path)
    if value is None:
        return DEFAULT_HUGEPAGES
    size = value << 20 if isinstance(value, int) else int(value[:-1]) << UNITS[value[-1]]
    message = ""
    if size % HUGEPAGE or not size:
        message = f"{value} is not a multiple of 2M, the size of a hugepage"
    elif size > 1 << 40:
        message = f"{value} is more than 1024G"
    if message:
        document.add(path, message, "config.invalid")
        return DEFAULT_HUGEPAGES
    return size


# ---- what is XDP's alone --------------------------------------------------------------


def refuse_of_worker(
    document: Document,
    ports: Sequence[Port],
    nat44: Nat44 | None,
) -> None:
    """NAT44 is XDP's: a port of the worker has no part in it."""
    of_worker = {port.name: port for port in ports if port.plane is Plane.DPDK}
    devices = {port.device or port.iface or port.name: port for port in of_worker.values()}
    if nat44 and nat44.outside in of_worker:
        message = f"port {nat44.outside} has plane: dpdk, and NAT44 is XDP's: it needs plane: xdp"
        document.add(("nat44", "outside"), message, "config.conflict")
    for path, device in document.under("nat44", "inside") if nat44 else ():
        if device in devices:
            message = (
                f"device {device} is port {devices[device].name}, which has plane: dpdk, "
                "and NAT44 is XDP's: it needs plane: xdp"
            )
            document.add(path, message, "config.conflict")
