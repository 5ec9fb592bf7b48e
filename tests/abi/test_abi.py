# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_abi.h means the same to CFFI, which the agent uses, and to the compiler of the BPF programs.

What the compiler made of it is read from the BTF of an object that has one variable of each type.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _gw_native import ffi, lib

from hybrid_gateway import abi

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "bpf" / "include" / "gw_abi.h"
OBJECT = Path(os.environ.get("GW_BPF_DIR", ROOT / "build" / "bpf")) / "abi_types.bpf.o"
TEXT = HEADER.read_text(encoding="utf-8")
CODE = re.sub(r"/\*.*?\*/", "", TEXT, flags=re.DOTALL)
STRUCTS = re.findall(r"^struct (\w+) \{", CODE, re.MULTILINE)
ENUMS = re.findall(r"^enum (\w+) \{", CODE, re.MULTILINE)
INTEGERS = {"__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8}

every_struct = pytest.mark.parametrize("name", STRUCTS)
every_enum = pytest.mark.parametrize("name", ENUMS)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a struct; `type` spelled as in C, `count` 0 when it is no array."""

    name: str
    offset: int
    size: int
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Layout:
    size: int
    members: tuple[Member, ...]


class Btf:
    """The types of one object, as bpftool tells them."""

    def __init__(self, path: Path) -> None:
        dump = subprocess.run(
            ["bpftool", "btf", "dump", "file", str(path), "-j"],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        self._types: dict[int, dict[str, Any]] = {
            entry["id"]: entry for entry in json.loads(dump.stdout)["types"]
        }

    def names(self, kind: str) -> set[str]:
        return {entry["name"] for entry in self._types.values() if entry["kind"] == kind}

    def _named(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (
            entry
            for entry in self._types.values()
            if entry["kind"] == kind and entry["name"] == name
        )
        return found

    def enum(self, name: str) -> dict[str, int]:
        return {value["name"]: value["val"] for value in self._named("ENUM", name)["values"]}

    def layout(self, name: str) -> Layout:
        found = self._named("STRUCT", name)
        members = (self._member(member) for member in found["members"])
        return Layout(found["size"], tuple(members))

    def _member(self, member: dict[str, Any]) -> Member:
        assert "bitfield_size" not in member or member["bitfield_size"] == 0
        offset, rest = divmod(member["bits_offset"], 8)
        assert rest == 0
        entry, count = self._types[member["type_id"]], 0
        if entry["kind"] == "ARRAY":
            entry, count = self._types[entry["type_id"]], entry["nr_elems"]
        spelled, size = self._spelled(entry)
        return Member(member["name"], offset, size * max(count, 1), spelled, count)

    def _spelled(self, entry: dict[str, Any]) -> tuple[str, int]:
        if entry["kind"] == "STRUCT":
            return f"struct {entry['name']}", entry["size"]
        assert entry["kind"] == "TYPEDEF", f"{entry['name']} has no fixed width"
        return entry["name"], INTEGERS[entry["name"]]


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(OBJECT)


def _cffi_layout(name: str) -> Layout:
    found = ffi.typeof(f"struct {name}")
    members = []
    for member, info in found.fields:
        assert info.bitsize == -1, f"{member} is a bit-field"
        ctype, count = info.type, 0
        if ctype.kind == "array":
            ctype, count = ctype.item, ctype.length
        size = ffi.sizeof(info.type)
        members.append(Member(member, info.offset, size, ctype.cname, count))
    return Layout(ffi.sizeof(found), tuple(members))


def _as_c(layout: Layout) -> Layout:
    """CFFI reads __u8 as the C type behind the name: compare widths, and structs by name."""
    names = {ffi.typeof(name).cname: name for name in INTEGERS}
    members = tuple(
        Member(m.name, m.offset, m.size, names.get(m.type, m.type), m.count) for m in layout.members
    )
    return Layout(layout.size, members)


@every_struct
def test_structs_are_laid_out_alike(btf: Btf, name: str) -> None:
    assert _as_c(_cffi_layout(name)) == btf.layout(name)


@every_enum
def test_enums_have_the_same_values(btf: Btf, name: str) -> None:
    assert ffi.typeof(f"enum {name}").relements == btf.enum(name)


@every_enum
def test_constants_are_what_their_enum_says(name: str) -> None:
    for constant, value in ffi.typeof(f"enum {name}").relements.items():
        assert getattr(lib, constant) == value


def test_no_type_is_missing_in_the_object(btf: Btf) -> None:
    """And none is there that the header does not have."""
    assert btf.names("STRUCT") == set(STRUCTS)
    assert btf.names("ENUM") == set(ENUMS)
    assert btf.names("UNION") == set()


def test_no_type_is_missing_in_cffi() -> None:
    _, structs, unions = ffi.list_types()
    assert set(STRUCTS) <= set(structs)
    assert unions == []
    for name in ENUMS:
        assert ffi.typeof(f"enum {name}").kind == "enum"


@every_struct
def test_padding_is_spelled_out(btf: Btf, name: str) -> None:
    """The padding of a hash key is part of the key: it has to be there to be zeroed."""
    layout, end = btf.layout(name), 0
    for member in layout.members:
        assert member.offset == end, f"hole before {member.name}"
        end += member.size
    assert end == layout.size, "hole at the end"


def test_the_header_depends_on_linux_types_alone() -> None:
    directives = re.findall(r"^\s*#\s*(.*)$", CODE, re.MULTILINE)
    assert directives == ["ifndef GW_ABI_H", "define GW_ABI_H", "include <linux/types.h>", "endif"]


def test_the_header_is_plain() -> None:
    assert "__attribute__" not in CODE
    assert "typedef" not in CODE
    assert "union" not in CODE
    bit_fields = re.findall(
        r"^\s*(?:__u\d+|struct \w+|enum \w+) \w+\s*:\s*\d+;", CODE, re.MULTILINE
    )
    assert bit_fields == []
    assert len(STRUCTS) == len(set(STRUCTS)) == len(re.findall(r"\bstruct \w+ \{", CODE))
    assert len(ENUMS) == len(set(ENUMS)) == len(re.findall(r"\benum \w+ \{", CODE))


def test_every_counter_has_a_name_and_a_place(btf: Btf) -> None:
    names = abi.counter_names()
    (count,) = btf.layout("gw_port_counters").members
    assert count.count == len(names) == lib.GW_COUNTERS
    assert len(set(names)) == len(names)
    assert all(
        name in ("FORWARD", "REPLY", "BRIDGE") or name.startswith(("PUNT_", "DROP_"))
        for name in names[: lib.GW_VERDICTS]
    )


def test_arrays_are_as_long_as_their_enum_says(btf: Btf) -> None:
    wanted = {
        ("gw_settings", "timeouts"): lib.GW_TIMERS,
        ("gw_settings", "pool"): lib.GW_POOL_MAX,
        ("gw_bucket", "tags"): lib.GW_BUCKET_ENTRIES,
        ("gw_bucket", "refs"): lib.GW_BUCKET_ENTRIES,
    }
    for (struct, member), count in wanted.items():
        (found,) = (m for m in btf.layout(struct).members if m.name == member)
        assert found.count == count, f"{struct}.{member}"
