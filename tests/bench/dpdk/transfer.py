# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP to the gateway itself: by a port, its TAP and the exception thread."""

import json
import subprocess
from contextlib import ExitStack
from statistics import median

from tests.bench.dpdk.boxes import Bench, box
from tests.bench.group import LIMIT
from tests.bench.measure import TRIES, MeasurementError, Note
from tests.bench.path import inside_netns, run
from tests.bench.report import Figure, progress

GATEWAY, HOST = "198.51.100.1", "198.51.100.10"
SECONDS, ROUNDS = 2, 5
TIMEOUT_SECONDS = 30
LIMIT_GBITS = 1.0


def measure(note: Note) -> list[Figure]:
    """Towards the gateway; the other way is told beside."""
    with box("tcp") as bench, ExitStack() as stack:
        cable = bench.port("p0", f"{GATEWAY}/24")
        run(["ip", "-n", bench.far, "address", "add", f"{HOST}/24", "dev", "p0"])
        # An af_packet port hands frames on as the socket has them: whole, with checksums.
        for netns, device in ((bench.far, "p0"), (bench.gw, cable.wire)):
            offloads = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"]
            run(inside_netns(netns, ["ethtool", "-K", device, *offloads]))
        server = subprocess.Popen(
            inside_netns(bench.gw, ["iperf3", "--server", "--bind", GATEWAY]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, server)
        run(inside_netns(bench.far, ["ping", "-q", "-c", "1", "-W", "2", GATEWAY]))
        there = [_gbits(bench, number) for number in range(ROUNDS)]
        back = _gbits(bench, ROUNDS, "--reverse")
    note(f"dpdk.tcp: {median(there):.2f} Gb/s to the gateway, {back:.2f} Gb/s from it")
    return [Figure("dpdk.tcp", median(there), "Gb/s", LIMIT, LIMIT_GBITS, better="higher")]


def _gbits(bench: Bench, number: int, *options: str) -> float:
    progress(f"dpdk.tcp: {number + 1} of {ROUNDS + 1}")
    argv = ["iperf3", "--client", GATEWAY, "--time", str(SECONDS), "--json", *options]
    for _ in range(TRIES):
        # With --json it exits with 0 or 1 as it likes, and says in the answer what went wrong.
        done = subprocess.run(
            inside_netns(bench.far, argv), capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        answer = json.loads(done.stdout or "{}")
        if received := answer.get("end", {}).get("sum_received"):
            return float(received["bits_per_second"]) / 1e9
    raise MeasurementError(f"dpdk.tcp: {answer.get('error', done.stderr)}")


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()
