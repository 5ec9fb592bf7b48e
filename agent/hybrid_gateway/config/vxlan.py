# SPDX-License-Identifier: GPL-2.0-or-later
"""The VXLAN devices that XDP works for, and who may send to them."""

from collections.abc import Sequence

from ..model import IPAddress, Port, Sources, Vxlan
from . import endpoint
from .document import Document, Path


def vxlan_of(document: Document, ports: Sequence[Port]) -> tuple[Vxlan, ...]:
    """`vxlan`; adds a problem to whichever entry repeats an earlier one."""
    found: list[Vxlan] = []
    names = {port.device: port.name for port in ports}
    for path, _ in document.under("vxlan"):
        entry = _entry(document, path)
        if entry is None:
            continue
        if port := names.get(entry.device):
            message = f"device {entry.device} is port {port}: a VXLAN device has no port of its own"
            document.add((*path, "device"), message, "config.conflict")
            continue
        if other := next((one for one in found if _same(one, entry)), None):
            document.add(path, _repeated(entry, other), "config.conflict")
            continue
        found.append(entry)
    return tuple(found)


def _entry(document: Document, path: Path) -> Vxlan | None:
    device = document.get(*path, "device")
    if device is None:
        return None
    sources, listed = _sources(document, (*path, "sources"))
    return Vxlan(
        device=device,
        vni=document.get(*path, "vni"),
        sources=sources,
        listed=listed,
        fragment=document.get(*path, "fragment") is not False,
        line=document.line(path),
    )


def _sources(document: Document, path: Path) -> tuple[Sources, tuple[IPAddress, ...]]:
    value = document.get(*path)
    if value is None or isinstance(value, str):
        return Sources(value or Sources.LEARNED.value), ()
    found: dict[IPAddress, None] = {}
    for item, text in document.under(*path):
        address = endpoint.either_address(document, item, text)
        if address in found:
            document.add(item, f"{address} is in the list already", "config.conflict")
        elif address:
            found[address] = None
    return Sources.LISTED, tuple(found)


def _same(one: Vxlan, other: Vxlan) -> bool:
    """Without a VNI an entry is about all that the device has."""
    return one.device == other.device and (None in (one.vni, other.vni) or one.vni == other.vni)


def _repeated(entry: Vxlan, other: Vxlan) -> str:
    what = f"VNI {entry.vni} of device" if entry.vni and other.vni else "device"
    means = ", without a VNI: that is all of them" if entry.vni and not other.vni else ""
    return f"{what} {entry.device} is on line {other.line} already{means}"
