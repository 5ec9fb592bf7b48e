# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to the gateway while traffic flows."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..namespaces import LabError
from ..services import Datagrams
from ..stage import SEGMENT, SERVER, SETTLE_SECONDS, STRANGER, Row, Stage, same_blob
from ..topology import CABLES, WAN

SIZE, RATE = 12_000_000, 4_000_000
"""Bytes of the download, and bytes a second."""
DATAGRAMS = 500
"""Sent, and answered, a second."""
MANY_SESSIONS = 200_000


@dataclass
class Flows:
    """A download of `lan` and a stream of datagrams of `lan2`."""

    stage: Stage
    got: bytes = b""
    sent: int = 0
    lost: int = 0
    seen: str = ""
    """By the echo: the endpoints that the datagrams came from."""

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """During the block and, after it, to the end of the download."""
        url = f"http://{SERVER}/blob/{SIZE}?rate={RATE}"
        with ExitStack() as stack:
            datagrams = Datagrams(self.stage.lab, "lan2", STRANGER, DATAGRAMS)
            stack.callback(datagrams.close)
            curl = stack.enter_context(self.stage.curl_started("lan", url))
            stack.callback(curl.kill)
            assert curl.stdout is not None
            self.got = curl.stdout.read(SIZE // 8)
            yield
            self.got += curl.stdout.read()
            told = datagrams.end()
        self.sent, self.lost, self.seen = told.sent, len(told.lost), ", ".join(told.seen)

    @property
    def right(self) -> bool:
        """Of the download, and that the datagrams kept one outside endpoint."""
        one = self.seen.startswith(f"{WAN.ip}:") and "," not in self.seen
        return one and same_blob(self.got, SIZE)

    def __str__(self) -> str:
        download = "right" if same_blob(self.got, SIZE) else "WRONG"
        return f"SHA-256 {download}; {self.lost} of {self.sent} datagrams lost"


def agent_killed(stage: Stage) -> Row:
    flows = Flows(stage)
    before = stage.counters()
    with flows.flowing():
        stage.gateway.kill()
        assert not stage.gateway.running
        stage.gateway.start()
    moved = stage.moved(before)
    return Row(
        "gw-agent killed (SIGKILL)",
        f"during a download of {SIZE // 1_000_000} MB and {DATAGRAMS} datagrams a second; started "
        "again before its end",
        f"{flows}; forwards again {stage.gateway.ready_after * 1000:.0f} ms after its start",
        moved,
        flows.right and not flows.lost and moved.get("FORWARD", 0) > SIZE / SEGMENT,
    )


def another_size(stage: Stage) -> Row:
    flows = Flows(stage)
    before = stage.counters()
    with flows.flowing():
        begun = time.monotonic()
        with stage.configured(f"sessions: {MANY_SESSIONS}"):
            took = time.monotonic() - begun
            status = stage.call("status")
    moved = stage.moved(before)
    return Row(
        "Session table of another size",
        f"likewise, and `sessions: {MANY_SESSIONS}` applied and taken back before its end",
        f"{flows}; applied in {took * 1000:.0f} ms: {_note(status['warnings'], 'carried over')}",
        moved,
        flows.right and not flows.lost and status["sessions"]["limit"] == MANY_SESSIONS,
    )


def _note(warnings: list[str], wanted: str) -> str:
    return next((text for text in warnings if wanted in text), f"nothing {wanted}")


def reboot(stage: Stage) -> Row:
    flows = Flows(stage)
    with stage.configured("persist: true"):
        with flows.flowing():
            begun = time.monotonic()
            _switch_off(stage)
            # The agent comes before the network, as it does at boot: the kernel would answer
            # what comes for a connection that it does not know.
            stage.gateway.start()
            stage.lab.up()
            dark = time.monotonic() - begun
            before: dict[str, int] = {}
            note = _note(stage.call("status")["warnings"], "restored")
        moved = stage.moved(before)
    return Row(
        "Reboot, with `persist: true`",
        "likewise; the agent, its programs and tables, nftables' rules, links and routes end; the "
        "agent comes back, then they",
        f"SHA-256 {'right' if same_blob(flows.got, SIZE) else 'WRONG'}, after {dark:.1f} s of "
        f"darkness; {note}; the datagrams come from {flows.seen}, before and after",
        moved,
        flows.right and flows.lost > 0 and moved.get("FORWARD", 0) > SIZE / SEGMENT / 2,
    )


def _switch_off(stage: Stage) -> None:
    """Take away what a reboot takes away; files stay. Nothing passes any more."""
    for near, _ in CABLES:
        stage.lab.run("gw", ["ip", "link", "set", near.device, "down"])
    stage.gateway.stop()
    stage.lab.run("gw", ["nft", "flush", "ruleset"])
    shutil.rmtree(stage.instance.pin_dir)
    for near, _ in CABLES:
        stage.lab.run("gw", ["tc", "qdisc", "delete", "dev", near.device, "clsact"], check=False)
    # The kernel detaches a program a moment after its last pin is gone.
    deadline = time.monotonic() + SETTLE_SECONDS
    while " xdp" in stage.lab.run("gw", ["ip", "link"]):
        if time.monotonic() > deadline:
            raise LabError("programs are attached although nothing is pinned")


def guard(stage: Stage) -> Row:
    """Packets with options are the kernel's: without its table they would leave as they are."""
    usual = stage.ping("lan", SERVER, 2, "-R")
    before = stage.counters()
    stage.gateway.send_signal(signal.SIGSTOP)  # it would be too fast
    try:
        stage.lab.run("gw", ["nft", "flush", "ruleset"])
        answers = stage.ping("lan", STRANGER, 2, "-R", in_vain=True)
    finally:
        stage.gateway.send_signal(signal.SIGCONT)
    moved = stage.moved(before)
    mended = _answered_again(stage)
    return Row(
        "Guard",
        "pings with IPv4 options; again after `nft flush ruleset`, with the agent stopped; again "
        "when it runs",
        f"{usual} of 2 and {answers} of 2 answers, no inside address left; then "
        f"{'the agent mended it' if mended else 'NOTHING'}",
        moved,
        usual == 2 and not answers and mended and moved.get("DROP_GUARD") == 2,
    )


def _answered_again(stage: Stage) -> bool:
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        if stage.ping("lan", SERVER, 1, "-R"):
            return True
    return False
