# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: arguments, lock, signals, systemd, and the loop around engine and API."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from .. import __version__
from ..api import Server
from ..api.methods import Agent as Asked
from ..errors import GwError, UsageError
from ..instance import DEFAULT_CONFIG, Instance, from_environment, object_dir
from ..notify import notify
from ..worker_link import ATTEMPTS
from ..worker_view import Caller, NoWorkerError
from . import filters, listing, stations, views, vxlan, worker_views
from .engine import Engine, Prepared
from .follower import Follower
from .lock import locked
from .saver import Saver
from .trace import trace
from .worker import WorkerFollower

log = logging.getLogger("gw-agent")

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


async def serve(instance: Instance, config: Path) -> None:
    """From start to SIGTERM; forwarding begins in here and does not end with it."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    engine = Engine(instance, config, object_dir())
    try:
        # Events from before the first look make the second one; none is missed in between.
        follower, saver = Follower(engine, loop), Saver(engine, loop)
        worker = WorkerFollower(engine, loop, follower.attempt)
        try:
            with contextlib.ExitStack() as unless_started:
                unless_started.callback(abandon, instance)
                engine.start()
                unless_started.pop_all()
            asked: Asked = Agent(engine, done)
            server = Server(asked, instance.socket)
            await server.start()
            try:
                follower.start()
                worker.start()
                saver.start()
                loop.add_signal_handler(signal.SIGHUP, follower.attempt, lambda: reload(engine))
                notify("READY=1", f"MAINPID={os.getpid()}")
                tell(engine)
                await done.wait()
                notify("STOPPING=1")
            finally:
                await server.stop()
                await saver.stop()
        finally:
            worker.stop()
            follower.stop()
    finally:
        engine.close()


def abandon(instance: Instance) -> None:
    """An agent that cannot start, for its configuration is broken perhaps, will ask no worker for
    anything: what a worker has it keeps, and what nobody serves is the kernel's again."""
    if not instance.taken_file.exists():
        return
    from ..devices.handback import hand_back, has_ports

    if has_ports(instance.worker_socket):
        log.warning("the worker goes on with the ports that it has")
        return
    log.warning("no worker serves its ports: the kernel gets them back")
    try:
        problems = hand_back(instance)
    except GwError as error:
        problems = [str(error)]
    for problem in problems:
        log.error("%s", problem)


def detach(instance: Instance, config: Path) -> None:
    """Without a socket: for a gateway whose agent cannot run any more; under its locks."""
    instance.socket.unlink(missing_ok=True)  # of an agent that was killed
    engine = Engine(instance, config, object_dir())
    try:
        for step in engine.detach():
            print(f"{step.kind.value} {step.subject}: {step.text}")
    finally:
        engine.close()


def reload(engine: Engine) -> None:
    """SIGHUP: the configuration file may have changed."""
    try:
        engine.apply(None)
    except GwError as error:
        log.error("%s", error)
    tell(engine)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gw-agent", description="Run the gateway of one instance until SIGTERM."
    )
    parser.add_argument("--instance", help='name of the instance (default: $GW_INSTANCE or "main")')
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    parser.add_argument(
        "--detach", action="store_true", help="remove what an earlier agent left, and end"
    )
    parser.add_argument("--verbose", action="store_true", help="log every step")
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args()


def main() -> int:
    """Exits 0 after SIGTERM, 1 when it failed, 2 for wrong arguments or configuration."""
    options = arguments()
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="gw-agent: %(message)s",
        stream=sys.stderr,
    )
    try:
        instance = from_environment(options.instance)
        with locked(instance):
            if options.detach:
                detach(instance, options.config.absolute())
            else:
                asyncio.run(serve(instance, options.config.absolute()))
    except GwError as error:
        print(f"gw-agent: {error} [{error.code}]", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"gw-agent: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        # A fault of ours. systemd's journal gets one line, and whoever looks for it the rest.
        log.info("unexpected", exc_info=error)
        more = "" if options.verbose else "; --verbose shows more"
        print(f"gw-agent: unexpected {type(error).__name__}: {error}{more}", file=sys.stderr)
        return 1
    return 0
