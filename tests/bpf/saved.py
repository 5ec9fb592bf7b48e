# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions as gw_saved records: out of the maps and in again, 512 at a time."""

import time
from typing import Any

from _gw_native import ffi, lib

from hybrid_gateway import abi

from .plane import Plane

NS = 1_000_000_000
RESULTS = abi.names("gw_saved_result", "GW_SAVED_")


def _saved(session: Any, now: int) -> Any:
    permit = session.flags & lib.GW_SESSION_PERMIT
    holds = lib.GW_SAVED_MAPPING if session.slot != lib.GW_NO_SLOT else 0
    holds |= lib.GW_SAVED_PEER if session.peer != lib.GW_NO_SLOT else 0
    return abi.new(
        "gw_saved",
        traffic=session.traffic,
        left=max(0, session.deadline - now),
        arrives=session.arrives,
        leaves=session.leaves,
        age=(now // NS - session.created) % 2**32,
        protocol=session.protocol,
        flags=session.flags,
        tcp_state=session.tcp_state,
        fins=session.fins,
        holds=holds | (permit and lib.GW_SAVED_PERMIT),
    )


def exported(plane: Plane) -> list[Any]:
    """Every session that is alive, in the order of the records."""
    records, now = plane.dataplane.table("gw_records"), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    found = (records.get(session.index) for session in plane.sessions())
    return [_saved(record.session, now) for record in found if record is not None]


def imported(plane: Plane, saved: list[Any]) -> list[str]:
    """What became of each, by the names of enum gw_saved_result."""
    batch, count = plane.dataplane.table("gw_saved_batch"), plane.dataplane.table("gw_batch")
    results: list[str] = []
    for start in range(0, len(saved), lib.GW_BATCH_MAX):
        part = saved[start : start + lib.GW_BATCH_MAX]
        for i, record in enumerate(part):
            batch.set(i, record)
        count.set(0, abi.new("gw_batch", count=len(part)))
        plane.dataplane._run("gw_import")
        names = [RESULTS[_at(batch, i).result] for i in range(len(part))]
        assert _at(count, 0).done == names.count("DONE")
        results += names
    return results


def _at(table: Any, index: int) -> Any:
    found = table.get(index)
    assert found is not None
    return found


def copy(saved: Any, **changes: Any) -> Any:
    """The record but for these fields; `arrives__sport` is a field of a field."""
    changed = ffi.new("struct gw_saved *", saved[0])
    for name, value in changes.items():
        *path, last = name.split("__")
        target = changed
        for step in path:
            target = getattr(target, step)
        setattr(target, last, value)
    return changed
