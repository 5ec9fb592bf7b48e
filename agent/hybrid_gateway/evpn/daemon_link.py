# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker's session with the BGP daemon, in a thread of its own: a daemon that is slow, hangs
or is away keeps nobody else waiting."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import EvpnError
from ..model import Evpn, PeerState, RouteEvent, SessionState
from .gobgp import GobgpClient
from .instance import EvpnInstance
from .view import SpeakerState

log = logging.getLogger(__name__)

BACKOFF_SECONDS = 0.2
BACKOFF_SECONDS_MAX = 2.0
"""Between two attempts; the daemon is on this host, and an attempt is cheap."""
LOOK_SECONDS = 1.0
"""Between two looks at the neighbours."""
RETRY_SECONDS = 30.0
"""Until routes that the daemon refused are said again."""
ROOM_SECONDS = 10.0
"""At least so long between two requests for all routes, because there is room for more."""


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
        self._thread = threading.Thread(target=self._run, name="evpn-bgp", daemon=True)
        self._client: GobgpClient | None = None
        self._section: Evpn | None = None
        self._era = 0
        self._sessions = 0
        self._broken: EvpnError | None = None
        self._inbox: deque[tuple[int, list[RouteEvent]]] = deque()
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
        self._stopping = True
        client = self._client
        if silence and client:
            with contextlib.suppress(EvpnError):
                client.stop()
        if client:
            client.close()
        self._work.set()
        self._thread.join(seconds)

    def fetch(self, batches: int) -> list[list[RouteEvent]]:
        """What the daemon told in this session, so many batches at most; with `lock` held."""
        found: list[list[RouteEvent]] = []
        while self._inbox and len(found) < batches:
            era, batch = self._inbox.popleft()
            if era == self._era:
                found.append(batch)
        return found

    # ---- the thread ---------------------------------------------------------------------

    def _run(self) -> None:
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
        client = self._client = GobgpClient(self._target)
        if self._stopping:
            return
        watcher = threading.Thread(target=self._watch, args=(client,), name="evpn-watch")
        try:
            self._configure(client, section)
            self._begin(section)
            watcher.start()
            self._talk(client, section)
        finally:
            client.close()
            self._client = None
            if watcher.ident:
                watcher.join()

    def _configure(self, client: GobgpClient, section: Evpn) -> bool:
        """True: the daemon began anew, and tells of that from the beginning."""
        with self._lock:
            routes = tuple(self._mind.routes)
        return client.configure(section, routes, restarting=self._sessions > 0)

    def _begin(self, section: Evpn) -> None:
        with self._lock:
            self._era += 1
            self._inbox.clear()
            self._mind.begin(time.monotonic(), section.restart_time)
        self._sessions += 1
        self._broken = None
        self.error = ""
        self._become(SpeakerState.LEARNING)

    def _watch(self, client: GobgpClient) -> None:
        """In a thread of its own, as the daemon may have nothing to tell for hours."""
        era = self._era
        try:
            for batch in client.watch():
                self._inbox.append((era, batch))
                self._wake()
        except EvpnError as error:
            self._broken = error
            self._work.set()

    def _talk(self, client: GobgpClient, section: Evpn | None) -> None:
        began = look = time.monotonic()
        retry = began + RETRY_SECONDS
        while not self._stopping:
            now = time.monotonic()
            self._work.wait(max(0.0, look - now))
            self._work.clear()
            if self._broken:
                raise self._broken
            if self._section != section:
                section = self._section
                if section is None:
                    client.stop()
                    return
                if self._configure(client, section):
                    return
            self._say(client)
            if time.monotonic() >= look:
                look = time.monotonic() + LOOK_SECONDS
                self._look(client)
                if look >= retry:
                    retry = look + RETRY_SECONDS
                    with self._lock:
                        self._mind.retry()
                if self._mind.remote.roomy and look > began + ROOM_SECONDS:
                    return

    def _say(self, client: GobgpClient) -> None:
        with self._lock:
            if not self._mind.told:
                return
            add, remove = self._mind.routes.drain()
        refused = client.withdraw(remove) if remove else []
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

    def _look(self, client: GobgpClient) -> None:
        self._note(tuple(client.peers()))
        with self._lock:
            settled = self._mind.settle(self.peers, time.monotonic())
        self._become(SpeakerState.SYNCHRONIZED if settled else SpeakerState.LEARNING)
        self._wake()
