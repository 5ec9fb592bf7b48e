# SPDX-License-Identifier: GPL-2.0-or-later
"""What an agent before this one wrote to devices that EVPN has nothing to do with any more: their
VNI left the configuration while no agent ran. Nobody would ever ask for them again."""

import contextlib
import logging
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import KernelError
from ..model import Segment
from ..rtnl import Rtnl
from .entries import ROUTE_PROTOCOL, KernelEntry, RemoteMac
from .kernel_batch import Batch
from .kernel_places import Places
from .kernel_record import FloodRecord, ours
from .kernel_routes import our_routes
from .kernel_socket import KernelSocket
from .kernel_ways import Ways

log = logging.getLogger(__name__)


def sweep_all(path: Path, *, shared: bool) -> None:
    """EVPN is not configured, or (`shared`) another daemon writes to the kernel: entries of its in
    FDBs look like ours, and stay. Without the record there is nothing, or nobody knows."""
    if not path.exists():
        return
    try:
        sweep(FloodRecord(path), (), shared=shared)
    except KernelError as error:
        log.warning("what EVPN wrote to the kernel is still there: %s", error)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def sweep(record: FloodRecord, segments: Collection[Segment], *, shared: bool = False) -> None:
    """Takes it out, but for what is of these. KernelError: it could not be looked for."""
    past = Places(record.segments)
    now = Places(segments)
    bridges = {s.bridge for s in record.segments if _is(s.bridge, s.bridge_name)}
    tunnels = {s.ifindex for s in record.segments if _is(s.ifindex, s.name)}
    kernel, rtnl = KernelSocket(ROUTE_PROTOCOL), Rtnl()
    try:
        kernel.follow(bridges, tunnels)
        kernel.read()
        found = set(_found(kernel, record, past, now))
        if not segments:
            found |= set(our_routes(rtnl, now))
        batch = Batch(kernel, record, past, Ways(), {}, {}, set())
        for entry in found:
            if not (shared and isinstance(entry, RemoteMac)):
                batch.delete(entry)
        batch.commit()
    finally:
        rtnl.close()
        kernel.close()
    if found:
        log.info("%d entries of segments that are gone are taken out", len(found))


def _found(
    kernel: KernelSocket, record: FloodRecord, past: Places, now: Places
) -> Iterator[KernelEntry]:
    for fact in kernel.known():
        if now.vnis(fact):
            continue
        for vni in past.vnis(fact)[:1]:
            if entry := ours(fact, vni, record):
                yield entry


def _is(ifindex: int, name: str) -> bool:
    """The device is the one that it was, and no other that got its number."""
    with contextlib.suppress(OSError):
        return socket.if_indextoname(ifindex) == name
    return False
