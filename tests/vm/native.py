# SPDX-License-Identifier: GPL-2.0-or-later
"""What is built for the guest's Python, DPDK and gobgpd, where those are not the host's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.vm.image import CACHE, CHECKOUT, Image

SOURCES = ("agent/native/*", "bpf/include/*.h", "dpdk/*.py", "dpdk/include/*.h", "dpdk/src/**/*.?")

# In a mount namespace of its own, so that nothing stays mounted in the tree whatever happens.
BUILD = """
set -eu
mount --bind "$1" "$2/mnt"
for script in agent/native/build_native.py agent/native/build_bgp.py dpdk/cffi_build.py; do
    chroot "$2" /usr/bin/python3 "/mnt/$script" "/mnt/$3"
done
"""
BUILT = ".built"


def native_library(image: Image) -> Path:
    """Folder with what build/lib has, for the image; relative to the checkout.

    Compiled in the image's root, so at the host's speed; kept until a source changes.
    """
    digest = hashlib.sha256(str(image.root).encode())
    for pattern in SOURCES:
        for source in sorted(CHECKOUT.glob(pattern)):
            if source.is_file():
                digest.update(source.read_bytes())
    folder = CACHE / f"native-{image.suite}-{digest.hexdigest()[:12]}"
    output = folder.relative_to(CHECKOUT)
    if not (folder / BUILT).exists():
        for old in CACHE.glob(f"native-{image.suite}-*"):
            shutil.rmtree(old)
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", BUILD, "sh", CHECKOUT, image.root, output],
            check=True,
        )
        (folder / BUILT).touch()
    return output
