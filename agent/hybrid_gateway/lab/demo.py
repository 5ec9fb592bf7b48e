# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: a lab, the real gw-agent, real traffic through every feature, and a table of it."""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from ..errors import GwError
from . import leftovers
from .gateway import GatewayProcess
from .network import Lab
from .scenes import SCENES
from .services import servers
from .sniff import LeakWatch
from .stage import Row, Stage
from .table import Table
from .topology import INTERNET, LAN

NAME = "demo"


def main() -> int:
    """0 when everything went as it should; the lab is gone in either case unless kept."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--name", default=NAME, help="name of the lab (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the lab standing")
    arguments = parser.parse_args()
    try:
        return _run(Lab(arguments.name), arguments.keep)
    except GwError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _run(lab: Lab, keep: bool) -> int:
    with ExitStack() as stack:
        leftovers.remove(lab)
        if not keep:
            stack.callback(leftovers.remove, lab)
        lab.up()
        gateway = GatewayProcess(lab)
        gateway.start()
        print(
            f"lab {lab.name!r}: a LAN with two hosts, the gateway, the Internet; gw-agent forwards "
            f"{gateway.ready_after * 1000:.0f} ms after its start, with {lab.config}\n"
        )
        away = [f"{address}:80" for address in INTERNET]
        echo = [f"{address}:7" for address in INTERNET]
        stack.enter_context(servers(lab, "wan", http=away, udp=echo))
        stack.enter_context(servers(lab, "lan", http=[f"{LAN.ip}:80"]))
        watch = LeakWatch(lab)
        stack.callback(watch.close)
        failed = _perform(Stage(lab, gateway, watch))
    if keep:
        print(f"\nThe lab stands: gwctl lab exec --name {lab.name} lan -- ping {INTERNET[0]}")
    return 1 if failed else 0


def _perform(stage: Stage) -> int:
    """Play every scene and print its row; how many failed."""
    table = Table(
        (("", 5), ("FEATURE", 20), ("WHAT WAS SENT", 32), ("WHAT CAME OF IT", 34), ("COUNTED", 34))
    )
    print(table.head())
    failed, began = 0, time.monotonic()
    for scene in SCENES:
        row = _play(stage, scene)
        failed += not row.passed
        verdict = "ok" if row.passed else "FAIL"
        print(table.row((verdict, row.feature, row.sent, row.seen, row.evidence)), flush=True)
    print(
        f"\n{len(SCENES) - failed} of {len(SCENES)} passed in {time.monotonic() - began:.1f} s. "
        f"Of {stage.frames} frames that left the gateway, each was looked at for an inside source "
        "address and wrong checksums. FORWARD counts frames that XDP translated and sent by "
        "itself, PUNT_ those it left to the kernel, DROP_ those it dropped."
    )
    return failed


def _play(stage: Stage, scene: Callable[[Stage], Row]) -> Row:
    """The scene's row; it fails, too, when a frame left that must not have."""
    try:
        row = scene(stage)
    except (GwError, OSError) as error:
        row = Row(scene.__name__, "", f"{type(error).__name__}: {error}", {}, False)
    stage.look()
    if not stage.faults:
        return row
    faults = "; ".join([row.seen, f"{len(stage.faults)} faulty frames", *stage.faults[:3]])
    stage.faults.clear()
    return replace(row, seen=faults, passed=False)


if __name__ == "__main__":
    sys.exit(main())
