# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs on devices: XDP through pinned links, TC through filters of our own handle.

A link that is pinned stays when the agent goes; its program is replaced through
it, atomically. What stands on a device and is not ours is named and left alone.
"""

import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from _gw_native import ffi, lib

from ..errors import KernelError, RefusedError
from ..instance import BPFFS

TC_HANDLE = 0x6777
"""Ours among the filters of a device: "gw"."""
TC_PRIORITY = 1
MODES = {1: "native", 2: "generic", 3: "offloaded", 4: "several"}
OUR_PROGRAM = "gw_xdp"
XDP, HANDOVER, GUARD, TUNNEL = "XDP", "gw_handover", "gw_guard", "gw_tunnel"
"""What stands on a port, and on a VXLAN device the last one alone."""
LINK_GONE = 0
"""The ifindex of a link whose device is gone."""


def query(ifindex: int) -> tuple[int, str]:
    """The XDP program's id on a device (0: none) and its mode."""
    program, mode = ffi.new("__u32 *"), ffi.new("__u32 *")
    result = lib.gw_xdp_query(ifindex, program, mode)
    if result:
        raise KernelError(f"XDP program of device {ifindex}", result, code="bpf.query")
    return program[0], MODES.get(mode[0], "none")


def _program_name(program: int) -> str:
    name = ffi.new("char[]", 64)
    if lib.gw_program_name(program, name, 64):
        return "?"
    text: str = ffi.string(name).decode(errors="replace")
    return text


def _link_info(link: int) -> tuple[int, int]:
    ifindex, program = ffi.new("__u32 *"), ffi.new("__u32 *")
    if lib.gw_link_info(link, ifindex, program):
        return LINK_GONE, 0
    return ifindex[0], program[0]


def _program_id(program: int) -> int:
    found = ffi.new("__u32 *")
    result = lib.gw_fd_program_id(program, found)
    if result:
        raise KernelError("asking for a program's id", result, code="bpf.query")
    return int(found[0])


def _exists(ifindex: int) -> bool:
    try:
        socket.if_indextoname(ifindex)
    except OSError:
        return False
    return True


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _forget(marker: Path) -> None:
    if marker.is_dir():
        marker.rmdir()


def has_filter(ifindex: int, program: int | None = None, *, egress: bool) -> bool:
    """Whether a TC filter of ours is there, and runs this very program; None: any."""
    found = ffi.new("__u32 *")
    if lib.gw_tc_query(ifindex, egress, TC_HANDLE, TC_PRIORITY, found):
        return False
    return program is None or int(found[0]) == _program_id(program)


class Attached:
    """The programs on ports at one moment: (ifindex, which) to a descriptor that keeps it alive."""

    def __init__(self) -> None:
        self.programs: dict[tuple[int, str], int] = {}

    def keep(self, ifindex: int, which: str, program: int) -> None:
        fd = lib.gw_program_by_id(program) if program else -1
        if fd >= 0:
            self.programs[ifindex, which] = fd

    def close(self) -> None:
        for fd in self.programs.values():
            lib.gw_close(fd)
        self.programs.clear()


