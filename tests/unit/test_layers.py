# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may import whom: docs/architecture.md draws it, this reads the imports and enforces it."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "agent" / "hybrid_gateway"
NAME = "hybrid_gateway"

# What every layer may use: values and paths, nothing that acts.
BASE = {"errors", "instance", "model", "version", "worker_values"}


def layer(path: Path) -> str:
    """The first part of a module's name below the package."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "version" if first == "__init__" else first


FILES = sorted(PACKAGE.rglob("*.py"))

# The modules that touch the system: bpf, netlink, nft and so on, all that have no rule below.
ABOVE = {"config", "access", "client", "api", "plan", "observe", "apply", "agent", "cli", "lab"}
ABOVE |= {"jsonrpc", "worker"}
SYSTEM = {layer(path) for path in FILES} - BASE - ABOVE

ALLOWED: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "model": set(),
    "instance": {"errors"},
    "config": {"errors", "model"},
    "access": set(),
    "jsonrpc": set(),
    "client": {"errors", "instance", "jsonrpc"},
    "worker_values": {"errors", "model"},
    "worker_client": {"errors", "jsonrpc", "worker_values"},
    # A process of its own; what it starts with is what it keeps in memory.
    "worker": {"access", "api", "errors", "instance", "lock", "model", "notify", "version"}
    | {"worker_values"},
    "api": {"access", "errors"},
    "plan": {"model"},
    "observe": BASE | SYSTEM,
    "apply": BASE | SYSTEM | {"plan"},
    "agent": BASE | SYSTEM | {"api", "apply", "config", "observe", "plan"},
    "cli": {"client", "errors", "instance", "version"},
    "lab": {"client", "errors", "instance", "version", "worker_client"},
}

# One module each, for one reason.
EXCEPTIONS = {
    ("cli/config.py", "config"): "gwctl check reads the file itself when no agent runs",
    ("cli/lab.py", "lab"): "gwctl lab is the lab's own command",
    ("lab/bgp.py", "evpn"): "one place knows how gobgpd is started",
}


def imported(path: Path) -> Iterator[str]:
    """Layers that a file imports, wherever in it the import stands."""
    inside = (NAME, *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            modules = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            module = base + tuple((node.module or "").split(".") if node.module else ())
            modules = [(*module, alias.name) for alias in node.names]
        for module in modules:
            if module[0] == NAME:
                found = module[1] if len(module) > 1 else "version"
                yield "version" if found.startswith("__") else found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = layer(path)
    allowed = ALLOWED.get(own, BASE | SYSTEM) | {own}
    place = str(path.relative_to(PACKAGE))
    allowed |= {name for (file, name) in EXCEPTIONS if file == place}

    above = set(imported(path)) - allowed

    assert not above, f"{place} may not import {', '.join(sorted(above))}"


def test_the_walk_sees_imports() -> None:
    assert {"client", "errors", "instance"} <= set(imported(PACKAGE / "cli" / "base.py"))
    assert "config" in set(imported(PACKAGE / "cli" / "config.py"))
    assert "version" in set(imported(PACKAGE / "cli" / "__init__.py"))


def test_the_shared_types_need_linux_types_alone() -> None:
    header = ROOT / "bpf" / "include" / "gw_abi.h"
    includes = [line for line in header.read_text().splitlines() if line.startswith("#include")]

    assert includes == ["#include <linux/types.h>"]
    subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", "-xc", str(header)], check=True
    )


def test_the_data_paths_do_not_know_each_other() -> None:
    def included(folder: str) -> set[str]:
        lines = [
            line
            for path in (ROOT / folder).rglob("*.[ch]")
            for line in path.read_text().splitlines()
            if line.startswith('#include "')
        ]
        return {line.split('"')[1].rpartition("/")[2] for line in lines}

    def own(folder: str) -> set[str]:
        return {path.name for path in (ROOT / folder).rglob("*.h")}

    assert included("dpdk") <= own("dpdk")
    assert included("bpf") <= own("bpf")


def test_every_source_file_names_its_licence() -> None:
    patterns = (
        *("agent/**/*.py", "tests/**/*.py", "dpdk/**/*.py", ".ci/*"),
        *("agent/**/*.[ch]", "bpf/**/*.[ch]", "dpdk/**/*.[ch]"),
    )
    files = [path for pattern in patterns for path in ROOT.glob(pattern)]

    missing = [
        str(path.relative_to(ROOT))
        for path in files
        if "SPDX-License-Identifier: GPL-2.0-or-later" not in path.read_text()[:200]
    ]
    assert not missing
