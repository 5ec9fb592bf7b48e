# SPDX-License-Identifier: GPL-2.0-or-later
"""The real gw-worker in a namespace, told by its own client; the kernel there is its owner's."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from hybrid_gateway.errors import WorkerError
from hybrid_gateway.instance import Instance
from hybrid_gateway.worker_client import WorkerClient, WorkerOptions, WorkerPort
from tests.bench.measure import MeasurementError
from tests.bench.path import ROOT, inside_netns, run

READY_SECONDS, STOP_SECONDS = 10.0, 20.0
SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_END = 2000


class Worker:
    """Started between entering and leaving the context, and leaves nothing behind."""

    def __init__(self, netns: str, options: WorkerOptions) -> None:
        self._netns = netns
        self._options = options
        self._instance = Instance(netns)
        self._files = Path(tempfile.mkdtemp(prefix="gwbench-"))
        self.client = WorkerClient(self._instance.worker_socket)

    def __enter__(self) -> Self:
        try:
            self._spawn()
            self._await_socket()
            self.client.start(self._options)
        except WorkerError as error:
            self._stop()
            raise MeasurementError(f"gw-worker: {error}{self._log_end()}") from error
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def add_port(self, name: str, device: str, **choices: object) -> None:
        try:
            self.client.add_port(WorkerPort(name, name, device, **choices))  # type: ignore[arg-type]
        except WorkerError as error:
            raise MeasurementError(f"{name}: {error}{self._log_end()}") from error

    def counters(self, port: str) -> Mapping[str, int]:
        """Of frames that came in by it."""
        return self.client.counters().ports[port]

    def _spawn(self) -> None:
        argv = [str(ROOT / "build/bin/gw-worker"), "--instance", self._instance.name]
        with (self._files / "worker.log").open("wb") as log:
            self._process = subprocess.Popen(
                inside_netns(self._netns, argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _await_socket(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._instance.worker_socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MeasurementError(f"gw-worker does not start{self._log_end()}")
            time.sleep(POLL_SECONDS)

    def _log_end(self) -> str:
        log = self._files / "worker.log"
        said = log.read_text(errors="replace")[-LOG_END:] if log.exists() else ""
        return f"\n{said}" if said else ""

    def _stop(self) -> None:
        self.client.close()
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._files)
        shutil.rmtree(self._instance.run_dir, ignore_errors=True)


def await_routes(client: WorkerClient, family: int, routes: int) -> None:
    """Until as many as that are in the table, at least, and nothing waits."""
    deadline = time.monotonic() + SETTLE_SECONDS
    found = 0
    while time.monotonic() < deadline:
        mirror = client.status().mirror
        assert mirror
        found = mirror.routes4 if family == 4 else mirror.routes6
        if mirror.problem:
            raise MeasurementError(f"the mirror: {mirror.problem}")
        if found >= routes and mirror.synchronised:
            return
        time.sleep(POLL_SECONDS)
    raise MeasurementError(f"{found} of {routes} routes are in the worker's table")


def make_netns(netns: str, settings: Sequence[str] = ()) -> None:
    """That forwards, and says nothing by itself."""
    run(["ip", "netns", "add", netns])
    run(["ip", "-n", netns, "link", "set", "lo", "up"])
    for where in ("all", "default"):
        values = (
            f"net.ipv6.conf.{where}.router_solicitations=0",
            f"net.ipv6.conf.{where}.accept_dad=0",
            f"net.ipv6.conf.{where}.forwarding=1",
            f"net.ipv4.conf.{where}.rp_filter=0",
        )
        run(inside_netns(netns, ["sysctl", "-qw", *values]))
    run(inside_netns(netns, ["sysctl", "-qw", "net.ipv4.ip_forward=1", *settings]))


def remove_netns(netns: str) -> None:
    subprocess.run(["ip", "netns", "del", netns], capture_output=True, check=False)


def make_tap(netns: str, name: str, mac: str = "") -> None:
    """Persistent, as the agent makes it; up as soon as the worker opens it."""
    run(["ip", "-n", netns, "tuntap", "add", "dev", name, "mode", "tap"])
    if mac:
        run(["ip", "-n", netns, "link", "set", name, "address", mac])
    run(["ip", "-n", netns, "link", "set", name, "up"])


def unique(label: str) -> str:
    """A namespace's name, and an instance's."""
    return f"gwbench{os.getpid()}-{label}"
