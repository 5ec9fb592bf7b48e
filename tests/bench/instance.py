# SPDX-License-Identifier: GPL-2.0-or-later
"""What an instance's pinned maps hold and cost, looked at from outside."""

import json
import mmap
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from hybrid_gateway.instance import Instance
from tests.bench.generator import CPU, TOOL
from tests.bench.path import run


@dataclass(frozen=True)
class Scan:
    """One scan of all sessions, as the kernel measured it."""

    ns: int
    longest_ns: int  # of its slices
    looked: int
    removed: int
    slices: int


class InstanceMaps:
    """Of an instance that is loaded."""

    def __init__(self, name: str) -> None:
        self._folder = Instance(name).pinned_maps

    def megabytes(self) -> float:
        """What the kernel charges for all of them."""
        return self.bytes_of(path.name for path in self._folder.iterdir()) / 1e6

    def bytes_of(self, names: Iterable[str]) -> int:
        """What the kernel charges for these."""
        total = 0
        for name in names:
            path = str(self._folder / name)
            described = json.loads(run(["bpftool", "--json", "map", "show", "pinned", path]))
            total += int(described["bytes_memlock"])
        return total

    def scan(self, *, end_all: bool = False) -> Scan:
        """Looks at every session once; ends those that have expired, or all."""
        argv = [str(TOOL), "sweep", "--maps", str(self._folder), "--cpu", str(CPU)]
        return Scan(**json.loads(run([*argv, *(["--all"] if end_all else [])])))

    def closing_sessions(self) -> int:
        """Live sessions in the TCP state CLOSING."""
        # Built from this checkout; the other modules here do without it.
        from _gw_native import ffi, lib

        size = ffi.sizeof("struct gw_record")
        claims = self._column("gw_records", size, ffi.offsetof("struct gw_session", "claim"))
        states = self._column("gw_records", size, ffi.offsetof("struct gw_session", "tcp_state"))
        return sum(
            claim & lib.GW_CLAIM_MASK == lib.GW_CLAIM_LIVE and state == lib.GW_TCP_CLOSING
            for claim, state in zip(claims, states, strict=True)
        )

    def _column(self, name: str, size: int, offset: int) -> bytes:
        """One byte of each element of an array map that can be mapped into memory."""
        from _gw_native import ffi, lib

        fd = lib.gw_pinned(os.fsencode(self._folder / name))
        info = ffi.new("struct gw_map_info *")
        if fd < 0 or lib.gw_fd_map_info(fd, info):
            raise RuntimeError(f"map {name} is not pinned")
        try:
            with mmap.mmap(fd, info.max_entries * size, prot=mmap.PROT_READ) as memory:
                return memory[offset::size]
        finally:
            lib.gw_close(fd)


def peak_megabytes(argv: list[str]) -> float:
    """Resident memory of a program and those that it starts, at its largest."""
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout="
    measure += "subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    # A child starts with the peak of its parent, so the parent has to be a small one.
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c", measure, *argv],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout) / 1024
