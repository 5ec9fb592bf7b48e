# SPDX-License-Identifier: GPL-2.0-or-later
"""gw-handback: gives back what the worker had, by the record alone.

systemd runs it when the worker has ended, however that was, when the agent has, and the package
when it is removed. An agent that lives decides itself whether the worker gets its ports again, so
then it does nothing; and fast, for systemd starts the next worker only after it. That is why what
gives back is imported late.
"""

import argparse
import logging
import socket
import sys
from pathlib import Path

from ..errors import GwError
from ..instance import Instance, from_environment

SOCKET_SECONDS = 2.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gw-handback",
        description="Give the kernel back the ports and the memory that the worker had.",
    )
    parser.add_argument("--instance", help='name of the instance (default: $GW_INSTANCE or "main")')
    parser.add_argument(
        "--force", action="store_true", help="also while the agent or the worker runs"
    )
    parser.add_argument(
        "--if-unserved",
        action="store_true",
        help="nothing is wrong with a worker that has the ports: it keeps them",
    )
    return parser.parse_args()


def listens(path: Path) -> bool:
    """Whether somebody has the socket open, be it that he is too busy to answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(SOCKET_SECONDS)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


def has_ports(path: Path) -> bool:
    """Whether a worker listens that was started, or does not say; another one has nothing yet, and
    will not be told to take anything while no agent lives."""
    if not listens(path):
        return False
    from ..errors import WorkerAbsentError
    from ..worker_client import WorkerClient

    with WorkerClient(path) as client:
        try:
            return client.status().started
        except WorkerAbsentError:
            return False
        except GwError:
            return True


def hand_back(instance: Instance) -> list[str]:
    """Everything of one instance; a line for each thing that could not be given back."""
    from . import heard
    from .handover import Handover
    from .hugepages import Hugepages

    handover = Handover(instance.taken_file)
    problems = []
    try:
        heard.sweep()
    except GwError as error:
        problems.append(f"TAPs of bridges: {error}")
    for port in handover.recorded():
        try:
            handover.give_back(port)
        except GwError as error:
            problems.append(f"port {port}: {error}")
    try:
        Hugepages(instance.taken_file).release()
    except GwError as error:
        problems.append(f"hugepages: {error}")
    return problems


def main() -> int:
    """Exits 0 when nothing is left to give back, or that is the agent's business; else 1."""
    options = arguments()
    logging.basicConfig(format="gw-handback: %(message)s", stream=sys.stderr)
    try:
        instance = from_environment(options.instance)
        if not options.force and listens(instance.socket):
            return 0
        if not instance.taken_file.exists():
            return 0
        if not options.force and has_ports(instance.worker_socket):
            if options.if_unserved:
                return 0
            raise GwError("the worker runs, and has the ports: stop it first", code="worker.runs")
        problems = hand_back(instance)
    except GwError as error:
        print(f"gw-handback: {error} [{error.code}]", file=sys.stderr)
        if error.code == "device.record":
            tell_leftovers(instance.taken_file)
        return error.exit_code
    for problem in problems:
        print(f"gw-handback: {problem}", file=sys.stderr)
    return 1 if problems else 0


def tell_leftovers(record: Path) -> None:
    """What there is to be seen is all that can be said without a record, and how it is undone."""
    from .handover import Handover

    for line in Handover(record).leftovers():
        print(f"gw-handback: {line}", file=sys.stderr)
    print(
        f"gw-handback: put back what is the gateway's, then remove {record}; or restart the "
        "machine, which does both",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
