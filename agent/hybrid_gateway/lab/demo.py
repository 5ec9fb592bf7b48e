# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: a lab, the real gw-agent, real traffic through every feature, and a table of it."""

import argparse
import sys
import textwrap
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import GwError
from . import leftovers, segment, sfp
from .extension import BEYOND, FAR, extended
from .gateway import GatewayProcess
from .network import Lab
from .scenes import SCENES, Scene
from .services import ECHO_PORT, servers
from .sniff import LeakWatch
from .stage import Row, Stage
from .table import Table
from .topology import INTERNET, LAN
from .worker import WorkerProcess

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
        for remove in (segment.remove, leftovers.remove):
            remove(lab)
        if not keep:
            stack.callback(leftovers.remove, lab)
            stack.callback(segment.remove, lab)
        lab.up()
        sfp.stand(lab)
        segment.stand(lab)
        segment.start(lab)
        worker = WorkerProcess(lab)
        worker.start()
        syslog = Path(stack.enter_context(TemporaryDirectory(prefix="gw-demo-"))) / "log"
        gateway = GatewayProcess(lab, env={"GW_SYSLOG": str(syslog)})
        gateway.start()
        print(
            f"lab {lab.name!r}: a LAN with two hosts, the gateway, the Internet, two hosts behind "
            "ports of the\nDPDK worker, and three sites joined by EVPN; gw-agent forwards "
            f"{gateway.ready_after * 1000:.0f} ms after its start, with\n{_short(lab.config)}\n"
        )
        wide = stack.enter_context(extended(lab, BEYOND))
        away = [f"{address}:80" for address in INTERNET]
        echo = [f"{address}:{ECHO_PORT}" for address in INTERNET]
        stack.enter_context(servers(lab, "wan", http=away, udp=echo))
        stack.enter_context(servers(lab, "lan", http=[f"{LAN.ip}:80"]))
        stack.enter_context(servers(wide, "far", http=[f"{FAR}:80"]))
        watch = LeakWatch(lab)
        stack.callback(watch.close)
        failed = _perform(Stage(wide, gateway, worker, watch, syslog))
    if keep:
        print(f"\nThe lab stands: gwctl lab exec --name {lab.name} lan -- ping {INTERNET[0]}")
    return 1 if failed else 0


def _short(path: Path) -> Path:
    """As somebody in this directory would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _perform(stage: Stage) -> int:
    """Play every scene and print its row; how many failed."""
    table = Table(
        (("", 4), ("FEATURE", 16), ("WHAT WAS SENT", 21), ("WHAT CAME OF IT", 28), ("COUNTED", 23))
    )
    print(table.head())
    failed, began = 0, time.monotonic()
    for scene in SCENES:
        row = _play(stage, scene)
        failed += not row.passed
        verdict = "ok" if row.passed else "FAIL"
        print(table.row((verdict, row.feature, row.sent, row.seen, row.evidence)), flush=True)
    summary = (
        f"{len(SCENES) - failed} of {len(SCENES)} passed in {time.monotonic() - began:.0f} s. "
        f"Each of {stage.frames} frames that left the gateway was looked at for an inside source "
        "address and wrong checksums. FORWARD counts frames that XDP translated and sent by "
        "itself, FORWARD_IP4, FORWARD_IP6 and FORWARD_BRIDGE those that the DPDK worker forwarded, "
        "PUNT_ those that were left to the kernel, DROP_ those dropped; `gwctl show counters` "
        "explains them all."
    )
    print("\n" + textwrap.fill(summary, table.width))
    return failed


def _play(stage: Stage, scene: Scene) -> Row:
    """The scene's row; it fails, too, when a frame left that must not have."""
    try:
        row = scene(stage)
    except (GwError, OSError) as error:
        row = Row(scene.__name__, "", f"{type(error).__name__}: {error}", {}, False)
    stage.look()
    if not stage.faults:
        return row
    faults = "; ".join([row.seen, f"faulty frames: {len(stage.faults)}", *stage.faults[:3]])
    stage.faults.clear()
    return replace(row, seen=faults, passed=False)


if __name__ == "__main__":
    sys.exit(main())
