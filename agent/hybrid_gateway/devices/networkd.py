# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-networkd and udev: that they configure a TAP as they did the device whose name it has,
and leave alone what is not for them.

A TAP has no permanent MAC address, by which netplan's `match: macaddress:` finds a device, no
driver of a NIC's and no path; and udev's default for made devices is a MAC address of its own.
All files are in /run, named after the device, and go when it is given back.
"""

import logging
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

RUN = Path("/run/systemd")
FOLDERS = (Path("/etc/systemd/network"), RUN / "network", Path("/usr/lib/systemd/network"))
"""Of files of the same name the first counts."""
SO_NETNS_COOKIE = 71
"""<asm-generic/socket.h>; Python's socket module does not have it."""
SELF, INIT = Path("/proc/thread-self/ns/net"), Path("/proc/1/ns/net")
TOOL_SECONDS = 10.0
SETTLE_SECONDS = 2.0
"""Until networkd has seen a device that appeared; with nobody to ask, nothing is waited for."""
SETTLED = ("configuring", "configured", "failed", "unmanaged", "linger")
NOT_A_TAPS = ("PermanentMACAddress", "Driver", "Path", "Property", "OriginalName")
"""Keys of [Match] that a TAP cannot have, or not those of the device before it."""

NEWBORN = "gw-new*"
"""See tap.py."""

log = logging.getLogger(__name__)


def is_here() -> bool:
    """Whether networkd and udev see this network namespace at all: they live in the first one."""
    try:
        return SELF.readlink() == INIT.readlink() and RUN.is_dir()
    except PermissionError:
        # Process 1 has capabilities that our unit leaves us without, so it is not shown to us.
        return _is_first() and RUN.is_dir()
    except OSError:
        return False


def _is_first() -> bool:
    """Whether this is the network namespace that the kernel began with: its cookie is 1."""
    with socket.socket(socket.AF_UNIX) as any_socket:
        cookie = any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
    return struct.unpack("=Q", cookie) == (1,)


def _state(ifindex: int) -> dict[str, str]:
    """What networkd says of a link; empty when it says nothing."""
    if not is_here():
        return {}
    try:
        lines = (RUN / "netif" / "links" / str(ifindex)).read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def manages(ifindex: int) -> bool:
    """Whether a file of networkd's configures the device."""
    return bool(_state(ifindex).get("NETWORK_FILE"))


def network_file(ifindex: int, mac: str) -> Path | None:
    """The file by which networkd configures a device, or will: at boot it has not begun yet."""
    if not is_here():
        return None
    known = _state(ifindex).get("NETWORK_FILE")
    return Path(known) if known else _file_of(mac)


def _file_of(mac: str) -> Path | None:
    """The first that names the device by its permanent MAC address, in networkd's order; by its
    name a TAP is found, too."""
    files: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in folder.glob("*.network"):
            files.setdefault(path.name, path)
    for _, path in sorted(files.items()):
        macs = _matches(_text(path)).get("PermanentMACAddress", ())
        if mac.lower() in " ".join(macs).lower().replace("-", ":").split():
            return path
    return None


def dropin_for(file: Path | None) -> str:
    """What has to be said for the device's file to match a TAP, too; empty: it does."""
    return dropin(_text(file)) if file else ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _matches(network: str) -> dict[str, list[str]]:
    """What [Match] says, in the text of a file."""
    section, found = "", dict[str, list[str]]()
    for line in (line.strip() for line in network.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Match]" and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def dropin(network: str) -> str:
    """The same of a file's text.

    The MAC addresses that were to be permanent may be any; only of an Ethernet device, for a
    bridge takes the address of its port.
    """
    found = _matches(network)
    macs = " ".join(found.get("PermanentMACAddress", []))
    if not macs:
        # By its name a TAP is found, too. By a driver or a place it is not, and without those the
        # file would be for any device: then the TAP has what was carried over, and no DHCP.
        return ""
    lines = ["[Match]", *(f"{key}=" for key in NOT_A_TAPS if key in found), f"MACAddress={macs}"]
    if "Type" not in found and "Kind" not in found:
        lines.append("Type=ether")
    return "\n".join((*lines, ""))


def announce(name: str, *, wire: str = "", file: str = "", text: str = "") -> None:
    """Before a TAP appears: its MAC address is its own, `wire` is nobody's to configure, and
    `text` goes with the network file of that name."""
    if not is_here():
        return
    folder = RUN / "network"
    _write(
        folder / f"00-gw-{name}.link",
        f"[Match]\nDriver=tun\nOriginalName={name} {NEWBORN}\n\n"
        "[Link]\nNamePolicy=keep\nMACAddressPolicy=none\n",
    )
    if wire:
        _write(folder / f"00-gw-{name}.network", f"[Match]\nName={wire}\n\n[Link]\nUnmanaged=yes\n")
    if file and text:
        _write(folder / f"{file}.d" / f"gw-{name}.conf", text)
    _reload()


def forget(name: str) -> None:
    """After the TAP has gone, and before the device comes back: removes all of that again."""
    if not is_here():
        return
    folder = RUN / "network"
    found = [folder / f"00-gw-{name}.link", folder / f"00-gw-{name}.network"]
    found += folder.glob(f"*.network.d/gw-{name}.conf")
    if not any(path.exists() for path in found):
        return
    for path in found:
        try:
            path.unlink(missing_ok=True)
            if path.suffix == ".conf" and not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            log.warning("%s: %s", path, error.strerror)
    _reload()


def settle(ifindex: int) -> None:
    """Returns when networkd has read the device's file: what it finds on the device before
    that it removes, what comes later it leaves."""
    end = time.monotonic() + SETTLE_SECONDS
    while is_here() and (RUN / "netif" / "state").exists() and time.monotonic() < end:
        if _state(ifindex).get("ADMIN_STATE") in SETTLED:
            return
        time.sleep(0.02)


def _write(path: Path, text: str) -> None:
    """A port is taken without it, rather than not: what was carried over it has all the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_text(text)
        # networkd has a user of its own, and the agent's umask leaves others nothing.
        path.parent.chmod(0o755)
        path.chmod(0o644)
    except OSError as error:
        log.warning("%s: %s", path, error.strerror)


def _reload() -> None:
    if Path("/run/udev/control").exists():
        _run("udevadm", "control", "--reload")
    if (RUN / "netif" / "state").exists():
        _run("networkctl", "reload")


def _run(*argv: str) -> None:
    if not shutil.which(argv[0]):
        return
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False
        )
        if done.returncode:
            log.warning("`%s` failed: %s", " ".join(argv), done.stderr.strip())
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("`%s`: %s", " ".join(argv), error)
