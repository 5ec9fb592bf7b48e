# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the extension module `_gw_native`: libbpf, libmnl and the shared types, by CFFI.

Usage: build_native.py OUTPUT_FOLDER. What C compiles and what Python reads are the same
headers, so a type cannot be one thing here and another there.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ABI = HERE.parents[1] / "bpf" / "include" / "gw_abi.h"
HEADERS = ("gw_native.h", "gw_mirror.h", "gw_evpn.h")
TYPES = """
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef unsigned long long __u64;
"""


def declarations(header: Path) -> str:
    """The header as CFFI reads it: without its guard and include lines."""
    text = header.read_text(encoding="utf-8")
    return re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


def builder() -> FFI:
    ffi = FFI()
    # As <linux/types.h> has them on every 64-bit target.
    ffi.cdef(TYPES)
    ffi.cdef(declarations(ABI))
    for name in HEADERS:
        ffi.cdef(declarations(HERE / name))
    ffi.set_source(
        "_gw_native",
        "".join(f'#include "{name}"\n' for name in (ABI.name, *HEADERS)),
        sources=[str(source) for source in sorted(HERE.glob("*.c"))],
        include_dirs=[str(ABI.parent), str(HERE)],
        libraries=["bpf", "mnl"],
        extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    )
    return ffi


def main(output: str) -> None:
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(builder().compile(tmpdir=scratch, verbose=False))
        target = folder / built.name
        # A new file, not a new content: a running agent has the old one mapped.
        shutil.copy2(built, target.with_suffix(".new"))
        target.with_suffix(".new").replace(target)


if __name__ == "__main__":
    main(sys.argv[1])
