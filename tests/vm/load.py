# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks another kernel's verifier: python3 -m tests.vm.load [bookworm|trixie] OBJECT..."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.vm.image import KERNELS, image
from tests.vm.machine import Guest, Result

LOG_LINES = 60


def load(guest: Guest, program: Path) -> Result:
    """Load every program of an object file, and take it away again.

    On failure the verifier's log is in stdout.
    """
    path = f"/tmp/{program.name}"
    guest.write(path, program.read_bytes())
    script = (
        f"bpftool prog loadall {path} /sys/fs/bpf/try 2>&- && rm -r /sys/fs/bpf/try ||"
        f" {{ bpftool -d prog loadall {path} /sys/fs/bpf/try 2>&1; exit 1; }}"
    )
    return guest.shell(script, seconds=400)


def chatter(line: str) -> bool:
    """What libbpf says about its own work, which buries the verifier's words."""
    return line.startswith(("libbpf: map", "libbpf: sec", "libbpf: elf", "libbpf: CO-RE"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="+", metavar="SUITE|OBJECT")
    parser.add_argument("--all", action="store_true", help="the whole verifier log")
    options = parser.parse_args()
    suites = [word for word in options.words if word in KERNELS] or list(KERNELS)
    failed = 0
    for suite in suites:
        with Guest(image(suite)) as guest:
            for word in options.words:
                if word in KERNELS:
                    continue
                result = load(guest, Path(word))
                print(f"{guest.release}: {word}: {'refused' if result.code else 'loaded'}")
                if result.code:
                    failed = 1
                    lines = [line for line in result.stdout.splitlines() if not chatter(line)]
                    print("\n".join(lines if options.all else lines[-LOG_LINES:]))
    return failed


if __name__ == "__main__":
    sys.exit(main())
