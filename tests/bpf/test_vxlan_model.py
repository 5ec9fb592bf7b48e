# SPDX-License-Identifier: GPL-2.0-or-later
"""Any order of frames and of changes to the mirror: a change holds from the next frame on.

A model of a few lines says what becomes of each frame. What is remembered of ways to VTEPs is not
forgotten in between, so that a tunnel which is freed, written anew or given to another VTEP within
a tick of the clock is among the examples.
"""

from dataclasses import dataclass, field
from typing import Any

from _gw_native import lib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.packet import Packet

from .plane import Outcome
from .segment import DEVICES, FAMILIES, NARROW, PEER, SILENT, VNIS, Station
from .stretched import Stretched
from .test_vxlan_encapsulate import as_it_is
from .vxlan_frames import arriving, between, leaving

HOSTS = [Station(f"192.168.150.{n}", f"02:00:c0:a8:97:{n:02x}", "") for n in range(100, 105)]
SLOTS = {21: 4, 22: 6, 23: 4, 24: 6}
"""Tunnels, and what they are over."""
REMOTES = {"peer": PEER, "narrow": NARROW, "silent": SILENT}
BRIDGED = ("seg0", "seg1")
PLACES: list[str | int | None] = [*BRIDGED, "seg2", *DEVICES.values(), *SLOTS, *SLOTS, None]
"""A port, a VXLAN device without a tunnel of XDP's, a tunnel, or nowhere."""
START: list[str | int] = ["seg0", "seg1", 21, 22, 23]
"""Where the hosts are at first."""
ORIGINS: list[str | int] = [*BRIDGED, *FAMILIES]
"""A port, or the family of the tunnel that a frame comes out of."""
bounded = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
host = st.integers(0, len(HOSTS) - 1)
changes = st.one_of(
    st.tuples(st.just("station"), host, st.sampled_from(PLACES)),
    st.tuples(
        st.just("tunnel"), st.sampled_from(sorted(SLOTS)), st.sampled_from([*REMOTES, "free"])
    ),
    st.tuples(st.just("sender"), st.sampled_from(sorted(SLOTS)), st.booleans()),
    st.tuples(
        st.just("flags"),
        st.sampled_from(FAMILIES),
        st.sampled_from([0, lib.GW_VNI_LEARNS, lib.GW_VNI_ANY_SOURCE]),
    ),
)
frames = st.tuples(host, host, st.sampled_from([None, None, None, *ORIGINS]))
steps = st.tuples(st.lists(changes, max_size=1), st.lists(frames, min_size=1, max_size=3))


@dataclass
class Model:
    """What the mirror says at the moment."""

    places: dict[int, str | int] = field(default_factory=dict)
    remotes: dict[int, str] = field(default_factory=dict)
    senders: dict[int, int] = field(default_factory=dict)
    """Family to the tunnel back to PEER, which may send."""
    flags: dict[int, int] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)
    """Hosts that were heard from elsewhere since they were last written."""

    def _device(self, host: int) -> str:
        place = self.places[host]
        return place if isinstance(place, str) else DEVICES[SLOTS[place]]

    def _local(self, host: int) -> tuple[str, str | int]:
        device = self._device(host)
        return ("BRIDGE", device) if device in BRIDGED else ("PUNT_BRIDGE_PORT", "")

    def from_port(self, port: str, source: int, target: int) -> tuple[str, str | int]:
        """The verdict, and the port or the tunnel that the frame leaves by."""
        if self.places.get(source) != port:
            self.moved.add(source)
            return "PUNT_LEARN", ""
        if target not in self.places:
            return "PUNT_FLOOD", ""
        if target in self.moved:
            return "PUNT_LEARN", ""
        place = self.places[target]
        if place == port:
            return "PUNT_BRIDGE_PORT", ""
        if isinstance(place, str):
            return self._local(target)
        known = self.remotes.get(place, "free") not in ("free", "silent")
        return ("BRIDGE", place) if known else ("PUNT_UNDERLAY", "")

    def from_tunnel(self, family: int, source: int, target: int) -> tuple[str, str | int]:
        flags, back = self.flags.get(family, 0), self.senders.get(family)
        if back is None and not flags & lib.GW_VNI_ANY_SOURCE:
            return "DROP_VTEP", ""
        there = back is not None and self.places.get(source) == back
        if flags & lib.GW_VNI_LEARNS and not there:
            self.moved.add(source)
            return "PUNT_LEARN", ""
        if target not in self.places:
            return "PUNT_FLOOD", ""
        if target in self.moved:
            return "PUNT_LEARN", ""
        if self._device(target) == DEVICES[family]:
            return "DROP_SPLIT_HORIZON", ""
        return self._local(target)


