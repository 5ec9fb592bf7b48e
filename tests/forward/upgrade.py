# SPDX-License-Identifier: GPL-2.0-or-later
"""Other versions of the agent: the checkout's sources but for a change, built elsewhere."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Change = Callable[[Path], None]


def _replace(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), count=1)
    assert count == 1, f"{path}: no {pattern!r}"
    path.write_text(text)


def another_program(tree: Path) -> None:
    """The maps are as before."""
    _replace(tree / "bpf/src/sweep.h", r"SWEEP_IDLE_NS = 1000000000", "SWEEP_IDLE_NS = 1100000000")


def another_layout(tree: Path) -> None:
    """What is known about a session stands elsewhere, beside something that nobody knew yet."""
    types = tree / "bpf/include/gw_abi.h"
    _replace(types, r"GW_ABI_VERSION = (\d+)", r"GW_ABI_VERSION = 1\1")
    _replace(types, r"\tstruct gw_tuple arrives;\n", r"\t__u64 novelty;\n\g<0>")
    _replace(types, r"(\t__u16 l3_delta;[^\n]*\n)(\t__u16 l4_delta;[^\n]*\n)", r"\2\1")
    _replace(types, r"__u64 pad\[5\];", "__u64 pad[4];")


def build(tree: Path, change: Change) -> Path:
    """The folder of its programs; `tree` is made."""
    for part in ("bpf", "agent"):
        shutil.copytree(ROOT / part, tree / part)
    shutil.copy(ROOT / "Makefile", tree)
    change(tree)
    made = subprocess.run(
        ["make", "-s", "-C", str(tree), "build"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return tree / "build" / "bin"
