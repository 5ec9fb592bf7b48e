# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts on a device what capture.py found on it, or on the one whose place it takes.

Everything is compared first and what is missing is added, so that it can be repeated, and so that
nothing is done twice that networkd does as well.
"""

import contextlib
import errno
import time
from collections.abc import Callable

from .. import sysctl
from ..errors import GwError, KernelError
from ..rtnl import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    Rtnl,
    attributes,
)
from . import capture, messages, routing, tap
from .capture import DEVICE, IFLA_ADDRESS, DeviceLink, links
from .ethtool import Ethtool
from .messages import Fields
from .state import DeviceState

NLM_F_EXCL, NLM_F_APPEND = 0x200, 0x800
RTM_NEWNEXTHOP = 104
RTM_NEWLINKPROP, RTM_DELLINKPROP = 108, 109
RTM_SETLINK, RTM_DELVLANS = 19, 17
AF_INET6 = 10
IFF_UP, IFF_NOARP, IFF_PROMISC, IFF_ALLMULTI, IFF_MULTICAST = 0x1, 0x80, 0x100, 0x200, 0x1000
OWNERS_FLAGS = IFF_UP | IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST
BRPORT_SETTINGS = (
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    25,
    27,
    28,
    29,
    30,
    31,
    32,
    33,
    37,
    39,
    40,
    43,
    44,
)
"""IFLA_BRPORT_*: what one may set, without the spanning tree's state and what is counted."""
PASSES = 4
"""A route may need another one, which may come after it in the kernel's order."""