class Attachments:
    """The XDP links and TC filters of one instance, kept under its pin directory."""

    def __init__(self, pin_dir: Path) -> None:
        self._links = pin_dir / "links"
        self._made_clsact = pin_dir / "clsact"
        self._tunnels = pin_dir / "tunnels"

    def attached(self) -> dict[int, str]:
        """Device to mode for every link that still has its device."""
        return {ifindex: query(ifindex)[1] for ifindex, _ in self._linked()}

    def forget_dead(self) -> None:
        """Lets go of what is left of devices that vanished while nobody looked."""
        for path in self._link_paths():
            link = lib.gw_pinned(os.fsencode(path))
            if link < 0:
                continue
            ifindex, _ = _link_info(link)
            lib.gw_close(link)
            if ifindex == LINK_GONE:
                path.unlink(missing_ok=True)
                # Whatever bears that number now is another device, with a clsact of its own.
                _forget(self._made_clsact / path.name)
        for marker in (*_entries(self._made_clsact), *_entries(self._tunnels)):
            if not _exists(int(marker.name)):
                _forget(marker)

    def _link_paths(self) -> list[Path]:
        return _entries(self._links)

    def _path(self, ifindex: int) -> Path:
        return self._links / str(ifindex)

    # ---- XDP --------------------------------------------------------------------------

    def refuse_foreign(self, ifindex: int, name: str) -> None:
        """Raises RefusedError when the device has an XDP program that is not in our link."""
        program, mode = query(ifindex)
        if not program:
            return
        link = lib.gw_pinned(os.fsencode(self._path(ifindex)))
        ours = link >= 0 and _link_info(link)[0] == ifindex
        if link >= 0:
            lib.gw_close(link)
        if ours:
            return
        found = _program_name(program)
        message = f"{name}: another XDP program ({found}, id {program}, {mode}) is attached"
        if found == OUR_PROGRAM:
            message += (
                ", which is another instance's, or this one's with pins that are not visible "
                f"here: `ip netns exec` hides {BPFFS}, `nsenter --net` does not"
            )
        else:
            message += " and is left alone"
        raise RefusedError(message, code="bpf.foreign-program")

    def attach_xdp(self, ifindex: int, name: str, program: int) -> str:
        """Attaches or replaces; native where the driver can, else generic. Returns the mode."""
        self._links.mkdir(parents=True, exist_ok=True)
        path = self._path(ifindex)
        if self._replace(path, ifindex, program):
            return query(ifindex)[1]
        link = lib.gw_xdp_link(program, ifindex, 0)
        if link < 0:
            link = lib.gw_xdp_link(program, ifindex, 1)
        if link < 0:
            raise KernelError(f"{name}: attaching the XDP program", link, code="bpf.attach")
        result = lib.gw_pin(link, os.fsencode(path))
        lib.gw_close(link)
        if result:
            raise KernelError(f"{path}: pinning the link", result, code="bpf.pin")
        return query(ifindex)[1]

    def _replace(self, path: Path, ifindex: int, program: int) -> bool:
        """Puts the program into a pinned link, if there is one and its device is there."""
        link = lib.gw_pinned(os.fsencode(path))
        if link < 0:
            return False
        try:
            if _link_info(link)[0] != ifindex:
                path.unlink()
                return False
            result = lib.gw_link_update(link, program)
        finally:
            lib.gw_close(link)
        if result:
            raise KernelError(f"{path}: replacing the program", result, code="bpf.attach")
        return True

    # ---- TC ---------------------------------------------------------------------------

    def attach_tc(self, ifindex: int, name: str, program: int, *, egress: bool) -> None:
        """Puts our filter at one end of the device, or another program into it."""
        if self.has_tc(ifindex, program, egress=egress):
            return  # the kernel would report a replacement, and that be followed as a change
        made = lib.gw_tc_prepare(ifindex)
        if made < 0:
            raise KernelError(f"{name}: adding clsact", made, code="bpf.tc")
        if made:
            (self._made_clsact / str(ifindex)).mkdir(parents=True, exist_ok=True)
        result = lib.gw_tc_attach(ifindex, egress, program, TC_HANDLE, TC_PRIORITY)
        if result:
            raise KernelError(f"{name}: attaching the TC program", result, code="bpf.tc")

    def has_tc(self, ifindex: int, program: int | None = None, *, egress: bool) -> bool:
        return has_filter(ifindex, program, egress=egress)

    def detach_tc(self, ifindex: int, name: str, *, egress: bool) -> None:
        result = lib.gw_tc_detach(ifindex, egress, TC_HANDLE, TC_PRIORITY)
        if result and result not in (-errno.ENOENT, -errno.ENODEV, -errno.EINVAL):
            raise KernelError(f"{name}: detaching the TC program", result, code="bpf.tc")

    def attach_tunnel(self, ifindex: int, name: str, program: int) -> None:
        """On a VXLAN device, where no XDP link tells a later agent that it is ours."""
        (self._tunnels / str(ifindex)).mkdir(parents=True, exist_ok=True)
        self.attach_tc(ifindex, name, program, egress=True)

    def tunnels(self) -> frozenset[int]:
        """VXLAN devices that `attach_tunnel` was called for."""
        devices = (int(path.name) for path in _entries(self._tunnels))
        return frozenset(ifindex for ifindex in devices if _exists(ifindex))

    # ---- both -------------------------------------------------------------------------

    def in_use(self, map_id: int) -> bool:
        """Whether the XDP program on any of the ports uses a map."""
        return any(lib.gw_program_uses(program, map_id) == 1 for _, program in self._linked())

    def _linked(self) -> list[tuple[int, int]]:
        """Device and program of every link that has both."""
        found: list[tuple[int, int]] = []
        for path in self._link_paths():
            link = lib.gw_pinned(os.fsencode(path))
            if link < 0:
                continue
            ifindex, program = _link_info(link)
            lib.gw_close(link)
            if ifindex != LINK_GONE:
                found.append((ifindex, program))
        return found

    def programs(self) -> Attached:
        """What is on the ports, which the caller closes."""
        found = Attached()
        program = ffi.new("__u32 *")
        for ifindex, xdp in self._linked():
            found.keep(ifindex, XDP, xdp)
            for which, egress in ((HANDOVER, False), (GUARD, True)):
                if not lib.gw_tc_query(ifindex, egress, TC_HANDLE, TC_PRIORITY, program):
                    found.keep(ifindex, which, program[0])
        for ifindex in self.tunnels():
            if not lib.gw_tc_query(ifindex, True, TC_HANDLE, TC_PRIORITY, program):
                found.keep(ifindex, TUNNEL, program[0])
        return found

    def change_over(self, programs: Mapping[str, int]) -> None:
        """Other programs on every port, where there is one of the kind; XDP last and in one go."""
        linked = self._linked()
        places = [(ifindex, GUARD, True) for ifindex, _ in linked]
        places += [(ifindex, HANDOVER, False) for ifindex, _ in linked]
        places += [(ifindex, TUNNEL, True) for ifindex in self.tunnels()]
        for ifindex, which, egress in places:
            if self.has_tc(ifindex, egress=egress):
                self.attach_tc(ifindex, f"device {ifindex}", programs[which], egress=egress)
        for ifindex, _ in linked:
            self._replace(self._path(ifindex), ifindex, programs[XDP])

    def put_back(self, before: Attached) -> None:
        """The programs that were there before, on ports that are still ours."""
        linked = {ifindex for ifindex, _ in self._linked()} | self.tunnels()
        for (ifindex, which), program in before.programs.items():
            if ifindex not in linked:
                continue
            if which == XDP:
                self._replace(self._path(ifindex), ifindex, program)
            else:
                name = f"device {ifindex}"
                self.attach_tc(ifindex, name, program, egress=which != HANDOVER)

    def detach(self, ifindex: int, name: str) -> None:
        """Takes away what is ours; a clsact that we made goes with it."""
        path = self._path(ifindex)
        link = lib.gw_pinned(os.fsencode(path))
        if link >= 0:
            result = lib.gw_link_detach(link)
            lib.gw_close(link)
            if result:
                raise KernelError(f"{name}: detaching the XDP program", result, code="bpf.attach")
        path.unlink(missing_ok=True)
        for egress in (False, True):
            self.detach_tc(ifindex, name, egress=egress)
        if (self._made_clsact / str(ifindex)).is_dir():
            lib.gw_tc_remove(ifindex)
        _forget(self._made_clsact / str(ifindex))
        _forget(self._tunnels / str(ifindex))

    def detach_all(self) -> None:
        folders = (self._links, self._made_clsact, self._tunnels)
        devices = {int(path.name) for folder in folders for path in _entries(folder)}
        for ifindex in sorted(devices):
            self.detach(ifindex, f"device {ifindex}")
