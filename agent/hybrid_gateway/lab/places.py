# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a checkout keeps its runnable programs and where labs keep their files."""

import os
from pathlib import Path

from .namespaces import LabError

_CHECKOUT = Path(__file__).resolve().parents[3]
PYTHON = "/usr/bin/python3"
"""Debian's: a Python that comes first on PATH may not see Debian's packages."""


def program(name: str) -> Path:
    """`gw-agent` or `gwctl`: from GW_BIN, the checkout's build/bin, or as installed."""
    places = [_CHECKOUT / "build" / "bin", Path("/usr/bin"), Path("/usr/sbin")]
    if chosen := os.environ.get("GW_BIN"):
        places.insert(0, Path(chosen))
    for place in places:
        if os.access(place / name, os.X_OK):
            return place / name
    looked = ", ".join(str(place) for place in places)
    raise LabError(f"{name} is in none of {looked}: run `make build`", code="lab.not-built")


def lab_dir(name: str) -> Path:
    """Below build/ of the checkout; an installed package has no checkout and uses /run."""
    if (_CHECKOUT / "pyproject.toml").exists():
        return _CHECKOUT / "build" / "lab" / name
    return Path("/run/gw-lab") / name
