# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_fdb, filled by hand where the agent's mirror would."""

from collections.abc import Mapping
from typing import Any

from hybrid_gateway import abi
from hybrid_gateway.bpf import DataPlane


def _key(bridge: int, mac: bytes) -> Any:
    return abi.new("gw_fdb_key", bridge=bridge, mac=list(mac))


class Stations:
    """Of the maps that the data plane has at the moment; by bridge and MAC address."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def replace(self, entries: Mapping[tuple[int, bytes], int]) -> None:
        """To port: these and no others, none of them used yet."""
        table = self._dataplane.table("gw_fdb")
        for key in table.every_key():
            table.delete(key)
        for (bridge, mac), port in entries.items():
            self.set(bridge, mac, port)

    def set(self, bridge: int, mac: bytes, port: int) -> None:
        entry = abi.new("gw_fdb_entry", port=port)
        self._dataplane.table("gw_fdb").set(_key(bridge, mac), entry)

    def delete(self, bridge: int, mac: bytes) -> None:
        self._dataplane.table("gw_fdb").delete(_key(bridge, mac))

    def used(self) -> dict[tuple[int, bytes], int]:
        """The CLOCK_MONOTONIC second when XDP last sent there; 0: never."""
        table, found = self._dataplane.table("gw_fdb"), {}
        for key in table.every_key():
            entry = table.get(key)
            assert entry is not None
            found[int(key.bridge), bytes(key.mac)] = int(entry.used)
        return found
