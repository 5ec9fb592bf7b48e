# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of another Debian release: installed into a tree under build/ once, and run in it.

What a program mounts there goes away with it.
"""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREES = ROOT / "build/chroot"
OPTIONS = ('Apt::Install-Recommends "false"', 'Acquire::Check-Valid-Until "false"')
INSTALL_SECONDS = 600
FILES = "/mnt"
"""Where the caller's directory is seen inside."""
ENTER = f"""
set -e
mount --bind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount -t tmpfs tmpfs "$1/run"
mount --bind "$2" "$1{FILES}"
ip link set lo up
root=$1
shift 2
exec chroot "$root" "$@"
"""


class ChrootError(RuntimeError):
    """It cannot be made here."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A release with packages; `name` is that of its directory."""

    name: str
    packages: tuple[str, ...]
    suite: str = "forky"

    @property
    def place(self) -> Path:
        return TREES / self.name

    @property
    def ready(self) -> bool:
        marker = self._marker
        return marker.exists() and marker.read_text() == self._contents

    def made(self) -> Path:
        """The tree, made if it is not there (half a minute); ChrootError with the reason if that
        fails."""
        TREES.mkdir(parents=True, exist_ok=True)
        with _locked(TREES / f"{self.name}.lock"):
            if not self.ready:
                self._make()
        return self.place

    def _make(self) -> None:
        if self.place.exists():
            shutil.rmtree(self.place)
        argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
        argv += [f"--aptopt={option}" for option in OPTIONS]
        argv += [f"--include={','.join(self.packages)}", self.suite, str(self.place)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ChrootError(str(error)) from error
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise ChrootError(said[-1] if said else "mmdebstrap failed")
        self._marker.write_text(self._contents)

    @property
    def _marker(self) -> Path:
        return self.place / "etc/gw-packages"

    @property
    def _contents(self) -> str:
        return " ".join((self.suite, *self.packages))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two runs of the tests make one tree."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def entering(
    tree: Path, files: Path, argv: Sequence[str], *, network: Path | None = None
) -> list[str]:
    """The command line that runs a program inside, with namespaces of its own for mounts and
    network, or in the network namespace that is given. `files` is FILES there."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if network:
        unshare = ["nsenter", f"--net={network}", "--", *unshare]
    else:
        unshare.append("--net")
    return [*unshare, "sh", "-c", ENTER, "sh", str(tree), str(files), *argv]


def beside(pid: int, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program where that process, which was entered, is."""
    return ["nsenter", f"--target={pid}", "--mount", "--net", "--root", "--wd", "--", *argv]
