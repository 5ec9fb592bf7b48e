# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: arguments, lock, signals, systemd, and the loop around engine and API."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from .. import __version__
from ..api import Server
from ..api.methods import Agent as Asked
from ..errors import GwError
from ..instance import DEFAULT_CONFIG, Instance, from_environment, object_dir
from ..notify import notify
from .calls import Agent, tell
from .engine import Engine
from .follower import Follower
from .lock import locked
from .saver import Saver
from .worker import WorkerFollower

log = logging.getLogger("gw-agent")


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
