# SPDX-License-Identifier: GPL-2.0-or-later
"""What the API calls: each method asks the engine, and makes an answer of what it says."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from ..errors import UsageError
from ..notify import notify
from ..worker_link import ATTEMPTS
from ..worker_view import Caller, NoWorkerError
from . import evpn_views, filters, listing, stations, views, vxlan, worker_views
from .engine import Engine, Prepared
from .trace import trace

CHECK_PATIENCE, APPLY_PATIENCE = 3.0, 15.0
"""Seconds: a slow machine takes some to start a worker again that ended a moment ago."""
AGAIN_SECONDS = 0.3


class Agent:
    """What the API calls; the methods are those of its Protocol."""

    def __init__(self, engine: Engine, done: asyncio.Event) -> None:
        self._engine = engine
        self._done = done

    def status(self) -> Any:
        return views.status(self._engine)

    async def check(self, config: str | None, sessions: list[str]) -> Any:
        asked = caller(sessions)
        prepared = await patient(lambda: self._engine.prepare(config, asked), CHECK_PATIENCE)
        return {
            "config": prepared.config.path,
            "warnings": [*views.notices(prepared.config), *prepared.wanted.warnings],
        }

    async def plan(self, config: str | None, sessions: list[str]) -> Any:
        return views.planned(self._engine.prepare(config, replace(caller(sessions), planning=True)))

    async def apply(self, config: str | None, sessions: list[str], force: bool) -> Any:
        asked = replace(caller(sessions), force=force, attempts=ATTEMPTS)
        done = await patient(lambda: self._engine.apply(config, asked), APPLY_PATIENCE)
        answer = views.planned(done)
        answer["warnings"] = views.warnings(self._engine)
        tell(self._engine)
        return answer

    def detach(self) -> Any:
        steps = self._engine.detach()
        tell(self._engine)
        return {"steps": views.steps(steps)}

    def show_ports(self) -> Any:
        status = worker_views.current(self._engine)
        return {"ports": views.ports(self._engine, status)}

    def show_nat(self) -> Any:
        return views.nat(self._engine)

    def show_sessions(
        self,
        cursor: int | str,
        limit: int,
        filter: dict[str, Any],
        sort: str | None,
        reverse: bool,
        count: bool,
    ) -> Any:
        if count:
            return listing.session_count(self._engine, filter)
        return listing.sessions(self._engine, cursor, limit, filter, sort, reverse)

    def show_mappings(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return listing.mappings(self._engine, cursor, limit, filter)

    def show_vxlan(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return vxlan.segments(self._engine, cursor, limit, filter)

    def show_vteps(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return stations.vteps(self._engine, cursor, limit, filter)

    def show_fdb(self, cursor: int | str, limit: int, filter: dict[str, Any], count: bool) -> Any:
        if count:
            return stations.fdb_count(self._engine, filter)
        return stations.fdb(self._engine, cursor, limit, filter)

    def show_evpn(self) -> Any:
        return evpn_views.evpn(self._engine)

    def show_evpn_macs(
        self, cursor: int | str, limit: int, filter: dict[str, Any], count: bool
    ) -> Any:
        if count:
            return evpn_views.macs_count(self._engine, filter)
        return evpn_views.macs(self._engine, cursor, limit, filter)

    def show_evpn_vteps(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return evpn_views.vteps(self._engine, cursor, limit, filter)

    def show_evpn_prefixes(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return evpn_views.prefixes(self._engine, cursor, limit, filter)

    def show_log(self) -> Any:
        return views.log(self._engine)

    def show_counters(self) -> Any:
        return views.counters(self._engine)

    async def show_drivers(self) -> Any:
        """In a thread of its own: others are served meanwhile."""
        from . import drivers  # with pyelftools, which nothing else needs

        return await asyncio.to_thread(drivers.devices, self._engine.instance)

    def show_graph(self) -> Any:
        return worker_views.graph(self._engine)

    def nat_trace(self, packet: dict[str, Any]) -> Any:
        return trace(self._engine, packet)

    async def clear_sessions(self, filter: dict[str, Any]) -> Any:
        """All of them at once; chosen ones in batches, between which others are served."""
        asked = filters.session_filter(filter)
        if not self._engine.wanted.sizes:
            return {"cleared": 0}
        if not filter:
            return {"cleared": self._engine.dataplane.clear_sessions()}
        cleared = 0
        for ended in self._engine.dataplane.nat.remove(asked):
            cleared += ended
            self._engine.dataplane.after_slice()
            await asyncio.sleep(0)
        return {"cleared": cleared}

    def clear_evpn(self, filter: dict[str, Any]) -> Any:
        return evpn_views.clear(self._engine, filter)

    def clear_evpn_refused(self) -> Any:
        return evpn_views.clear_refused(self._engine)

    def shutdown(self, detach: bool) -> Any:
        """Ends the agent once this is answered; forwarding stays on unless detached, and so does
        the agent when that fails."""
        try:
            steps = self._engine.detach() if detach else ()
        finally:
            # Also when a device did not come back: gw-handback leaves that to an agent that runs.
            if not detach or self._engine.config is None:
                self._done.set()
        return {"steps": views.steps(steps)}


async def patient(action: Callable[[], Prepared], seconds: float) -> Prepared:
    """A worker that ended a moment ago is waited for, while others are served."""
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except NoWorkerError:
            if time.monotonic() >= end:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


def caller(sessions: list[str]) -> Caller:
    """UsageError for what is no address."""
    try:
        return Caller(sessions=tuple(ip_address(one) for one in sessions))
    except ValueError as error:
        raise UsageError(f"sessions: {error}") from error


def tell(engine: Engine) -> None:
    """One line for `systemctl status`."""
    worker = engine.wanted.worker
    names = [device.name for device in engine.wanted.devices if device.port]
    names += [port.name for port in worker.ports] if worker else []
    ports = ", ".join(names)
    notify(f"STATUS={engine.state}{': ' + ports if ports else ''}")
