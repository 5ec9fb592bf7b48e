# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker's session with the BGP daemon, in a thread of its own: a daemon that is slow, hangs
or is away keeps nobody else waiting."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing

from ..errors import EvpnError
from ..model import Evpn, IPAddress, PeerState, RouteEvent, SessionState
from .daemon_session import DaemonSession
from .gobgp import GobgpClient
from .instance import EvpnInstance
from .mass import masses
from .restraint import Restraint
from .view import SpeakerState

log = logging.getLogger(__name__)

BACKOFF_SECONDS = 0.2
BACKOFF_SECONDS_MAX = 2.0
"""Between two attempts; the daemon is on this host, and an attempt is cheap."""
LOOK_SECONDS = 1.0
LOOKS_MIN = 9
"""Neighbours are looked at every second, or so many times in a hold time if that is shorter."""
RETRY_SECONDS = 30.0
"""Until routes that the daemon refused are said again."""
PATIENCE_SECONDS = 30.0
"""For neighbours to come back, though none of them keeps our routes as long (restart-time: 0)."""
BULK_MIN = 200
GATHER_SECONDS = 0.05
GATHER_SECONDS_MAX = 3.0
"""So many routes at once are waited with as long as more of them come, but no longer than that."""

News = tuple[list[RouteEvent], frozenset[IPAddress]]
"""With the neighbours whose routes are withdrawn only because their daemon went away."""


