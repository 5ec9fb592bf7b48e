# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds out how a port would be taken, and what is against it; changes nothing but modules."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import DeviceError, RefusedError
from ..model import IPAddress, Port
from ..rtnl import Rtnl
from . import drivers, tap
from .binding import Binding, Host
from .capture import DeviceLink, capture, links, lower_of
from .ethtool import Ethtool
from .pci import SYSFS, USERS, Pci, PciDevice, normal
from .record import Entry, Kind, Stage
from .tap import NAME_MAX, made_up_mac
from .ways_in import WaysIn
from .wire import used_names, wire_name

MAC = re.compile(r",mac=((?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?=,|$)", re.IGNORECASE)
MASTERS = ("", "bridge", "vrf")
NEVER = ("bridge", "bond", "team", "vrf", "vlan", "vxlan")
"""Kinds of devices that are made of others."""
IFF_LOOPBACK = 0x8


class Preparation:
    """As things are now; `entries` are the ports that are taken."""

    def __init__(
        self,
        rtnl: Rtnl,
        entries: Mapping[str, Entry],
        sysfs: Path = SYSFS,
        libraries: Path = drivers.LIBRARIES,
    ) -> None:
        self._rtnl = rtnl
        self._links = links(rtnl)
        self._entries = entries
        self._pci = Pci(sysfs)
        self._host = Host(sysfs)
        self._libraries = libraries

    # ---- what is against it ---------------------------------------------------------------

    def check(self, port: Port) -> None:
        """DeviceError, with what to do about it where something can be done."""
        if port.vdev:
            self._check_driver(port.vdev)
        device = self._device(port)
        name = self._tap_name(port, device)
        self._check_free(port.name, name, device)
        if device is not None:
            self._check_unused(device)
            self._way(device)
        own = self._entries.get(port.name)
        if own is not None and name == own.tap:
            return  # what is there is the port's own TAP, and goes before the port is taken anew
        netdev = self._netdev(port, device)
        if netdev is not None:
            self._check_netdev(netdev)
        elif name in used_names(self._links):
            raise DeviceError(
                f"its TAP would be called {name}, and there is a device of that name",
                code="device.name",
            )

    def _check_free(self, port: str, name: str, device: PciDevice | None) -> None:
        for entry in self._entries.values():
            if entry.port == port:
                continue
            if device is not None and device.address == entry.address:
                raise DeviceError(f"{device.address} is port {entry.port}'s", code="device.taken")
            if name in (entry.tap, entry.wire):
                raise DeviceError(f"{name} is port {entry.port}'s", code="device.taken")

    def _check_driver(self, vdev: str) -> None:
        """EAL takes the driver whose name the string begins with."""
        names = drivers.virtual(self._libraries)
        wanted = vdev.split(",")[0]
        if names and not any(wanted.startswith(name) for name in names):
            library = wanted.rstrip("0123456789").removeprefix("net_")
            raise DeviceError(
                f"DPDK has no driver for {wanted} here: Debian's package would be "
                f"{drivers.package_named(library, drivers.abi(self._libraries))}",
                code="device.driver",
            )

    def _check_netdev(self, netdev: DeviceLink) -> None:
        name = netdev.name
        if netdev.flags & IFF_LOOPBACK or netdev.kind in NEVER or tap.is_tap(netdev.kind):
            kind = netdev.kind or "loopback"
            raise DeviceError(f"{name} is no port but a device of kind {kind}", code="device.kind")
        if above := lower_of(self._links.values(), netdev.ifindex):
            raise DeviceError(
                f"{', '.join(sorted(above))} is on top of {name}, which the worker would take from "
                "under it",
                code="device.upper",
            )
        master = self._links.get(netdev.master)
        if netdev.port_kind not in MASTERS:
            of = master.name if master else netdev.port_kind
            raise DeviceError(
                f"{name} is part of {of} ({netdev.port_kind}), which a TAP cannot be",
                code="device.master",
            )

    def refuse_last_way(
        self, port: Port, sessions: Iterable[IPAddress], beside: Iterable[Port] = ()
    ) -> None:
        """RefusedError when the owner would lock himself out should anything go wrong."""
        netdev = self._netdev(port, self._device(port))
        if netdev is None:
            return
        ways = WaysIn(self._rtnl)
        if peer := ways.session(netdev.ifindex, sessions):
            raise RefusedError(
                f"the SSH session from {peer} comes by {netdev.name}: "
                "--force takes it all the same",
                code="device.session",
            )
        others = self._of_worker(beside) - {netdev.ifindex}
        if family := ways.last_default(netdev.ifindex, others):
            raise RefusedError(
                f"the last default route of {family} leaves by {netdev.name}"
                f"{', or by other ports of the worker' if others else ''}: "
                "--force takes it all the same",
                code="device.last-default",
            )

    def _of_worker(self, ports: Iterable[Port]) -> set[int]:
        """Devices that these ports are, and TAPs of ports that are taken."""
        taps = {entry.tap for entry in self._entries.values()}
        found = {one.ifindex for one in self._links.values() if one.name in taps}
        for port in ports:
            # What cannot be taken is said when it is asked for itself.
            with contextlib.suppress(DeviceError):
                if netdev := self._netdev(port, self._device(port)):
                    found.add(netdev.ifindex)
        return found

    # ---- how it would be taken ------------------------------------------------------------

    def planned(self, port: Port) -> Entry:
        """What the record is to say; `check` has found nothing against it."""
        device = self._device(port)
        netdev = self._netdev(port, device)
        state = capture(self._rtnl, netdev.name) if netdev else None
        name = self._tap_name(port, device)
        mac = state.mac if state else _mac_of(port, name)
        if device is not None:
            binding = self._way(device)
            return Entry(
                port.name,
                port.where,
                Kind.PCI,
                Stage.TAKING,
                name,
                device.address,
                mac,
                binding is Binding.UIO or device.physical,
                device.address,
                device.driver,
                device.override,
                binding.value,
                state=state,
            )
        if state is None:
            vdev = port.vdev or ""
            return Entry(port.name, port.where, Kind.VIRTUAL, Stage.TAKING, name, vdev, mac)
        wire = wire_name(name, used_names(self._links))
        eal = port.on(wire)
        return Entry(
            port.name, port.where, Kind.WIRE, Stage.TAKING, name, eal, mac, wire=wire, state=state
        )

    def load(self, entry: Entry) -> None:
        """The module that will have the function."""
        if entry.binding:
            self._host.load(Binding(entry.binding))

    def _check_unused(self, device: PciDevice) -> None:
        """What no kernel driver drives any more, and we did not take, is somebody else's."""
        ours = any(entry.address == device.address for entry in self._entries.values())
        if device.driver in USERS and not ours:
            raise DeviceError(
                f"{device.address} is in use: it has the driver {device.driver}, by which another "
                "program has it, or had",
                code="device.used",
            )

    def _way(self, device: PciDevice) -> Binding:
        taker = drivers.taker(device, self._libraries)
        what = f"{device.address} ({device.vendor:04x}:{device.device:04x})"
        if taker.driver is None:
            hint = "DPDK has none that we know of"
            if taker.package:
                hint = f"Debian's package would be {taker.package}"
            raise DeviceError(
                f"no DPDK driver that is installed takes {what}: {hint}", code="device.driver"
            )
        way = self._host.way(device, taker.driver.kmods)
        if way.binding is None:
            raise DeviceError(f"{what} cannot be taken: {way.why}", code="device.binding")
        return way.binding

    def _device(self, port: Port) -> PciDevice | None:
        """The PCI function of the port; None: it is a virtual one."""
        if port.vdev:
            return None
        if port.pci:
            return self._pci.device(normal(port.pci))
        entry = self._entries.get(port.name)
        if entry is not None and entry.source == port.where and entry.address:
            return self._pci.device(entry.address)
        if not any(one.name == port.device for one in self._links.values()):
            raise DeviceError(f"there is no device {port.device}", code="device.absent")
        with Ethtool() as tool:
            address = tool.bus(port.device)
        try:
            return self._pci.device(address)
        except DeviceError:
            raise DeviceError(
                f"{port.device} is no PCI device: without `device`, "
                f'`vdev: "net_af_packet0,iface={port.device}"` has DPDK use it',
                code="device.not-pci",
            ) from None

    def _netdev(self, port: Port, device: PciDevice | None) -> DeviceLink | None:
        """The kernel's device that goes; None: there is none, and nothing to carry over."""
        if device is None:
            return self._named(port.iface) if port.iface else None
        if len(device.netdevs) > 1:
            names = ", ".join(device.netdevs)
            raise DeviceError(
                f"{device.address} has several devices ({names}), of which one cannot be taken "
                "without the others",
                code="device.several",
            )
        if not device.netdevs:
            return None
        (name,) = device.netdevs
        with Ethtool() as tool:
            # sysfs may show another network namespace than the one that we are in.
            if tool.bus(name) != device.address:
                raise DeviceError(
                    f"{device.address} is {name} in another network namespace",
                    code="device.elsewhere",
                )
        return self._named(name)

    def _named(self, name: str) -> DeviceLink:
        for one in self._links.values():
            if one.name == name or name in one.altnames:
                return one
        raise DeviceError(f"there is no device {name}", code="device.absent")

    def _tap_name(self, port: Port, device: PciDevice | None) -> str:
        netdev = self._netdev(port, device)
        name = netdev.name if netdev else port.name
        if len(name.encode()) > NAME_MAX:
            raise DeviceError(
                f"its TAP would be called {name}, which is longer than {NAME_MAX} characters",
                code="device.name",
            )
        return name


def _mac_of(port: Port, name: str) -> str:
    """That the owner gives the virtual port, if he does."""
    given = MAC.search(port.vdev or "")
    return given.group(1).lower() if given else made_up_mac(name)
