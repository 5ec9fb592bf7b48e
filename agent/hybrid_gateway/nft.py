# SPDX-License-Identifier: GPL-2.0-or-later
"""nftables through libnftables' JSON interface: our table, and a look at the owner's chains."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import KernelError
from .model import FallbackTable
from .nft_table import FAMILY, TABLE, changes, commands, removal
from .nft_vxlan import Sets

VOLATILE = ("handle", "metainfo", "index", "packets", "bytes")
HOOKED = re.compile(r"type \S+ hook (\S+) .*?priority [^;]+;(?: policy (\w+);)?")
"""The line of a base chain that says what it is, in a listing for people."""


class UnreadableError(KernelError):
    """libnftables printed something that is not JSON."""

    default_code = "nft.unreadable"


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that a hook calls; `rules` is whether it has any."""

    family: str
    table: str
    name: str
    hook: str
    policy: str
    devices: tuple[str, ...] = ()
    rules: bool = False


class Nft:
    """Loads the library on first use: most runs of the commands never need it."""

    def __init__(self) -> None:
        self._library: Any = None

    def _run(self, request: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
        try:
            result, output, error = self._loaded().json_cmd({"nftables": request})
            answer = output if isinstance(output, dict) else json.loads(output or "{}")
        except ValueError as fault:
            message = f"nftables: {what}: libnftables answered with what is not JSON"
            raise UnreadableError(message) from fault
        _check(result, error, what)
        items: list[dict[str, Any]] = answer.get("nftables", [])
        return items

    def _text(self, command: str) -> str:
        """A listing for people, where the one for programs is wrong."""
        library = self._loaded()
        library.set_json_output(False)
        try:
            result, output, error = library.cmd(command)
        finally:
            library.set_json_output(True)
        _check(result, error, command)
        return str(output)

    def _loaded(self) -> Any:
        if self._library is None:
            import nftables

            self._library = nftables.Nftables()
            self._library.set_json_output(True)
            self._library.set_handle_output(False)
        return self._library

    # ---- our table --------------------------------------------------------------------

    def write(self, table: FallbackTable, sets: Sets | None = None) -> str:
        """Replaces the table in one transaction; returns its fingerprint."""
        self._run(commands(table, sets or {}), f"writing table {FAMILY} {TABLE}")
        return self.fingerprint()

    def change(self, before: Sets, after: Sets) -> str:
        """Makes sets of the table hold something else; returns the fingerprint.

        KernelError when the sets are not as they were left, for somebody else was there.
        """
        self._run(changes(before, after), f"changing sets of table {FAMILY} {TABLE}")
        return self.fingerprint()

    def remove(self) -> None:
        self._run(removal(), f"removing table {FAMILY} {TABLE}")

    def fingerprint(self) -> str:
        """Of the table as the kernel has it, empty when there is none."""
        # Not as JSON: for a table that has an owner (`nft -i` makes such), libnftables 1.0.6
        # prints whatever stands behind its list of flags, and that may be anything.
        if f"table {FAMILY} {TABLE}" not in self._text(f"list tables {FAMILY}").splitlines():
            return ""
        request = [{"list": {"table": {"family": FAMILY, "name": TABLE}}}]
        listing = _stable(self._run(request, f"listing table {FAMILY} {TABLE}"))
        return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()

    # ---- the owner's ------------------------------------------------------------------

    def base_chains(self) -> tuple[BaseChain, ...]:
        """Of all tables but ours."""
        try:
            listed = [item["chain"] for item in self._list_chains() if "chain" in item]
        except UnreadableError:
            listed = list(_chains_of(self._text("list chains")))
        return tuple(
            self._inspect(chain)
            for chain in listed
            if "hook" in chain and (chain["family"], chain["table"]) != (FAMILY, TABLE)
        )

    def _list_chains(self) -> list[dict[str, Any]]:
        return self._run([{"list": {"chains": None}}], "listing chains")

    def _devices(self, chain: dict[str, Any]) -> tuple[str, ...]:
        """libnftables 1.0.6 tells the devices of an ingress chain in text only."""
        if chain["hook"] not in ("ingress", "egress"):
            return ()
        text = self._text(f"list chain {chain['family']} {chain['table']} {chain['name']}")
        hook = next((line for line in text.splitlines() if " hook " in line), "")
        return tuple(re.findall(r'"([^"]+)"', hook))

    def _inspect(self, chain: dict[str, Any]) -> BaseChain:
        """The listing of all chains leaves out rules, and the devices of a netdev chain."""
        named = {key: chain[key] for key in ("family", "table", "name")}
        try:
            items = self._run([{"list": {"chain": named}}], f"listing chain {chain['name']}")
        except UnreadableError:
            items = [{"rule": None}]  # nobody can tell: it counts as one that judges packets
        described = next((item["chain"] for item in items if "chain" in item), chain)
        device = described.get("dev") or self._devices(chain)
        return BaseChain(
            chain["family"],
            chain["table"],
            chain["name"],
            chain["hook"],
            chain.get("policy", "accept"),
            (device,) if isinstance(device, str) else tuple(device),
            any("rule" in item for item in items),
        )


def _check(result: int, error: Any, what: str) -> None:
    if result:
        text = " ".join(str(error).split()) or "no reason given"
        raise KernelError(f"nftables: {what}: {text}", code="nft")


def _chains_of(listing: str) -> Iterator[dict[str, Any]]:
    """The base chains of a listing for people, under the keys of the one for programs."""
    family = table = name = ""
    for line in listing.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            family, table = words[1:3]
        elif words[:1] == ["chain"]:
            name = words[1]
        elif found := HOOKED.match(line.strip()):
            chain = {"family": family, "table": table, "name": name, "hook": found[1]}
            yield chain | {"policy": found[2] or "accept"}


def _stable(value: Any) -> Any:
    """A listing without what changes while the table stays the same, its sets in order."""
    if isinstance(value, dict):
        stable = {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
        if "elem" in stable:
            stable["elem"] = sorted(stable["elem"], key=json.dumps)
        return stable
    if isinstance(value, list):
        return [_stable(item) for item in value]
    return value