class Restorer:
    """For one device; `problems` has a line for all that could not be put back."""

    def __init__(self, rtnl: Rtnl, state: DeviceState, name: str) -> None:
        self._rtnl = rtnl
        self._state = state
        self._name = name
        self._every = links(rtnl)
        found = next((one for one in self._every.values() if one.name == name), None)
        if found is None:
            raise KernelError(f"device {name}", errno.ENODEV, code="device.absent")
        self._link: DeviceLink = found
        self._elapsed = max(0, round(time.clock_gettime(time.CLOCK_BOOTTIME) - state.at))
        names = {one.name: one.ifindex for one in self._every.values()}
        self._moved = {
            index: names[other]
            for index, other in state.others.items()
            if names.get(other, index) != index
        }
        """Other devices that the routes leave by and that have another ifindex by now: a TAP's."""
        self._objects: set[int] = set()
        """Ids of the next hop objects that are there."""
        self.problems: list[str] = []

    @property
    def ifindex(self) -> int:
        return self._link.ifindex

    def restore(self) -> None:
        """All of it, from the device itself up to its routes."""
        is_tap = tap.is_tap(self._link.kind)
        self._try("its MAC address, MTU and names", self._own)
        if not is_tap:
            self._features()
        self._settings()
        self._try(f"its membership of {self._state.master}", self._membership)
        self._try("its flags", self._flags)
        self._addresses()
        self._nexthops()
        self._routes()
        for kept in (*self._state.neighbours, *self._state.stations):
            body = messages.say_neighbour(kept, self.ifindex)
            self._add("a neighbour", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)

    def _try(self, what: str, change: Callable[[], None]) -> None:
        try:
            change()
        except GwError as error:
            self.problems.append(f"{self._name}: {what}: {error}")

    def _add(self, what: str, kind: int, flags: int, body: bytes) -> None:
        try:
            self._rtnl.request_raw(kind, flags, body)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                self.problems.append(f"{self._name}: {what}: {error}")

    # ---- the device ---------------------------------------------------------------------

    def _own(self) -> None:
        state, now = self._state, self._link
        parts = []
        if state.mac != now.mac:
            mac = bytes.fromhex(state.mac.replace(":", ""))
            parts.append(messages.attribute(IFLA_ADDRESS, mac))
        if state.alias != now.alias:
            parts.append(messages.text(capture.IFLA_IFALIAS, state.alias))
        for kind, wanted, have in (
            (capture.IFLA_MTU, state.mtu, now.mtu),
            (capture.IFLA_TXQLEN, state.queue_length, now.queue_length),
            (capture.IFLA_GROUP, state.group, now.group),
        ):
            if wanted != have:
                parts.append(messages.number(kind, wanted))
        if parts:
            self._rtnl.request_raw(RTM_NEWLINK, 0, messages.link(self.ifindex, *parts))
        if names := [name for name in state.altnames if name not in now.altnames]:
            add_altnames(self._rtnl, self.ifindex, names)

    def _features(self) -> None:
        with Ethtool() as tool:
            wanted = self._state.features
            have = tool.features(self._name, tuple(wanted))
            for feature, on in wanted.items():
                if have.get(feature, on) != on:
                    # Those that follow from others, a driver's own mind: not worth a word.
                    with contextlib.suppress(KernelError):
                        tool.switch(self._name, feature, on)

    def _settings(self) -> None:
        have = capture.settings(self._name)
        for path, value in self._state.sysctls.items():
            if have.get(path, value) != value:
                # What cannot be written, or is another's word for what was written already.
                with contextlib.suppress(KernelError):
                    sysctl.write(path.replace(DEVICE, self._name), value)

    def _membership(self) -> None:
        state = self._state
        master = next((one for one in self._every.values() if one.name == state.master), None)
        if state.master and master is None:
            raise KernelError(state.master, errno.ENODEV, code="device.master")
        index = master.ifindex if master else 0
        if index != self._link.master:
            body = messages.link(self.ifindex, messages.number(capture.IFLA_MASTER, index))
            self._rtnl.request_raw(RTM_NEWLINK, 0, body)
        if state.port:
            self._bridge_port()

    def _bridge_port(self) -> None:
        settings = [
            messages.attribute(kind, value)
            for kind, value in attributes(self._state.port)
            if kind in BRPORT_SETTINGS
        ]
        kind = messages.text(capture.IFLA_INFO_SLAVE_KIND, "bridge")
        data = messages.nested(capture.IFLA_INFO_SLAVE_DATA, *settings)
        info = messages.nested(capture.IFLA_LINKINFO, kind, data)
        self._rtnl.request_raw(RTM_NEWLINK, 0, messages.link(self.ifindex, info))
        have = capture.vlans(self._rtnl, self.ifindex)
        if have == self._state.vlans:
            return
        for request, vlans in ((RTM_DELVLANS, have), (RTM_SETLINK, self._state.vlans)):
            if vlans:
                spec = messages.nested(capture.IFLA_AF_SPEC, vlans)
                body = messages.link(self.ifindex, spec, family=capture.AF_BRIDGE)
                self._rtnl.request_raw(request, 0, body)

    def _flags(self) -> None:
        wanted = self._state.flags & OWNERS_FLAGS
        if (self._link.flags & OWNERS_FLAGS) != wanted:
            body = messages.link(self.ifindex, flags=wanted, change=OWNERS_FLAGS)
            self._rtnl.request_raw(RTM_NEWLINK, 0, body)

    # ---- addresses and routes -----------------------------------------------------------

    def _addresses(self) -> None:
        have = {messages.address_key(one) for one in capture.addresses(self._rtnl, self.ifindex)}
        four = [one for one in self._state.addresses if one[0] != AF_INET6]
        # The kernel puts an IPv4 address behind the others, and one of IPv6 in front of them.
        six = [one for one in reversed(self._state.addresses) if one[0] == AF_INET6]
        for kept in (*four, *six):
            body = messages.say_address(kept, self.ifindex, self._elapsed)
            if body and messages.address_key(kept) not in have:
                self._add("an address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)

    def _nexthops(self) -> None:
        for kept in self._state.nexthops:
            body = messages.say_nexthop(kept, self.ifindex)
            try:
                self._rtnl.request_raw(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, body)
            except KernelError:
                # A device without carrier has none, and a group none of such a device. The routes
                # say themselves where they go for so long.
                continue
            self._objects.add(messages.nexthop_id(kept))

    def _routes(self) -> None:
        wanted = [self._now(routing.parsed(kept)) for kept in self._state.routes]
        present = capture.routes(self._rtnl, self.ifindex, self._state.addresses, advertised=False)
        self._surplus(present, {routing.identity(one) for one in wanted})
        have = {routing.identity(one) for one in present}
        missing = [one for one in wanted if routing.identity(one) not in have]
        missing.sort(key=routing.is_routed)
        for attempt in range(PASSES):
            problems = [(one, self._route(one)) for one in missing]
            missing = [one for one, problem in problems if problem]
            if attempt == PASSES - 1:
                self.problems += [f"{self._name}: a route: {said}" for _, said in problems if said]

    def _now(self, one: Fields) -> Fields:
        """With the ifindexes that the other devices have today."""
        return routing.renumbered(one, lambda i: self._moved.get(i, i)) if self._moved else one

    def _route(self, one: Fields) -> str:
        """Empty: it is there."""
        body = routing.say_route(one, self.ifindex, self._elapsed, self._objects)
        if body is None:
            return ""
        # Of an IPv6 route with several next hops the others stayed, and it is still one route; so
        # did those of a group.
        rest = routing.object_of(one) or (one.head[0] == AF_INET6 and routing.shares(one))
        how = NLM_F_REPLACE if rest else NLM_F_APPEND
        try:
            self._rtnl.request_raw(RTM_NEWROUTE, NLM_F_CREATE | how, body)
        except KernelError as error:
            return "" if error.errno == errno.EEXIST else str(error)
        return ""

    def _surplus(self, present: list[Fields], wanted: set[Fields]) -> None:
        """Removes what the kernel made for addresses, and what was not there before."""
        if self._state.managed:
            return
        for one in present:
            if routing.is_kernels(one) and routing.identity(one) not in wanted:
                body = routing.say_route(one, self.ifindex, 0, set())
                with contextlib.suppress(KernelError):
                    self._rtnl.request_raw(RTM_DELROUTE, 0, body or b"")


def add_altnames(rtnl: Rtnl, ifindex: int, names: list[str]) -> None:
    _altnames(rtnl, RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND, ifindex, names)


def remove_altnames(rtnl: Rtnl, ifindex: int, names: list[str]) -> None:
    _altnames(rtnl, RTM_DELLINKPROP, 0, ifindex, names)


def _altnames(rtnl: Rtnl, kind: int, flags: int, ifindex: int, names: list[str]) -> None:
    listed = (messages.text(capture.IFLA_ALT_IFNAME, name) for name in names)
    body = messages.link(ifindex, messages.nested(capture.IFLA_PROP_LIST, *listed))
    rtnl.request_raw(kind, flags, body)
