# SPDX-License-Identifier: GPL-2.0-or-later
"""A speaker that ends while its daemon hangs, and what it says of its daemon."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_gateway.evpn.speaker import EvpnSpeaker
from hybrid_gateway.evpn.wanted import EvpnWanted
from hybrid_gateway.lab import namespaces
from tests.lib.gateway import eventually

from .bgp import Speaker


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Speaker]:
    """A gobgpd without neighbours."""
    one = Speaker("ends", 1, tmp_path)
    with ExitStack() as stack:
        stack.callback(namespaces.delete, one.namespace)
        namespaces.add(one.namespace)
        stack.callback(one.end)
        one.start()
        assert one.process
        stack.callback(one.process.send_signal, signal.SIGCONT)
        yield one


def connections(daemon: Speaker) -> int:
    """To its socket; also those that it has not accepted."""
    with namespaces.entered(daemon.namespace):
        lines = Path("/proc/thread-self/net/unix").read_text().splitlines()
    return sum(line.endswith(f" {daemon.socket}") for line in lines)


def test_nothing_goes_on_when_the_daemon_hangs(daemon: Speaker) -> None:
    """Lest what was to end its sessions end those of the speaker that follows."""
    assert daemon.process
    daemon.process.send_signal(signal.SIGSTOP)
    before, open_before = set(threading.enumerate()), connections(daemon)
    with namespaces.entered(daemon.namespace):
        speaker = EvpnSpeaker(f"unix://{daemon.socket}")
        speaker.follow(EvpnWanted(daemon.section()))
        speaker.start()
    eventually(lambda: connections(daemon) > open_before, "it is asked")

    speaker.stop(remove=True)

    left = {one.name for one in set(threading.enumerate()) - before}
    assert not left
