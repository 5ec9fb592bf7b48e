# SPDX-License-Identifier: GPL-2.0-or-later
"""Object files that are damaged or of another version: named, and never loaded."""

import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from hybrid_gateway import abi
from hybrid_gateway.bpf import DataPlane, ObjectError
from hybrid_gateway.bpf.objects import ABI_SYMBOL, ObjectFile
from hybrid_gateway.bpf.programs import TC_PROGRAMS, XDP_PROGRAMS

from .plane import object_dir

OBJECTS = {"gw_xdp.bpf.o": XDP_PROGRAMS, "gw_guard.bpf.o": TC_PROGRAMS}
CUTS = 200
every_object = pytest.mark.parametrize("name", OBJECTS)


def _refused(path: Path, name: str) -> ObjectError:
    with pytest.raises(ObjectError) as caught:
        ObjectFile(path, OBJECTS[name]).verify()
    assert str(path) in str(caught.value)
    return caught.value


def _section(name: str, section: str) -> tuple[int, int]:
    """Where a section's content and its header lie in the object file."""
    with (object_dir() / name).open("rb") as stream:
        elf = ELFFile(stream)
        index = elf.get_section_index(section)
        header = elf["e_shoff"] + index * elf["e_shentsize"]
        return elf.get_section(index)["sh_offset"], header


def _damaged(tmp_path: Path, name: str, at: int, content: bytes) -> Path:
    data = bytearray((object_dir() / name).read_bytes())
    data[at : at + len(content)] = content
    path = tmp_path / name
    path.write_bytes(data)
    return path


@every_object
def test_what_was_built_is_accepted(name: str) -> None:
    ObjectFile(object_dir() / name, OBJECTS[name]).verify()


@every_object
def test_a_truncated_object(tmp_path: Path, name: str) -> None:
    whole = (object_dir() / name).read_bytes()
    path = tmp_path / name
    for size in (*range(0, len(whole), len(whole) // CUTS), len(whole) - 1):
        path.write_bytes(whole[:size])
        _refused(path, name)


@every_object
def test_another_abi_version(tmp_path: Path, name: str) -> None:
    with (object_dir() / name).open("rb") as stream:
        elf = ELFFile(stream)
        (symbol,) = elf.get_section_by_name(".symtab").get_symbol_by_name(ABI_SYMBOL)
        at = elf.get_section(symbol["st_shndx"])["sh_offset"] + symbol["st_value"]
    path = _damaged(tmp_path, name, at, struct.pack("=I", abi.VERSION + 6))

    error = _refused(path, name)

    assert error.code == "bpf.abi-version"
    assert f"ABI version {abi.VERSION + 6}, this agent has {abi.VERSION}" in str(error)


@pytest.mark.parametrize("section", ["license", ".maps", ".BTF", ".BTF.ext", ".rodata"])
@every_object
def test_a_missing_section(tmp_path: Path, name: str, section: str) -> None:
    """Its name is taken away; the content stays where it was."""
    _, header = _section(name, section)
    path = _damaged(tmp_path, name, header, bytes(4))

    assert f"section {section} is missing" in str(_refused(path, name))


@every_object
def test_another_licence(tmp_path: Path, name: str) -> None:
    content, _ = _section(name, "license")

    error = _refused(_damaged(tmp_path, name, content, b"MIT"), name)
    assert "licence" in str(error)


@every_object
def test_another_machine(tmp_path: Path, name: str) -> None:
    machine_at, x86_64 = 18, 62

    error = _refused(_damaged(tmp_path, name, machine_at, struct.pack("=H", x86_64)), name)
    assert "not a BPF object" in str(error)


def test_a_missing_program() -> None:
    with pytest.raises(ObjectError, match="program gw_teleport is missing"):
        ObjectFile(object_dir() / "gw_xdp.bpf.o", ("gw_teleport",)).verify()


def test_no_object_at_all(tmp_path: Path) -> None:
    error = _refused(tmp_path / "gw_xdp.bpf.o", "gw_xdp.bpf.o")
    assert error.code == "bpf.object-missing"


@pytest.mark.parametrize("content", [b"", b"x", b"\x7fELF", b"#!/bin/sh\n" * 100, bytes(4096)])
def test_no_elf_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gw_xdp.bpf.o"
    path.write_bytes(content)
    _refused(path, "gw_xdp.bpf.o")


def test_the_data_plane_verifies_both(tmp_path: Path) -> None:
    (tmp_path / "gw_xdp.bpf.o").write_bytes((object_dir() / "gw_xdp.bpf.o").read_bytes())

    with pytest.raises(ObjectError, match=r"gw_guard\.bpf\.o"):
        DataPlane("unused", tmp_path).verify()