class DaemonLink:
    """Keeps one, says what `mind` wants announced, and hands in what the daemon tells.

    `lock` is for `mind`, and for nothing that takes long.
    """

    def __init__(
        self, target: str, mind: EvpnInstance, lock: threading.Lock, wake: Callable[[], None]
    ) -> None:
        self._target = target
        self._mind = mind
        self._lock = lock
        self._wake = wake
        self._work = threading.Event()
        self._stopping = False
        self._silence_until = 0.0
        """The daemon may be told to end its sessions as long as that: later there may be another
        speaker, whose sessions they are."""
        self._thread = threading.Thread(target=self._run, name="evpn-bgp", daemon=True)
        self._client: GobgpClient | None = None
        self._section: Evpn | None = None
        self._era = 0
        self._sessions = 0
        self._broken: EvpnError | None = None
        self._restraint = Restraint()
        self._inbox: deque[tuple[int, News]] = deque()
        self.thinking = False
        """`mind` is being told things: there may be more to say in a moment."""
        self.state = SpeakerState.CONNECTING
        self.since = time.monotonic()
        self.error = ""
        self.peers: tuple[PeerState, ...] = ()

    def start(self) -> None:
        self._thread.start()

    def follow(self, section: Evpn | None) -> None:
        """None: there is nobody to talk to, and sessions end."""
        self._section = section
        self._work.set()

    def nudge(self) -> None:
        """There may be something to say."""
        self._work.set()

    def stop(self, seconds: float, *, silence: bool) -> None:
        """Ends the thread within that time; `silence`: the daemon ends its sessions as well."""
        self._silence_until = time.monotonic() + seconds if silence else 0.0
        self._stopping = True
        self._work.set()
        if client := self._client:
            client.close()
        self._thread.join(seconds)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def fetch(self) -> News | None:
        """What the daemon told in this session, a few thousand events at most; with `lock` held."""
        while self._inbox:
            era, news = self._inbox.popleft()
            if era == self._era:
                return news
        return None

    # ---- the thread ---------------------------------------------------------------------

    def _run(self) -> None:
        self._serve()
        left = self._silence_until - time.monotonic()
        if left > 0:
            # The client that there was is closed, lest a call of it take longer.
            with closing(GobgpClient(self._target)) as client:
                try:
                    client.stop(left)
                except EvpnError as error:
                    log.warning("sessions are left as they are: %s", error)

    def _serve(self) -> None:
        delay = BACKOFF_SECONDS
        while not self._stopping:
            sessions = self._sessions
            try:
                self._converse()
            except EvpnError as error:
                self._fail(error)
            except Exception as error:
                # Broadly: the thread would end, and the view would say that all is well.
                log.error("unexpected", exc_info=error)
                self._fail(EvpnError(f"unexpected {type(error).__name__}: {error}"))
            delay = BACKOFF_SECONDS if sessions != self._sessions else delay * 2
            if not self._stopping:
                self._work.wait(min(delay, BACKOFF_SECONDS_MAX))
                self._work.clear()

    def _fail(self, error: EvpnError) -> None:
        if self._stopping:
            return
        if error.message != self.error:
            log.warning("%s", error)
        self.error = error.message
        self._become(SpeakerState.CONNECTING)
        self.peers = ()

    def _become(self, state: SpeakerState) -> None:
        if state is not self.state:
            self.state, self.since = state, time.monotonic()
            log.info("%s", state.value)

    def _converse(self) -> None:
        """One session, until the daemon goes or has to be asked for everything again."""
        section = self._section
        if section is None:
            self._become(SpeakerState.STOPPED)
            self._work.wait()
            self._work.clear()
            return
        with closing(GobgpClient(self._target)) as client:
            self._client = client
            if not self._stopping:
                self._configure(client, section)
                with closing(self._begin(client, section)) as session:
                    session.start()
                    self._talk(session, section)

    def _configure(self, client: GobgpClient, section: Evpn) -> bool:
        """True: the daemon began anew, and tells of that from the beginning."""
        with self._lock:
            routes = tuple(self._mind.routes)
        return client.configure(section, routes, restarting=self._sessions > 0)

    def _begin(self, client: GobgpClient, section: Evpn) -> DaemonSession:
        with self._lock:
            self._era += 1
            era = self._era
            self._inbox.clear()
            patience = max(section.restart_time, PATIENCE_SECONDS)
            self._mind.begin(time.monotonic(), patience)
        self._sessions += 1
        self._broken = None
        self._restraint.begin()
        self.error = ""
        self._become(SpeakerState.LEARNING)

        def deliver(events: list[RouteEvent], absent: frozenset[IPAddress]) -> None:
            kept = self._section is not None and self._section.restart_time > 0
            self._inbox.append((era, (events, absent if kept else frozenset())))
            self._wake()

        return DaemonSession(client, deliver, self._end)

    def _end(self, error: EvpnError) -> None:
        self._broken = error
        self._work.set()

    def _talk(self, session: DaemonSession, section: Evpn | None) -> None:
        look = time.monotonic()
        retry = look + RETRY_SECONDS
        pause = _pause(section)
        while not self._stopping:
            now = time.monotonic()
            self._work.wait(max(0.0, look - now))
            self._work.clear()
            if self._broken:
                raise self._broken
            if self._section != section:
                section = self._section
                if section is None:
                    session.client.stop()
                    return
                if self._configure(session.client, section):
                    return
                self.pardon()
                pause = _pause(section)
            self._say(session.client)
            if time.monotonic() >= look:
                look = time.monotonic() + pause
                self._look(session, section)
                if look >= retry:
                    retry = look + RETRY_SECONDS
                    with self._lock:
                        self._mind.retry()

    def _gather(self) -> None:
        """Waits for the rest of what comes in masses: for each MAC route gobgpd 3.10 walks what it
        has, but for those of the same message."""
        before, end = 0, time.monotonic() + GATHER_SECONDS_MAX
        while (pending := self._mind.routes.pending) >= BULK_MIN and time.monotonic() < end:
            if pending == before and not self.thinking:
                break
            before = pending
            time.sleep(GATHER_SECONDS)

    def _say(self, client: GobgpClient) -> None:
        self._gather()
        with self._lock:
            if not self._mind.told:
                return
            add, remove = self._mind.routes.drain()
            groups, remove = masses(remove, tuple(self._mind.routes))
        refused = [one for group in groups for one in client.withdraw_all(group)]
        if groups:
            with self._lock:
                # What has gone meanwhile need not come back.
                add += self._mind.emptied(groups)
        refused += client.withdraw(remove) if remove else []
        refused += client.announce(add) if add else []
        if refused:
            with self._lock:
                self._mind.refused(refused)
            self._wake()

    def _note(self, peers: tuple[PeerState, ...]) -> None:
        before = {peer.address: peer.state for peer in self.peers}
        for peer in peers:
            up = peer.state is SessionState.ESTABLISHED
            if up != (before.get(peer.address) is SessionState.ESTABLISHED):
                reason = f" ({peer.reason})" if peer.reason else ""
                log.info("neighbour %s is %s%s", peer.address, "up" if up else "down", reason)
        self.peers = peers

    def pardon(self) -> None:
        """Neighbours that were shut down may try again at once."""
        self._restraint.pardon()
        self._work.set()

    def _look(self, session: DaemonSession, section: Evpn | None) -> None:
        with self._lock:
            announced = self._mind.announced
        self._note(session.look(section, announced))
        now = time.monotonic()
        with self._lock:
            settled = self._mind.settle(self.peers, now)
            over = self._mind.remote.over_limit()
            limits = self._mind.remote.limits
        shut = self._restraint.look(session.client, self.peers, limits, over, now)
        with self._lock:
            for peer, reason in shut.items():
                self._mind.refusals.add(peer, reason)
        self._become(SpeakerState.SYNCHRONIZED if settled else SpeakerState.LEARNING)
        self._wake()


def _pause(section: Evpn | None) -> float:
    """Between two looks at the neighbours."""
    hold = section.hold_time if section else 0
    return min(LOOK_SECONDS, hold / LOOKS_MIN) if hold else LOOK_SECONDS
