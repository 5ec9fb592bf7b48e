# SPDX-License-Identifier: GPL-2.0-or-later
"""New maps in the place of others whose programs forward meanwhile."""

from pathlib import Path

from _gw_native import lib

from .. import abi
from .attach import GUARD, HANDOVER, OUR_PROGRAM, TUNNEL, XDP, Attachments
from .carry import Carrying, Importer, Source, carry_rest, seconds_now
from .objects import LoadedObject
from .pins import Pins, difference
from .programs import Programs

NS = 1_000_000_000
COUNTERS = "gw_counters"
KEPT = {
    COUNTERS: "gw_counter",
    "gw_log": "",
    # Entries of the one are indices in the other, so that both stay or none.
    "gw_fdb": "",
    "gw_tunnels": "",
    "gw_vteps": "",
    "gw_floods": "",
}
"""Maps that are no part of a session, so that new programs may go on with them, and the enum that
says what is in them; without one, the ABI version does."""


class Replacement:
    """From loading until `commit` or `rollback`.

    Nothing of what was there before is changed until `carry`, which is called once the tables of
    the new maps are filled; and what is pinned is in force until `commit`.
    """

    def __init__(self, pins: Pins, attachments: Attachments, folders: list[Path]) -> None:
        self.previous: Programs | None = None
        """What this process loaded before."""
        self.notes: list[str] = []
        self.rows: dict[int, int] = {}
        """Port to row of the counters that are kept."""
        self._pins = pins
        self._attachments = attachments
        self._sources = [Source(folder) for folder in folders]
        self._before = attachments.programs()
        self._carried = False

    def keep(self, loaded: LoadedObject) -> None:
        """Lets an object that is not loaded yet share what goes on."""
        source, wanted = self._sources[0], loaded.maps()
        same_version = source.maps.version() == abi.VERSION
        for name, enum in KEPT.items():
            there, fd = source.maps.info(name), source.maps.fd(name)
            if there is None or difference(name, wanted[name], there):
                continue
            if not (loaded.same_enum(fd, enum) if enum else same_version):
                continue
            if lib.gw_map_reuse(wanted[name], fd) == 0 and name == COUNTERS:
                self.rows = source.rows()

    def carry(self, programs: Programs) -> None:
        """Sessions first, then the ports, then what the old programs did meanwhile."""
        if self._carried:
            return
        self._carried = True
        importer = importer_of(programs)
        carryings = [Carrying(source, importer) for source in self._sources]
        try:
            for source in self._sources:
                _rest(source, programs)
            for carrying in carryings:
                carrying.before()
            self._attachments.change_over(
                {
                    XDP: programs.program(OUR_PROGRAM),
                    **{name: programs.program(name) for name in (HANDOVER, GUARD, TUNNEL)},
                }
            )
            for carrying in carryings:
                self.notes += carrying.after()
        finally:
            for carrying in carryings:
                carrying.close()

    def commit(self) -> None:
        """From here on the new maps are in force, and the old ones go."""
        self._pins.commit()
        self.close()

    def rollback(self) -> Programs | None:
        """The programs from before are on the ports again, and forward with their maps.

        Returns them if this process loaded them.
        """
        self._attachments.put_back(self._before)
        self._pins.discard()
        previous, self.previous = self.previous, None
        self.close()
        return previous

    def close(self) -> None:
        """Lets go of what was there before."""
        self._before.close()
        for source in self._sources:
            source.maps.close()
        if self.previous:
            self.previous.close()
            self.previous = None


def importer_of(programs: Programs) -> Importer:
    return Importer(
        programs.table("gw_saved_batch"), programs.table("gw_batch"), programs.program("gw_import")
    )


def _rest(source: Source, programs: Programs) -> None:
    settings = programs.table("gw_settings").get(0)
    if settings is not None:
        pool = list(settings.pool[0 : settings.pool_size])
        since = seconds_now() - settings.port_rest // NS
        carry_rest(source, programs.table("gw_mappings"), pool, since)
