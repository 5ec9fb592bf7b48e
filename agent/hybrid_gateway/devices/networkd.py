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
from collections.abc import Callable
from pathlib import Path

RUN = Path("/run/systemd")
FOLDERS = (Path("/etc/systemd/network"), RUN / "network", Path("/usr/lib/systemd/network"))
"""Of files of the same name the first counts."""
SO_NETNS_COOKIE = 71
"""<asm-generic/socket.h>; Python's socket module does not have it."""
SELF, INIT = Path("/proc/thread-self/ns/net"), Path("/proc/1/ns/net")
UDEV = Path("/run/udev")
TOOL_SECONDS = 30.0
"""udev hears orders when it has read all events, which may take a slow machine long at boot."""
SETTLE_SECONDS = 20.0
"""Until udev or networkd has seen a device that appeared; where one does not run, nothing is
waited for."""
NETWORKD = Path("/sys/fs/cgroup/system.slice/systemd-networkd.service")
"""Its control group is there while it runs; its files in /run stay when it is stopped."""
SETTLED = ("configuring", "configured", "failed", "unmanaged", "linger")
NOT_A_TAPS = ("PermanentMACAddress", "Driver", "Path", "Property", "OriginalName")
"""Keys of [Match] that a TAP cannot have, or not those of the device before it."""

LINK = """\
[Match]
OriginalName=gw-new* {name}

[Link]
NamePolicy=keep
MACAddressPolicy=none
"""
"""By nothing but names, which udev has from the event itself: gw-new* when the TAP appears (see
tap.py), the other one when it is renamed. What udev has to ask the kernel for, such as the driver,
it asks for by the name in the event, and finds nothing when the TAP has another one by then: the
file would not match, and that for any device would, whose policy is a MAC address of udev's own.
No other device appears by such a name, and the port's own comes back after the file has gone."""

NOBODYS = "[Match]\nName={name}\n\n[Link]\nUnmanaged=yes\n"

log = logging.getLogger(__name__)


def is_here() -> bool:
    """Whether networkd and udev see this network namespace at all: they live in the first one."""
    return _is_first() and RUN.is_dir()


def _is_first() -> bool:
    try:
        return SELF.readlink() == INIT.readlink()
    except PermissionError:
        # Process 1 has capabilities that our unit leaves us without, so it is not shown to us.
        return _has_first_cookie()
    except OSError:
        return False


def _has_first_cookie() -> bool:
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
    """Of a file that somebody else wrote, in whatever encoding his comments are."""
    try:
        return path.read_text(errors="replace")
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
    _write(folder / f"00-gw-{name}.link", LINK.format(name=name))
    if wire:
        _write(folder / f"00-gw-{name}.network", NOBODYS.format(name=wire))
    if file and text:
        _write(folder / f"{file}.d" / f"gw-{name}.conf", text)
    _reload()


def disown(kind: str, pattern: str) -> None:
    """Before a TAP appears that is nobody's to configure, by a name of that pattern: once for all
    of its kind, until the kind is forgotten."""
    folder = RUN / "network"
    network = folder / f"00-gw-{kind}.network"
    if not is_here() or network.exists():
        return
    _write(folder / f"00-gw-{kind}.link", LINK.format(name=pattern))
    _write(network, NOBODYS.format(name=pattern))
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
    if is_here() and NETWORKD.is_dir():
        _wait("networkd", lambda: _state(ifindex).get("ADMIN_STATE") in SETTLED)


def settle_udev(ifindex: int) -> None:
    """Returns when udev has done to a device that appeared all that it does then.

    Afterwards it has the device in its database, whatever its rules are, and it does not change
    a MAC address that somebody has set by the time it looks.
    """
    if _is_first() and (UDEV / "control").exists():
        _wait("udev", (UDEV / "data" / f"n{ifindex}").exists)


def _wait(who: str, done: Callable[[], bool]) -> None:
    end = time.monotonic() + SETTLE_SECONDS
    while not done():
        if time.monotonic() >= end:
            log.warning("%s has not looked at a device for %.0f s", who, SETTLE_SECONDS)
            return
        time.sleep(0.01)


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
    if (UDEV / "control").exists():
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
