# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever happens in whatever order, and also when events are lost: in the end what was told is
what is there, and what is wanted is there unless something of this side is in its place."""

import random
import select
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from hybrid_gateway.evpn.entries import (
    Binding,
    FloodEntry,
    KernelEntry,
    LocalBinding,
    LocalFact,
    LocalStation,
    RemoteMac,
)
from tests.system.evpn_site import (
    FAR,
    OTHER,
    VNI,
    Follower,
    Site,
    mac,
    small_buffers,
)

MACS = [f"02:00:00:00:00:{i:02x}" for i in range(12)]
ADDRESSES = [ip_address(f"10.55.0.{10 + i}") for i in range(6)]
VTEPS = [FAR[4], OTHER[4]]
ROUNDS, STEPS = 6, 40
STORM = 50


class Play:
    """The owner, the network and EVPN, all at once."""

    def __init__(self, site: Site, follower: Follower, seed: int) -> None:
        self._site, self._follower = site, follower
        self._random = random.Random(seed)
        self._lines: list[str] = []
        self._neighbours: list[str] = []
        self.wanted: dict[object, KernelEntry] = {}

    def round(self) -> None:
        for _ in range(STEPS):
            self._random.choice((self._station, self._station, self._neighbour, self._evpn))()
        self._do()

    def _station(self) -> None:
        station, port = self._random.choice(MACS), self._random.choice(("p0", "p1"))
        if self._random.random() < 0.6:
            self._lines.append(f"fdb replace {station} dev {port} master dynamic")
        else:
            self._lines.append(f"fdb del {station} dev {port} master")

    def _neighbour(self) -> None:
        address, station = self._random.choice(ADDRESSES), self._random.choice(MACS)
        verb = self._random.choice(("replace", "replace", "del"))
        rest = f" lladdr {station} nud stale" if verb == "replace" else ""
        self._neighbours.append(f"neigh {verb} {address} dev br550{rest}")

    def _evpn(self) -> None:
        """What the others do is done first, or the order would not be what it looks like."""
        self._do()
        entry: KernelEntry = self._random.choice(
            (
                RemoteMac(VNI, mac(self._random.choice(MACS)), self._random.choice(VTEPS)),
                FloodEntry(VNI, self._random.choice(VTEPS)),
                Binding(VNI, self._random.choice(ADDRESSES), mac(self._random.choice(MACS))),
            )
        )
        if self._random.random() < 0.6:
            assert self._follower.put([entry]) == []
            self.wanted[entry.key] = entry
        else:
            self._follower.kernel.delete([entry])
            self.wanted.pop(entry.key, None)

    def _do(self) -> None:
        """What is not there cannot be deleted; that is no matter."""
        self._site.bridge(*self._lines, force=True)
        self._site.ip(*self._neighbours, force=True)
        self._lines.clear()
        self._neighbours.clear()


def there(site: Site) -> set[LocalFact]:
    """Of this side, as the kernel's tools show it."""
    ports = {name: site.index(name) for name in ("p0", "p1")}
    found: set[LocalFact] = {
        LocalStation(VNI, mac(row["mac"]), ports[name])
        for name in ports
        for row in site.fdb(name)
        if row["mac"] in MACS
    }
    found |= {
        LocalBinding(VNI, ip_address(row["dst"]), mac(row["lladdr"]))
        for row in site.neighbours("br550")
        if "extern_learn" not in row and "lladdr" in row and row["state"] != ["FAILED"]
    }
    return found


def missing(site: Site, play: Play) -> list[object]:
    """What is wanted, and neither there nor taken by this side."""
    bridge = {row["mac"] for row in site.fdb("vx550") if row.get("master")}
    here = {row["mac"] for port in ("p0", "p1") for row in site.fdb(port)}
    device = {(row["mac"], row.get("dst")) for row in site.fdb("vx550") if "dst" in row}
    neighbours = {row["dst"] for row in site.neighbours("br550")}
    absent: list[object] = []
    for entry in play.wanted.values():
        if isinstance(entry, RemoteMac):
            station = entry.mac.hex(":")
            if (station, str(entry.vtep)) not in device or station not in bridge | here:
                absent.append(entry)
        elif isinstance(entry, FloodEntry):
            if str(entry.vtep) not in site.floods("vx550"):
                absent.append(entry)
        elif isinstance(entry, Binding) and str(entry.address) not in neighbours:
            absent.append(entry)
    return absent


@pytest.mark.parametrize("losing", [False, True], ids=["all-events", "lost-events"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_is_what_is_there(
    stack: ExitStack, tmp_path: Path, seed: int, losing: bool
) -> None:
    site = Site(stack)
    site.ip("link add p1 type veth peer name h1", "link set p1 master br550")
    site.quiet("1")
    with small_buffers(on=losing):
        follower = Follower(stack, tmp_path / "floods")
    follower.follow(site.segments(VNI))
    play = Play(site, follower, seed)
    for i in range(ROUNDS):
        if losing:
            # Of a bridge that is not followed: what comes after them is dropped.
            rest = f"lladdr 02:00:00:00:01:{i:02x} dev br5000 nud permanent"
            site.ip(*(f"neigh replace 10.9.0.{j} {rest}" for j in range(STORM)))
        play.round()
        follower.until(
            lambda: not select.select([follower.kernel], [], [], 0)[0], "all of it was read"
        )
        assert follower.facts() == there(site)
        assert missing(site, play) == []
    status = follower.kernel.status
    assert status
    assert bool(status.lost) == losing
    assert any(change.gone for change in follower.changes)
