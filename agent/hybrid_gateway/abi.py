# SPDX-License-Identifier: GPL-2.0-or-later
"""The shared types of gw_abi.h as Python sees them, and what their numbers are called."""

from typing import Any

from _gw_native import ffi, lib

VERSION: int = lib.GW_ABI_VERSION


def names(enum: str, prefix: str) -> dict[int, str]:
    """Value to name of one C enum, without the prefix."""
    elements: dict[int, str] = ffi.typeof(f"enum {enum}").elements
    return {value: name.removeprefix(prefix) for value, name in elements.items()}


def counter_names() -> list[str]:
    """What is counted, in the order of gw_port_counters.count."""
    elements: dict[str, int] = ffi.typeof("enum gw_counter").relements
    marks = ("GW_VERDICTS", "GW_COUNTERS")
    named = {value: name for name, value in elements.items() if name not in marks}
    return [named[index].removeprefix("GW_") for index in range(lib.GW_COUNTERS)]


def new(struct: str, **fields: Any) -> Any:
    """A zeroed struct with some fields set."""
    value = ffi.new(f"struct {struct} *")
    for name, content in fields.items():
        setattr(value, name, content)
    return value
