# SPDX-License-Identifier: GPL-2.0-or-later
"""Object files: read and judged before the kernel sees them, then loaded."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _gw_native import ffi, lib

from .. import abi
from ..errors import GwError, KernelError

# libbpf's messages go into errors, not to the terminal.
lib.gw_log_clear()

EM_BPF = 247
ABI_SYMBOL = "gw_abi_version"
LOG_LINES = 20


class ObjectError(GwError):
    """An object file that is not what this version of the agent was built with."""

    default_code = "bpf.object"


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """A BPF object and what it must contain."""

    path: Path
    programs: tuple[str, ...]

    def verify(self) -> None:
        """Raises ObjectError that names the file and what is wrong with it."""
        # Imported here: only a start needs it.
        from elftools.common.exceptions import ELFError
        from elftools.construct.core import ConstructError
        from elftools.elf.elffile import ELFFile

        try:
            with self.path.open("rb") as stream:
                self._verify_elf(ELFFile(stream))
        except OSError as error:
            raise ObjectError(f"{self.path}: {error.strerror}", code="bpf.object-missing") from None
        except (ELFError, ConstructError, struct.error, ValueError, AssertionError) as error:
            raise ObjectError(f"{self.path}: not a whole ELF file ({error})") from None

    def _verify_elf(self, elf: Any) -> None:
        if elf["e_machine"] not in (EM_BPF, "EM_BPF"):
            raise ObjectError(f"{self.path}: not a BPF object")
        size = self.path.stat().st_size
        for section in elf.iter_sections():
            end = section["sh_offset"] + section["sh_size"]
            if section["sh_type"] != "SHT_NOBITS" and end > size:
                raise ObjectError(f"{self.path}: truncated, section {section.name} is cut off")
        for name in ("license", ".maps", ".BTF", ".BTF.ext", ".rodata"):
            if elf.get_section_by_name(name) is None:
                raise ObjectError(f"{self.path}: section {name} is missing")
        licence = elf.get_section_by_name("license").data().rstrip(b"\0")
        if licence != b"GPL":
            raise ObjectError(f"{self.path}: licence is {licence!r}, the helpers need GPL")
        symbols = elf.get_section_by_name(".symtab")
        present = {symbol.name for symbol in symbols.iter_symbols()} if symbols else set()
        for program in self.programs:
            if program not in present:
                raise ObjectError(f"{self.path}: program {program} is missing")
        self._verify_abi(elf, symbols)

    def _verify_abi(self, elf: Any, symbols: Any) -> None:
        found = symbols.get_symbol_by_name(ABI_SYMBOL)
        if not found:
            raise ObjectError(f"{self.path}: states no ABI version")
        offset = found[0]["st_value"]
        (version,) = struct.unpack_from("=I", elf.get_section_by_name(".rodata").data(), offset)
        if version != abi.VERSION:
            raise ObjectError(
                f"{self.path}: ABI version {version}, this agent has {abi.VERSION}",
                code="bpf.abi-version",
            )


class LoadedObject:
    """An object in the kernel; closing it takes away what was not pinned or attached."""

    def __init__(self, file: ObjectFile) -> None:
        error = ffi.new("int *")
        lib.gw_log_clear()
        self._file = file
        self._object = lib.gw_object_open(os.fsencode(file.path), error)
        if self._object == ffi.NULL:
            raise KernelError(f"{file.path}: cannot be opened", error[0], code="bpf.object")

    def maps(self) -> dict[str, Any]:
        """Its maps by name, without those that libbpf makes for data sections."""
        found: dict[str, Any] = {}
        current = lib.gw_object_next_map(self._object, ffi.NULL)
        while current != ffi.NULL:
            if not lib.gw_map_internal(current):
                found[ffi.string(lib.gw_map_name(current)).decode()] = current
            current = lib.gw_object_next_map(self._object, current)
        return found

    def same_enum(self, map_fd: int, name: str) -> bool:
        """Whether a map that is there was made by programs with the same enum of that name."""
        return bool(lib.gw_same_enum(map_fd, self._object, name.encode()) == 1)

    def load(self) -> None:
        result = lib.gw_object_load(self._object)
        if result:
            log = ffi.string(lib.gw_log()).decode(errors="replace").strip().splitlines()
            tail = "\n".join(log[-LOG_LINES:])
            raise KernelError(
                f"{self._file.path}: the kernel refused it\n{tail}", result, code="bpf.load"
            )

    def program(self, name: str) -> int:
        """The program's file descriptor, valid until close()."""
        fd: int = lib.gw_object_program(self._object, name.encode())
        if fd < 0:
            raise KernelError(f"{self._file.path}: program {name}", fd, code="bpf.object")
        return fd

    def close(self) -> None:
        if self._object != ffi.NULL:
            lib.gw_object_close(self._object)
            self._object = ffi.NULL
