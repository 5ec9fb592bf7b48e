# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: arguments, lock, signals, systemd, and the loop around the service."""

import argparse
import asyncio
import logging
import os
import signal
import sys

from .. import __version__
from ..access import ROOT_ONLY
from ..api import Server
from ..errors import GwError
from ..instance import Instance, from_environment
from ..lock import Lock
from ..notify import notify
from ..worker_values import ENDED
from .service import METHODS, Service

log = logging.getLogger("gw-worker")


async def serve(instance: Instance) -> bool:
    """From start to SIGTERM or `stop`; False when the data path could not start."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    service = Service(done.set)
    server = Server(service, instance.worker_socket, METHODS, ROOT_ONLY)
    await server.start()
    try:
        notify("READY=1", f"MAINPID={os.getpid()}")
        await done.wait()
        notify("STOPPING=1")
    finally:
        # Connections last: who sees one end may have the devices.
        await service.end()
        await server.stop(farewell=None if service.failed else ENDED)
        # The loop gives the signals back their defaults, and a second one would end us as a crash.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    return not service.failed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gw-worker",
        description="Run the DPDK data path of one instance, as its agent asks, until SIGTERM.",
    )
    parser.add_argument("--instance", help='name of the instance (default: $GW_INSTANCE or "main")')
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args()


def main() -> int:
    """Exits 0 after SIGTERM or `stop`, 1 when it failed, 2 for wrong arguments."""
    options = arguments()
    logging.basicConfig(level=logging.WARNING, format="gw-worker: %(message)s", stream=sys.stderr)
    try:
        instance = from_environment(options.instance)
        complaint = "another worker of this instance runs: process {}"
        lock = Lock(instance.worker_lock, str(os.getpid()), complaint, "worker.running")
        try:
            return 0 if asyncio.run(serve(instance)) else 1
        finally:
            lock.release()
    except GwError as error:
        print(f"gw-worker: {error} [{error.code}]", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"gw-worker: {error}", file=sys.stderr)
        return 1