def _station(stretched: Stretched, model: Model, host: int, place: str | int | None) -> None:
    model.moved.discard(host)
    if place is None:
        model.places.pop(host, None)
        stretched.no_station(HOSTS[host])
        return
    model.places[host] = place
    tunnel = 1 + place if isinstance(place, int) else 0
    device = place if isinstance(place, str) else DEVICES[SLOTS[place]]
    stretched.station(Station(HOSTS[host].ip, HOSTS[host].mac, device), tunnel=tunnel)


def _change(stretched: Stretched, model: Model, change: tuple[Any, ...]) -> None:
    what, which, to = change
    if what == "station":
        _station(stretched, model, which, to)
    elif what == "tunnel" and to == "free":
        model.remotes[which] = "free"
        stretched.no_tunnel(which)
    elif what == "tunnel":
        model.remotes[which] = str(to)
        family = SLOTS[which]
        # Each has a VNI of its own, so that the frame says which tunnel it is in.
        remote = REMOTES[str(to)][family]
        stretched.tunnel(family, which, remote=remote, vni=which)
    elif what == "sender":
        family = SLOTS[which]
        if to:
            model.senders[family] = which
            stretched.vtep(PEER[family], family, 1 + which)
        else:
            model.senders.pop(family, None)
            stretched.no_vtep(PEER[family], family)
    else:
        model.flags[which] = int(to or 0)
        stretched.vni(VNIS[which], which, flags=int(to or 0))


def _sent(stretched: Stretched, frame: Packet | bytes, port: str, to: str | int) -> Outcome:
    """Without forgetting the ways: only the clock's ticks do that here."""
    leaves = "core0" if isinstance(to, int) else to
    with stretched.only(leaves or None):
        return stretched.plane.run(frame, port)


def _origin(model: Model, source: int, astray: str | int | None) -> str | int:
    """Where a host's frame comes from, unless it goes astray."""
    place = model.places.get(source, "")
    if astray is None and place in BRIDGED:
        return place
    return astray or (SLOTS[place] if isinstance(place, int) else "seg0")


def _frame(
    stretched: Stretched, model: Model, source: int, target: int, astray: str | int | None
) -> None:
    port = _origin(model, source, astray)
    inner = between(HOSTS[source], HOSTS[target])
    if isinstance(port, int):
        verdict, to = model.from_tunnel(port, source, target)
        outcome = _sent(stretched, arriving(inner, port), "core0", to)
    else:
        verdict, to = model.from_port(port, source, target)
        outcome = _sent(stretched, inner, port, to)
    assert outcome.verdict == verdict
    if verdict != "BRIDGE":
        return
    if isinstance(to, str):
        assert outcome.frame == bytes(inner)
        return
    family = SLOTS[to]
    remote = REMOTES[model.remotes[to]][family]
    expected = leaving(inner, family, vni=to, target=remote, **as_it_is(outcome.frame))
    assert outcome.frame == bytes(expected)


@bounded
@given(steps=st.lists(steps, min_size=5, max_size=25))
def test_any_order(stretched: Stretched, steps: list[tuple[list[Any], list[Any]]]) -> None:
    model = Model()
    for family in FAMILIES:
        _change(stretched, model, ("flags", family, 0))
    for slot in SLOTS:
        _change(stretched, model, ("tunnel", slot, "peer"))
    for slot in (21, 22):
        _change(stretched, model, ("sender", slot, True))
    for number, place in enumerate(START):
        _station(stretched, model, number, place)
    for before, sent in steps:
        for change in before:
            _change(stretched, model, change)
        for frame in sent:
            _frame(stretched, model, *frame)
    for number in range(len(HOSTS)):
        stretched.no_station(HOSTS[number])
