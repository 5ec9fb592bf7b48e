# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the extension module `_gw_worker`: the DPDK worker's C, by CFFI in API mode.

Usage: cffi_build.py OUTPUT_FOLDER [OBJECT_FOLDER]. What C compiles and what Python reads is one
header. With a folder for the objects only what has changed is compiled again; two builds into one
folder take turns.
"""

import fcntl
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from sysconfig import get_config_var, get_path

from cffi import FFI

HERE = Path(__file__).resolve().parent
HEADER = HERE / "include" / "gw_worker.h"
MODULE = "_gw_worker"
LIBRARIES = ("libdpdk", "libmnl")

# Hidden, or every access to a table would go through the global offset table; only the module's
# entry is public, which Python's headers see to. DPDK's own flags bring Debian's baseline (-march).
CFLAGS = [
    *("-std=gnu11", "-O3", "-g", "-fPIC", "-pthread", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"),
    "-DALLOW_EXPERIMENTAL_API",
]
# Of what CFFI writes; it is not ours to make tidy.
GENERATED_CFLAGS = ("-Wno-error", "-w")


def declarations(header: Path) -> str:
    """The header as CFFI reads it: without its guard and include lines."""
    return re.sub(r"^#.*$", "", header.read_text(encoding="utf-8"), flags=re.MULTILINE)


def generate(folder: Path) -> Path:
    """The C file between Python and the library; untouched when it would not change."""
    ffi = FFI()
    ffi.cdef(declarations(HEADER))
    ffi.set_source(MODULE, f'#include "{HEADER.name}"\n')
    target = folder / f"{MODULE}.c"
    with redirect_stdout(StringIO()):  # it says that it does
        ffi.emit_c_code(str(target))
    return target


def pkg_config(option: str) -> list[str]:
    done = subprocess.run(
        ["pkg-config", option, *LIBRARIES], check=True, text=True, stdout=subprocess.PIPE
    )
    return shlex.split(done.stdout)


def current(target: Path) -> bool:
    """Whether it is newer than all that it was made from, as its compilation has written down."""
    try:
        written = target.with_suffix(".d").read_text()
        made = target.stat().st_mtime_ns
        sources = written.replace("\\\n", " ").partition(":")[2].split()
        return all(Path(source).stat().st_mtime_ns < made for source in [*sources, __file__])
    except OSError:
        return False


def compiled(source: Path, objects: Path, flags: list[str]) -> Path:
    """The object of one source. RuntimeError when the compiler refuses it: it has said why."""
    name = source.relative_to(HERE) if source.is_relative_to(HERE) else Path(source.name)
    target = objects / "-".join(name.with_suffix(".o").parts)
    if current(target):
        return target
    command = [os.environ.get("CC", "gcc"), *flags, "-MD", "-c", str(source), "-o", str(target)]
    if subprocess.run(command, check=False).returncode:
        target.unlink(missing_ok=True)
        raise RuntimeError(f"{source} does not compile")
    return target


def linked(objects: list[Path], target: Path) -> None:
    """The module; fails for a function that nobody defines, which only loading would find."""
    draft = target.with_suffix(".new")
    command = [os.environ.get("CC", "gcc"), "-shared", "-pthread", "-o", str(draft)]
    command += [*map(str, objects), *pkg_config("--libs")]
    subprocess.run(command, check=True)
    load = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    subprocess.run([sys.executable, "-c", load, str(draft)], check=True)
    # A new file, not a new content: a running worker has the old one mapped.
    draft.replace(target)


def build(output: Path, objects: Path) -> None:
    flags = [*CFLAGS, *pkg_config("--cflags"), f"-I{HEADER.parent}", f"-I{HERE / 'src'}"]
    sources = sorted((HERE / "src").rglob("*.c"))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        generated = generate(objects)
        python = [f"-I{get_path('include')}", *GENERATED_CFLAGS]
        jobs = [pool.submit(compiled, generated, objects, [*flags, *python])]
        jobs += [pool.submit(compiled, source, objects, flags) for source in sources]
        made = [job.result() for job in jobs]
    linked(made, output / f"{MODULE}{get_config_var('EXT_SUFFIX')}")


def main(output: Path, objects: Path | None) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = objects or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            build(output, folder)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except (RuntimeError, subprocess.CalledProcessError) as problem:
        sys.exit(f"cffi_build: {problem}")
