# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian that has grout."""

from pathlib import Path

from tests.bench.report import progress
from tests.lib.chroot import FILES, ChrootError, Tree, beside, entering

VERSION = 26
"""Of DPDK's libraries there, as their packages are called."""
DRIVERS = ("net-pcap", "net-null", "mempool-ring")
# grout does not start without the first one.
BUSES = ("fslmc", "pci", "vdev", "dpaa", "auxiliary", "vmbus")
GROUT = Tree(
    "grout",
    (
        "grout",
        *(f"librte-{name}{VERSION}" for name in DRIVERS),
        *(f"librte-bus-{name}{VERSION}" for name in BUSES),
    ),
)

__all__ = ["FILES", "ChrootError", "beside", "entering", "ready"]


def ready() -> Path:
    """The tree, made if it is not there; ChrootError with the reason if that fails."""
    if not GROUT.ready:
        progress("installing grout")
    return GROUT.made()
