# SPDX-License-Identifier: GPL-2.0-or-later
"""The EVPN speaker: a thread between the kernel and the BGP daemon.

What is decided is decided in `instance`; here it is only carried about. Forwarding goes by what
the kernel has, and that is not touched because the daemon is away, or because this ends.
"""

import contextlib
import logging
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..errors import GwError, KernelError
from ..model import EndOfState, Segment
from .daemon_link import DaemonLink
from .entries import (
    Binding,
    EntryRefused,
    FloodEntry,
    KernelEntry,
    PrefixEntry,
    RemoteMac,
)
from .instance import EvpnInstance
from .kernel import EvpnKernel
from .snapshot import macs as stations
from .snapshot import prefixes, refused, vnis, vteps
from .view import EvpnView, SpeakerState
from .wanted import EvpnWanted

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""Duplicates are released, and what the kernel did not answer is asked again, as often."""
STOP_SECONDS = 4.0
"""That the threads have to end."""
TOGETHER = 512
"""News that are taken at once, if there are so many, and a message of them more."""
ALERTS_MAX = 10
"""In the log at once: whoever wants to can make a duplicate of every station."""
ORDER = {FloodEntry: 0, RemoteMac: 1, Binding: 2, PrefixEntry: 3}
"""What is for all is written first, then stations, then what hangs on them."""


class EvpnSpeaker:
    """Any thread may call; no call waits for the daemon or the kernel, but for `stop`."""

    def __init__(self, target: str, record: Path | None = None) -> None:
        """`target`: where gobgpd listens, `unix:///run/gw/bgp.sock`; `record`: a file under /run in
        which it is kept what of the kernel's flood lists is ours."""
        self._record = record
        self._lock = threading.Lock()
        self._mind = EvpnInstance()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._link = DaemonLink(target, self._mind, self._lock, self._rouse)
        self._thread = threading.Thread(target=self._run, name="evpn", daemon=True)
        self._wanted: EvpnWanted | None = None
        self._changed = False
        self._stopping = False
        self._removing = False
        self._swept = False
        self._failures: Counter[int] = Counter()
        """Of the kernel, by errno."""
        self._unread = 0
        """Stations and neighbours of the kernel that there was no room for."""
        self._error = ""
        self._segments: list[Segment] | None = None
        """That the kernel's side was given last."""

    # ---- for the agent ------------------------------------------------------------------

    def start(self) -> None:
        """Threads of its own, in the network namespace of the caller."""
        self._thread.start()
        self._link.start()

    def follow(self, wanted: EvpnWanted | None) -> None:
        """From now on; None: there is nothing to announce, and nothing to have from others."""
        self._wanted = wanted
        self._changed = True
        self._rouse()

    def clear(self, vni: int | None = None, mac: bytes | None = None) -> int:
        """Releases duplicates, of one VNI or all, one MAC address or all; how many."""
        with self._lock:
            released = self._mind.clear(vni, mac)
        self._link.pardon()
        self._rouse()
        return released

    def forget_refused(self) -> int:
        """Counts what was refused from the beginning; how many kinds there were."""
        with self._lock:
            cleared = self._mind.refusals.clear() + len(self._failures)
            self._failures.clear()
        return cleared

    def stop(self, *, remove: bool = False) -> None:
        """The end. `remove`: entries of ours leave the kernel, and the daemon ends its sessions;
        without, both go on as they are, for the next one to find."""
        self._removing = remove
        self._stopping = True
        self._rouse()
        end = time.monotonic() + STOP_SECONDS
        self._link.stop(STOP_SECONDS, silence=remove)
        self._thread.join(max(0.1, end - time.monotonic()))
        # A thread that did not end in time may still rouse it.
        if self._wake >= 0 and not (self._thread.is_alive() or self._link.running):
            wake, self._wake = self._wake, -1
            os.close(wake)

    def view(self, macs: bool = False) -> EvpnView:
        """As it is now. Fifty thousand stations take a tenth of a second: ask for them if they
        are wanted."""
        with self._lock:
            return self._view(macs=macs)

    def _view(self, *, macs: bool) -> EvpnView:
        link, now = self._link, time.monotonic()
        running = self._thread.is_alive()
        return EvpnView(
            link.state if running else SpeakerState.STOPPED,
            now - link.since,
            self._error or link.error,
            link.peers,
            refused(self._mind, self._unread),
            self._failures.total(),
            vnis(self._mind),
            vteps(self._mind),
            stations(self._mind, now) if macs else (),
            prefixes(self._mind),
            tuple((os.strerror(number), count) for number, count in self._failures.items()),
        )

    # ---- the thread ---------------------------------------------------------------------

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._follow_kernel()
            except GwError as error:
                self._fail(error.message)
            except Exception as error:
                # Broadly: the thread would end, and stations would stay where they were for good.
                log.error("unexpected", exc_info=error)
                self._fail(f"unexpected {type(error).__name__}: {error}")
            if not self._stopping:
                time.sleep(TICK_SECONDS)

    def _note(self, message: str) -> None:
        if message and message != self._error:
            log.error("%s", message)
        self._error = message

    def _fail(self, message: str) -> None:
        self._note(message)
        with self._lock:
            self._mind.kernel_lost()
            self._changed, self._segments = True, None

    def _follow_kernel(self) -> None:
        kernel = EvpnKernel(self._record)
        try:
            with select.epoll() as poll:
                poll.register(kernel.fileno(), select.EPOLLIN)
                poll.register(self._wake, select.EPOLLIN)
                while not self._stopping:
                    ready = {fd for fd, _ in poll.poll(TICK_SECONDS)}
                    self._link.thinking = bool(ready)
                    self._step(kernel, readable=kernel.fileno() in ready)
                    self._link.thinking = False
            if self._removing:
                self._remove(kernel)
        finally:
            kernel.close()

    def _step(self, kernel: EvpnKernel, *, readable: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        if self._changed:
            self._adopt(kernel)
            readable = True
        if readable:
            self._read(kernel)
        with self._lock:
            more = self._listen()
            self._mind.flush(time.monotonic())
            add, remove = self._mind.entries.drain()
            alerts, self._mind.alerts = self._mind.alerts, []
            sweep = self._mind.settled and not self._swept
            self._swept = self._mind.settled
        for alert in alerts[:ALERTS_MAX]:
            log.warning("%s", alert)
        if len(alerts) > ALERTS_MAX:
            log.warning("and %d more like that", len(alerts) - ALERTS_MAX)
        self._write(kernel, add, remove)
        if sweep:
            self._count(kernel.delete(kernel.found()))
        self._link.nudge()
        if more:
            self._rouse()

    def _adopt(self, kernel: EvpnKernel) -> None:
        self._changed = False
        wanted = self._wanted
        with self._lock:
            self._mind.follow(wanted)
        segments = [one.segment for one in wanted.segments] if wanted else []
        if segments != self._segments:
            kernel.follow(segments)
            self._segments = segments
        self._link.follow(wanted.section if wanted else None)

    def _read(self, kernel: EvpnKernel) -> None:
        try:
            news = kernel.read()
        except KernelError as error:
            self._note(error.message)
            return
        self._note("")
        with self._lock:
            self._unread = kernel.status.refused if kernel.status else 0
            for change in news.changes:
                self._mind.local(change)
            if news.synced:
                self._mind.synced()
                # A segment that came later brings entries from before as well.
                self._swept = False
        self._count(news.refused)

    def _listen(self) -> bool:
        """Takes in some of what the daemon told; True: there may be more.

        Small news are taken together: what comes of them is recorded and written at once, and the
        flood lists of many VNIs grow by small news.
        """
        now = time.monotonic()
        taken = 0
        while taken < TOGETHER:
            news = self._link.fetch()
            if news is None:
                return False
            events, absent = news
            taken += len(events)
            for event in events:
                if isinstance(event, EndOfState):
                    self._mind.end_of_state(now)
                else:
                    self._mind.heard(event, now, absent)
        return True

    def _write(self, kernel: EvpnKernel, add: list[KernelEntry], remove: list[KernelEntry]) -> None:
        if remove:
            self._count(kernel.delete(remove))
        if add:
            add.sort(key=lambda entry: ORDER[type(entry)])
            self._count(kernel.put(add))

    def _count(self, refused: Iterable[EntryRefused]) -> None:
        for one in refused:
            with self._lock:
                self._failures[one.errno] += 1
                first = self._failures[one.errno] == 1
            if first:
                log.warning("the kernel refuses %s: %s", one.entry, os.strerror(one.errno))

    def _remove(self, kernel: EvpnKernel) -> None:
        with self._lock:
            self._mind.entries.want_nothing()
            _, remove = self._mind.entries.drain()
        kernel.delete(remove)
        kernel.delete(kernel.found())
        kernel.follow(())
