# SPDX-License-Identifier: GPL-2.0-or-later
"""The real gw-agent in a namespace, asked through gwctl as its owner would."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

from tests.bench.path import PORTS, ROOT, inside_netns, run

NAT44 = """\
version: 1
ports:
  lan0: {{device: lan0, plane: xdp}}
  wan0: {{device: wan0, plane: xdp}}
nat44:
  inside: [lan0]
  outside: wan0
  addresses: [interface]
  sessions: {sessions}
  ports: {low}-{high}
  timeouts: {{port-rest: 0}}
"""
READY_SECONDS = 20.0
STOP_SECONDS = 20.0
LOG_END = 4000


def nat44(sessions: int) -> str:
    """The configuration of the group nat44."""
    return NAT44.format(sessions=sessions, low=PORTS[0], high=PORTS[1])


class Gateway:
    """Forwards between entering and leaving the context, and leaves nothing behind."""

    def __init__(self, netns: str, config: str) -> None:
        """The instance is called as the namespace."""
        self.instance = netns
        self._netns = netns
        self._config = config
        # Not in the checkout, whose path may be too long for a socket.
        self._files = Path(mkdtemp(prefix="gwbench-"))
        self.start_seconds = 0.0  # from exec to READY=1, from which on it forwards

    def __enter__(self) -> Self:
        config = self._files / "gateway.yaml"
        config.write_text(self._config)
        notify = self._files / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(notify))
            try:
                began = time.monotonic()
                self._process = self._spawn(config, notify)
                self._await_ready(listener)
                self.start_seconds = time.monotonic() - began
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.gwctl("detach")
        finally:
            self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def command(self, *words: str) -> list[str]:
        return [str(ROOT / "build/bin/gwctl"), "--instance", self.instance, *words]

    def gwctl(self, *words: str) -> str:
        try:
            return run(self.command(*words))
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self._log_end()}") from None

    def clear(self) -> None:
        self.gwctl("clear", "sessions")

    def counters(self) -> dict[str, int]:
        """Of both ports, since they were attached."""
        answer: Any = json.loads(self.gwctl("--json", "show", "counters"))
        counters: Counter[str] = Counter()
        for port in answer["ports"]:
            counters.update({name: int(value) for name, value in port["counters"].items()})
        return counters

    def _spawn(self, config: Path, notify: Path) -> subprocess.Popen[bytes]:
        argv = [str(ROOT / "build/bin/gw-agent"), "--instance", self.instance]
        with (self._files / "agent.log").open("wb") as log:
            return subprocess.Popen(
                inside_netns(self._netns, [*argv, "--config", str(config)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": str(notify)},
            )

    def _await_ready(self, listener: socket.socket) -> None:
        deadline = time.monotonic() + READY_SECONDS
        end = os.pidfd_open(self._process.pid)
        try:
            while (left := deadline - time.monotonic()) > 0:
                ready, _, _ = select.select([listener.fileno(), end], [], [], left)
                if listener.fileno() in ready and b"READY=1" in listener.recv(4096).split(b"\n"):
                    return
                if end in ready:
                    break
        finally:
            os.close(end)
        raise RuntimeError(f"gw-agent is not ready:\n{self._log_end()}")

    def log(self) -> str:
        """What the agent has said so far."""
        return (self._files / "agent.log").read_text(errors="replace")

    def _log_end(self) -> str:
        return self.log()[-LOG_END:]

    def _stop(self) -> None:
        shutil.rmtree(self._files)
        process = getattr(self, "_process", None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
