# SPDX-License-Identifier: GPL-2.0-or-later
"""nftables through libnftables' JSON interface: our table, and a look at the owner's chains."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from .errors import KernelError
from .model import FallbackTable
from .nft_table import FAMILY, TABLE, commands, removal

VOLATILE = ("handle", "metainfo", "index")


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
        if self._library is None:
            import nftables

            self._library = nftables.Nftables()
            self._library.set_json_output(True)
            self._library.set_handle_output(False)
        result, output, error = self._library.json_cmd({"nftables": request})
        if result:
            text = " ".join(str(error).split()) or "no reason given"
            raise KernelError(f"nftables: {what}: {text}", code="nft")
        answer = output if isinstance(output, dict) else json.loads(output or "{}")
        items: list[dict[str, Any]] = answer.get("nftables", [])
        return items

    # ---- our table --------------------------------------------------------------------

    def write(self, table: FallbackTable) -> str:
        """Replaces the table in one transaction; returns its fingerprint."""
        self._run(commands(table), f"writing table {FAMILY} {TABLE}")
        return self.fingerprint()

    def remove(self) -> None:
        self._run(removal(), f"removing table {FAMILY} {TABLE}")

    def fingerprint(self) -> str:
        """Of the table as the kernel has it, empty when there is none."""
        if not any(
            item.get("table", {}).get("name") == TABLE
            for item in self._run([{"list": {"tables": {"family": FAMILY}}}], "listing tables")
        ):
            return ""
        request = [{"list": {"table": {"family": FAMILY, "name": TABLE}}}]
        listing = _stable(self._run(request, f"listing table {FAMILY} {TABLE}"))
        return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()

    # ---- the owner's ------------------------------------------------------------------

    def base_chains(self) -> tuple[BaseChain, ...]:
        """Of all tables but ours."""
        found = []
        for item in self._run([{"list": {"chains": None}}], "listing chains"):
            chain = item.get("chain")
            if not chain or "hook" not in chain:
                continue
            if (chain["family"], chain["table"]) == (FAMILY, TABLE):
                continue
            found.append(self._inspect(chain))
        return tuple(found)

    def _devices(self, chain: dict[str, Any]) -> tuple[str, ...]:
        """libnftables 1.0.6 tells the devices of an ingress chain in text only."""
        if chain["hook"] not in ("ingress", "egress"):
            return ()
        self._library.set_json_output(False)
        try:
            _, text, _ = self._library.cmd(
                f"list chain {chain['family']} {chain['table']} {chain['name']}"
            )
        finally:
            self._library.set_json_output(True)
        hook = next((line for line in str(text).splitlines() if " hook " in line), "")
        return tuple(re.findall(r'"([^"]+)"', hook))

    def _inspect(self, chain: dict[str, Any]) -> BaseChain:
        """The listing of all chains leaves out rules, and the devices of a netdev chain."""
        named = {key: chain[key] for key in ("family", "table", "name")}
        items = self._run([{"list": {"chain": named}}], f"listing chain {chain['name']}")
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


def _stable(value: Any) -> Any:
    """A listing without what changes while the table stays the same."""
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    return value
