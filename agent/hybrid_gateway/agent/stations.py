# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN segments, VTEPs and stations as the agent tells of them, with stable key names."""

from collections.abc import Mapping
from typing import Any

from .engine import Engine

Filter = Mapping[str, Any]


def segments(engine: Engine, cursor: int | str, limit: int, wanted: Filter) -> dict[str, Any]:  # noqa: ARG001
    return {"segments": [], "next": None}


def vteps(engine: Engine, cursor: int | str, limit: int, wanted: Filter) -> dict[str, Any]:  # noqa: ARG001
    return {"vteps": [], "next": None}


def fdb(engine: Engine, cursor: int | str, limit: int, wanted: Filter) -> dict[str, Any]:  # noqa: ARG001
    return {"fdb": [], "next": None}


def fdb_count(engine: Engine, wanted: Filter) -> dict[str, Any]:  # noqa: ARG001
    return {"count": 0}
