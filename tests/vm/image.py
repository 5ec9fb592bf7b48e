# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds and caches the root file system and the disk of a guest."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / "build" / "vm"

KERNELS = {"bookworm": "6.1", "trixie": "6.12"}
"""Suite of a guest, and the kernel that comes with it."""

# What the guest needs to boot, to take orders and to be looked at.
GUEST_PACKAGES = (
    "linux-image-amd64",
    "initramfs-tools",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "python3",
    "bpftool",
    "libbpf1",
    "iproute2",
    "ethtool",
    "iputils-ping",
    "netplan.io",
    "openssh-server",
    # Who speaks BGP: ours, and somebody else's.
    "gobgpd",
    "frr",
)
# Of what the build takes, what compiles the extensions for the suite's own Python, libbpf and
# DPDK; the compiler of BPF programs is many times as large, and its objects fit any kernel.
# libdpdk-dev also brings every driver of DPDK, whatever their packages are called in the suite.
BUILD_PACKAGES = re.compile(r"gcc|pkgconf|(lib|zlib).*-dev|protobuf-.*|python3-.*")
# Of gobgpd's sources only the description of its interface is read, which needs nothing that
# compiling them would: this one is unpacked without what it depends on.
GOBGP_SOURCES = "golang-github-osrg-gobgp-dev"
UNPACK_SOURCES = " && ".join(
    (
        'cd "$1/tmp"',
        f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq download {GOBGP_SOURCES}',
        f'dpkg-deb --extract {GOBGP_SOURCES}_*.deb "$1"',
        f"rm {GOBGP_SOURCES}_*.deb",
    )
)

# Drivers that find the root disk. The list keeps the initrd small: unpacking all of
# Debian's would double the boot time on an emulated CPU.
INITRD_MODULES = ("virtio_pci", "virtio_blk", "ext4")

# Mounts the checkout and hands over to the command server in it, so that a change of the
# server needs no new image. Runs as a service, or as process 1 when only programs are loaded.
BOOT_SCRIPT = """#!/bin/sh
if [ $$ = 1 ]; then
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mountpoint -q /dev || mount -t devtmpfs dev /dev
    mount -t tmpfs run /run
    mount -t tmpfs tmp /tmp
    ip link set lo up
fi
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
modprobe -a virtio_console 9pnet_virtio 9p
mkdir -p /gw
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose checkout /gw
exec /usr/bin/python3 /gw/tests/vm/guest.py
"""
SERVICE = """[Unit]
Description=Orders from the tests
After=network.target

[Service]
ExecStart=/usr/local/sbin/gw-vm-boot

[Install]
WantedBy=multi-user.target
"""
# A package is only unpacked once: what nobody reads in a guest stays out.
EXCLUDED = (
    *(f"/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info")),
    *(f"/usr/lib/*/{library}.a" for library in ("librte_*", "libIPSec_MB", "libcrypto")),
    "/lib/modules/*/kernel/sound/*",
    *(
        f"/lib/modules/*/kernel/drivers/{kind}/*"
        for kind in ("gpu", "iio", "infiniband", "media", "net/wireless", "scsi", "staging", "usb")
    ),
)
DISK_SIZE = "4G"


@dataclass(frozen=True)
class Image:
    """A built guest: `root` is the tree from which `disk` was made."""

    suite: str
    root: Path
    disk: Path

    @property
    def kernel(self) -> Path:
        return next(iter(self.root.glob("boot/vmlinuz-*")))

    @property
    def initrd(self) -> Path:
        return next(iter(self.root.glob("boot/initrd.img-*")))


def image(suite: str) -> Image:
    """The image of a suite, from the cache or built now (about a minute)."""
    command = _mmdebstrap(suite)
    key = hashlib.sha256(repr((command, BOOT_SCRIPT, SERVICE, DISK_SIZE)).encode()).hexdigest()
    place = CACHE / f"{suite}-{key[:12]}"
    built = Image(suite, place / "root", place / "disk.img")
    with _locked(suite):
        if not built.disk.exists():
            _forget(suite)
            _build(built, command)
    return built


def product_packages() -> set[str]:
    """What debian/control names for running the product and for compiling its extension."""
    control = (CHECKOUT / "debian" / "control").read_text()
    own = set(re.findall(r"^Package:\s*(\S+)", control, re.M))
    build = {name for name in _field(control, "Build-Depends") if BUILD_PACKAGES.fullmatch(name)}
    return _field(control, "Depends") - own | build


def _field(control: str, field: str) -> set[str]:
    """Package names in all fields of that name: the first of alternatives, nothing for tests."""
    texts = re.findall(rf"^{field}:((?:.*\n)(?:[ \t].*\n)*)", control, re.M)
    entries = [entry for entry in ",".join(texts).split(",") if "<!nocheck>" not in entry]
    names = [re.match(r"\s*([a-z0-9][a-z0-9+.-]+)", entry) for entry in entries]
    return {name[1] for name in names if name}


def _mmdebstrap(suite: str) -> list[str]:
    packages = sorted({*GUEST_PACKAGES, *product_packages()})
    initrd = Path("/etc/initramfs-tools/conf.d/gw-vm")
    modules = Path("/usr/share/initramfs-tools/modules.d/gw-vm")
    return [
        # Its mounts stay its own: who walks the tree from outside would keep them busy.
        "unshare",
        "--mount",
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--quiet",
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Retries "3"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        f"--include={','.join(packages)}",
        f'--setup-hook=mkdir -p "$1"{initrd.parent} "$1"{modules.parent}',
        f'--setup-hook=echo MODULES=list >"$1"{initrd}',
        f'--setup-hook=printf "%s\\n" {" ".join(INITRD_MODULES)} >"$1"{modules}',
        f"--customize-hook={UNPACK_SOURCES}",
        suite,
    ]


def _mirror() -> str:
    """The host's own source of Debian packages, which serves every suite."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for line in listing.splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian":
            return address
    raise RuntimeError("no source of Debian packages is configured: run apt-get update")


def _build(wanted: Image, command: list[str]) -> None:
    draft = wanted.disk.with_suffix(".draft")
    wanted.root.parent.mkdir(parents=True)
    subprocess.run([*command, str(wanted.root), _mirror()], check=True)
    _install(wanted.root)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", str(wanted.root), str(draft), DISK_SIZE], check=True
    )
    draft.rename(wanted.disk)


def _install(root: Path) -> None:
    boot = root / "usr/local/sbin/gw-vm-boot"
    boot.write_text(BOOT_SCRIPT)
    boot.chmod(0o755)
    unit = root / "etc/systemd/system/gw-vm.service"
    unit.write_text(SERVICE)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / unit.name).symlink_to("../gw-vm.service")
    # Who needs them starts them.
    for service in ("ssh", "frr"):
        (wants / f"{service}.service").unlink()
    (root / "etc/hostname").write_text("gateway\n")
    # Nobody logs in, and no address comes from outside: both would only cost boot time.
    (root / "etc/fstab").write_text("")


def _forget(suite: str) -> None:
    for old in CACHE.glob(f"{suite}-*"):
        shutil.rmtree(old)


@contextmanager
def _locked(suite: str) -> Iterator[None]:
    """Two builders of one image would write the same place."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
