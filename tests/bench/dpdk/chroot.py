# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian that has grout: made once, under build/, and entered without leaving mounts behind."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.path import ROOT
from tests.bench.report import progress

SUITE = "forky"
TREE = ROOT / "build/bench-grout"
"""Not in build/bench, which is made anew with everything that is compiled."""
VERSION = 26
"""Of DPDK's libraries there, as their packages are called."""
DRIVERS = ("net-pcap", "net-null", "mempool-ring")
# grout does not start without the first one.
BUSES = ("fslmc", "pci", "vdev", "dpaa", "auxiliary", "vmbus")
PACKAGES = (
    "grout",
    *(f"librte-{name}{VERSION}" for name in DRIVERS),
    *(f"librte-bus-{name}{VERSION}" for name in BUSES),
)
OPTIONS = ('Apt::Install-Recommends "false"', 'Acquire::Check-Valid-Until "false"')
INSTALL_SECONDS = 600
FILES = "/mnt"
"""Where the caller's directory is seen inside."""
ENTER = f"""
set -e
mount --bind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --bind "$2" "$1{FILES}"
ip link set lo up
root=$1
shift 2
exec chroot "$root" "$@"
"""


class ChrootError(RuntimeError):
    """It cannot be made here."""


def ready() -> Path:
    """The tree, made if it is not there; ChrootError with the reason if that fails."""
    marker = TREE / "etc/gw-bench"
    if marker.exists() and marker.read_text() == " ".join(PACKAGES):
        return TREE
    progress(f"installing grout into {TREE.relative_to(ROOT)}")
    if TREE.exists():
        shutil.rmtree(TREE)
    TREE.parent.mkdir(exist_ok=True)
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
    argv += [f"--aptopt={option}" for option in OPTIONS]
    argv += [f"--include={','.join(PACKAGES)}", SUITE, str(TREE)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChrootError(str(error)) from error
    if done.returncode:
        raise ChrootError(done.stderr.strip().splitlines()[-1] if done.stderr else "mmdebstrap")
    marker.write_text(" ".join(PACKAGES))
    return TREE


def entering(tree: Path, files: Path, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program inside, with namespaces of its own for mounts and
    network; what it mounts goes with it. `files` is FILES there."""
    unshare = ["unshare", "--mount", "--net", "--propagation", "private"]
    return [*unshare, "sh", "-c", ENTER, "sh", str(tree), str(files), *argv]


def beside(pid: int, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program where that process, which was entered, is."""
    return ["nsenter", f"--target={pid}", "--mount", "--net", "--root", "--wd", "--", *argv]
