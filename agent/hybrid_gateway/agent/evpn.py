# SPDX-License-Identifier: GPL-2.0-or-later
"""The EVPN speaker's place in the agent: begun when it is configured, ended when it is not."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ..evpn.view import EvpnView, MacView, RefusedView
from ..evpn.wanted import EvpnWanted
from ..instance import Instance
from ..model import Step, StepKind

log = logging.getLogger(__name__)

LISTING_SECONDS = 30.0
"""So long the stations stay as they were listed, for whoever asks for them page by page."""


class Speaker(Protocol):
    """As evpn.speaker has it: it has threads of its own, and none of the calls waits for the BGP
    daemon."""

    def start(self) -> None: ...
    def follow(self, wanted: EvpnWanted) -> None: ...
    def clear(self, vni: int | None = None, mac: bytes | None = None) -> int:
        """Releases duplicates; how many."""

    def forget_refused(self) -> int:
        """Counts what was refused from the beginning; how many kinds there were."""

    def view(self, *, macs: bool = False) -> EvpnView: ...
    def stop(self, *, remove: bool = False) -> None:
        """`remove`: of all that it put into the kernel, and into its daemon, nothing stays."""


def speaker_of(instance: Instance) -> Speaker:
    # Imported here: gRPC takes memory that other gateways need not pay for.
    from ..evpn.speaker import EvpnSpeaker

    return EvpnSpeaker(f"unix://{instance.bgp_socket}", instance.evpn_file)


class EvpnControl:
    """Of one agent; belongs to its loop."""

    def __init__(
        self, instance: Instance, make: Callable[[Instance], Speaker] = speaker_of
    ) -> None:
        self._instance = instance
        self._make = make
        self._speaker: Speaker | None = None
        self._wanted: EvpnWanted | None = None
        self._missing = ""
        """What the host has not got of what it takes."""
        self._listing: tuple[float, tuple[MacView, ...]] = (0.0, ())

    def steps(self, wanted: EvpnWanted | None) -> tuple[Step, ...]:
        """What `follow` would do, in words."""
        if wanted == self._wanted:
            return ()
        if wanted is None:
            text = "end the sessions, and remove what came by them"
        else:
            neighbors = _counted(len(wanted.section.neighbors), "neighbor")
            vnis = _counted(len(wanted.segments), "VNI")
            text = f"speak BGP as AS {wanted.section.asn} with {neighbors}, for {vnis}"
        return (Step(StepKind.EVPN, "EVPN", text),)

    def follow(self, wanted: EvpnWanted | None, *, shared: bool = False) -> None:
        """None: EVPN is not configured, or (`shared`) somebody else's."""
        if wanted is None:
            self.stop(remove=True, shared=shared)
            return
        if self._speaker is None and not self._begin():
            return
        if self._speaker and wanted != self._wanted:
            self._speaker.follow(wanted)
            self._wanted = wanted

    def _begin(self) -> bool:
        try:
            speaker = self._make(self._instance)
        except ImportError as error:
            # Only gateways with EVPN need gRPC; the rest of this one works without.
            self._missing = f"{error}: apt install python3-grpcio python3-protobuf"
            log.error("EVPN: %s", self._missing)
            return False
        self._missing = ""
        speaker.start()
        self._speaker = speaker
        return True

    def stop(self, *, remove: bool = False, shared: bool = False) -> None:
        """Without `remove` the next agent goes on with what is there, and forwarding meanwhile;
        with it, nothing stays that was written, also by an agent before this one."""
        speaker, self._speaker, self._wanted = self._speaker, None, None
        self._listing, self._missing = (0.0, ()), ""
        if speaker:
            speaker.stop(remove=remove)
        elif remove and self._instance.evpn_file.exists():
            from ..evpn.leftovers import sweep_all

            sweep_all(self._instance.evpn_file, shared=shared)

    # ---- telling ----------------------------------------------------------------------

    def view(self) -> EvpnView | None:
        """Without stations; None: there is no speaker."""
        return self._speaker.view() if self._speaker else None

    def macs(self, *, again: bool) -> Sequence[MacView]:
        """All stations; `again`: as they were a moment ago, for the next page of a listing."""
        if self._speaker is None:
            return ()
        then, macs = self._listing
        now = time.monotonic()
        if not again or now - then > LISTING_SECONDS:
            macs = self._speaker.view(macs=True).macs
        self._listing = now, macs
        return macs

    def clear(self, vni: int | None, mac: bytes | None) -> int:
        """Duplicates that are released."""
        return self._speaker.clear(vni, mac) if self._speaker else 0

    def forget_refused(self) -> int:
        """Kinds of refusal that are counted from the beginning."""
        return self._speaker.forget_refused() if self._speaker else 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why EVPN is not what it should be, which keeps nothing from being forwarded."""
        found = self.view()
        if found is None:
            return (f"EVPN: {self._missing}",) if self._missing else ()
        told = [f"EVPN: {found.error}"] if found.error else []
        told += [f"EVPN: {_by(one)}, {_times(one.count)}: {one.reason}" for one in found.refused]
        duplicates = sum(vni.duplicates for vni in found.vnis)
        if duplicates:
            which = "gwctl show evpn macs --state duplicate"
            told.append(f"EVPN: {_stations(duplicates)} at two sites: {which}")
        return tuple(told)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _by(one: RefusedView) -> str:
    return f"not taken from {one.peer}" if one.peer else "not announced"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _stations(count: int) -> str:
    return "a station is" if count == 1 else f"{count} stations are"
