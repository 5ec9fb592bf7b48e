# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person may ask of the loaded NAT tables, and ending the sessions that were asked for."""

from collections.abc import Callable, Iterator
from typing import Any

from _gw_native import lib

from .. import abi
from ..errors import GwError, KernelError
from . import nat, scan
from .maps import Map
from .records import SessionInfo
from .sessions import describe

EVERYTHING = scan.SessionFilter()


class NatTables:
    """`table` gives a loaded map, `fresh` the number of records ever used, `run` runs a program."""

    def __init__(
        self,
        table: Callable[[str], Map],
        fresh: Callable[[], int],
        run: Callable[[str], None],
    ) -> None:
        self._table = table
        self._fresh = fresh
        self._run = run

    def settings(self) -> Any:
        """A copy of struct gw_settings, as the data path sees it."""
        found = self._table("gw_settings").get(0)
        if found is None:
            raise GwError("the NAT settings cannot be read", code="bpf.map")
        return found

    def hits(
        self,
        wanted: scan.SessionFilter = EVERYTHING,
        *,
        cursor: int | str = 0,
        limit: int,
        order: scan.Order | None = None,
    ) -> scan.Hits:
        """One page of live sessions that match, as the data path has them."""
        records = self._table("gw_records")
        return scan.find(records, self._fresh(), wanted, cursor=cursor, limit=limit, order=order)

    def sessions(
        self,
        wanted: scan.SessionFilter = EVERYTHING,
        *,
        cursor: int | str = 0,
        limit: int,
        order: scan.Order | None = None,
    ) -> tuple[list[SessionInfo], int | str | None]:
        """The same in words, and where the next page begins, or None."""
        found = self.hits(wanted, cursor=cursor, limit=limit, order=order)
        infos = [describe(hit.index, hit.session, found.now) for hit in found.hits[0 : found.count]]
        return infos, found.following

    def count(self, wanted: scan.SessionFilter = EVERYTHING) -> int:
        """How many live sessions match."""
        return scan.count(self._table("gw_records"), self._fresh(), wanted)

    def mappings(
        self, wanted: nat.MappingFilter, cursor: int, limit: int
    ) -> tuple[list[nat.MappingInfo], int | None]:
        """At most `limit` mappings in use from `cursor` (0 first) on, and the next, or None."""
        table = self._table("gw_mappings")
        return nat.find_mappings(table, self.settings(), wanted, cursor, limit)

    def ports(self) -> list[nat.PortUse]:
        """For every address of the pool and every protocol."""
        return nat.port_use(self._table("gw_mappings"), self.settings())

    def hosts(self) -> nat.HostUse:
        return nat.host_use(self._table("gw_hosts"), self.settings())

    def remove(self, wanted: scan.SessionFilter) -> Iterator[int]:
        """Ends the live sessions that match; yields how many, a batch at a time."""
        cursor: int | str | None = 0
        while cursor is not None:
            # Anew each time: between two batches other maps may have been loaded.
            picks, batch = self._table("gw_picks"), self._table("gw_batch")
            page = self.hits(wanted, cursor=cursor, limit=lib.GW_BATCH_MAX)
            cursor = page.following
            result = lib.gw_write_picks(picks.fd, page.hits, page.count)
            if result:
                raise KernelError("map gw_picks: update", -result, code="bpf.map")
            batch.set(0, abi.new("gw_batch", count=page.count))
            self._run("gw_remove")
            done = batch.get(0)
            yield int(done.done) if done is not None else 0
