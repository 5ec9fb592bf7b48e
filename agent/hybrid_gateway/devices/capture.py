# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what is configured on a device; changes nothing."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DeviceError, KernelError
from ..rtnl import (
    HEADER,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    Rtnl,
    attributes,
)
from . import messages, networkd, routing
from .ethtool import Ethtool
from .messages import (
    ADDRESS,
    NEIGHBOUR,
    NEXTHOP,
    NTF_PROXY,
    NUD_NOARP,
    NUD_PERMANENT,
    Fields,
)
from .routing import ROUTE
from .state import DeviceState

AF_BRIDGE = 7
RTM_GETNEXTHOP = 106
NTF_SELF, NTF_MASTER, NTF_EXT_LEARNED = 0x02, 0x04, 0x10
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_TXQLEN = 1, 3, 4, 5, 10, 13
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_GROUP = 18, 20, 26, 27
IFLA_EXT_MASK, IFLA_XDP, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 29, 43, 52, 53
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_VXLAN_LINK = 3
IFLA_XDP_ATTACHED = 2
RTEXT_FILTER_BRVLAN_COMPRESSED = 1 << 2
RTEXT_FILTER_SKIP_STATS = 1 << 3
PROC = Path("/proc/sys")
SETTINGS = ("net/ipv4/conf", "net/ipv6/conf", "net/ipv4/neigh", "net/ipv6/neigh")
RTPROT_RA = 9
DEVICE = "DEVICE"


@dataclass(frozen=True, slots=True)
class DeviceLink:
    """One device by netlink, as far as handing it over goes."""

    ifindex: int
    name: str
    kind: str
    mac: str
    flags: int
    mtu: int
    queue_length: int
    group: int
    alias: str
    altnames: tuple[str, ...]
    master: int
    lower: int
    """ifindex of the device that this one is made on (IFLA_LINK), or 0."""
    port_kind: str
    port: bytes
    has_xdp: bool


def links(rtnl: Rtnl) -> dict[int, DeviceLink]:
    """By ifindex, of this network namespace."""
    body = messages.link(0, messages.number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS))
    found = (_link(data) for data in rtnl.dump_body(RTM_GETLINK, body))
    return {one.ifindex: one for one in found}


def link_named(rtnl: Rtnl, name: str) -> DeviceLink | None:
    return next((one for one in links(rtnl).values() if one.name == name), None)


def _link(data: bytes) -> DeviceLink:
    _, _, ifindex, flags, _ = messages.IFINFO.unpack_from(data, HEADER.size)
    attrs = dict(attributes(data, HEADER.size + messages.IFINFO.size))
    info = dict(attributes(attrs.get(IFLA_LINKINFO, b"")))
    xdp = dict(attributes(attrs.get(IFLA_XDP, b"")))
    names = [_text(v) for k, v in attributes(attrs.get(IFLA_PROP_LIST, b""))]
    return DeviceLink(
        ifindex,
        _text(attrs.get(IFLA_IFNAME, b"")),
        _text(info.get(IFLA_INFO_KIND, b"")),
        attrs.get(IFLA_ADDRESS, b"").hex(":"),
        flags,
        messages.u32(attrs.get(IFLA_MTU, b"")),
        messages.u32(attrs.get(IFLA_TXQLEN, b"")),
        messages.u32(attrs.get(IFLA_GROUP, b"")),
        _text(attrs.get(IFLA_IFALIAS, b"")),
        tuple(names),
        messages.u32(attrs.get(IFLA_MASTER, b"")),
        messages.u32(attrs.get(IFLA_LINK, b"")) or _bound(info),
        _text(info.get(IFLA_INFO_SLAVE_KIND, b"")),
        info.get(IFLA_INFO_SLAVE_DATA, b""),
        any(xdp.get(IFLA_XDP_ATTACHED, b"")),
    )


def _bound(info: dict[int, bytes]) -> int:
    """The device that a VXLAN device sends by and goes with, which its IFLA_LINK does not say."""
    made = dict(attributes(info.get(IFLA_INFO_DATA, b"")))
    of_vxlan = _text(info.get(IFLA_INFO_KIND, b"")) == "vxlan"
    return messages.u32(made.get(IFLA_VXLAN_LINK, b"")) if of_vxlan else 0


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode(errors="replace")


def capture(rtnl: Rtnl, name: str) -> DeviceState:
    """DeviceError when there is no such device."""
    every = links(rtnl)
    one = next((link for link in every.values() if link.name == name), None)
    if one is None:
        raise DeviceError(f"there is no device {name}", code="device.absent")
    master = every.get(one.master)
    found = settings(name)
    with Ethtool() as tool:
        features = tool.features(name, None)
    state = DeviceState(
        name,
        one.ifindex,
        one.mac,
        one.flags,
        one.mtu,
        one.queue_length,
        one.group,
        one.alias,
        one.altnames,
        master=master.name if master else "",
        port=one.port if one.port_kind == "bridge" else b"",
        vlans=vlans(rtnl, one.ifindex) if one.port_kind == "bridge" else b"",
        sysctls=found,
        features=features,
        at=time.clock_gettime(time.CLOCK_BOOTTIME),
        managed=networkd.manages(one.ifindex),
    )
    return _with_layer3(rtnl, state, {i: link.name for i, link in every.items()})


def _with_layer3(rtnl: Rtnl, state: DeviceState, names: dict[int, str]) -> DeviceState:
    own = addresses(rtnl, state.ifindex)
    advertised = state.sysctls.get(f"net/ipv6/conf/{DEVICE}/accept_ra", "0") != "0"
    kept = routes(rtnl, state.ifindex, own, advertised)
    used = set[int]().union(*(routing.devices_of(route) for route in kept))
    return replace(
        state,
        addresses=tuple(own),
        nexthops=tuple(nexthops(rtnl, state.ifindex)),
        routes=tuple(map(routing.packed, kept)),
        neighbours=tuple(neighbours(rtnl, state.ifindex)),
        stations=tuple(stations(rtnl, state.ifindex, state.mac)),
        others={index: names[index] for index in used if index in names},
    )


def settings(name: str) -> dict[str, str]:
    """The sysctls of a device that can be read, by path with DEVICE for the name."""
    found = {}
    for folder in SETTINGS:
        path = PROC / folder / name
        for file in sorted(path.iterdir()) if path.is_dir() else []:
            with contextlib.suppress(OSError):
                found[f"{folder}/{DEVICE}/{file.name}"] = file.read_text().strip()
    return found


def addresses(rtnl: Rtnl, ifindex: int) -> list[bytes]:
    kept = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for data in rtnl.dump_body(RTM_GETADDR, ADDRESS.pack(family, 0, 0, 0, ifindex)):
            if ADDRESS.unpack_from(data, HEADER.size)[4] == ifindex:
                kept.append(messages.keep_address(data))
    return [one for one in kept if one]


def routes(rtnl: Rtnl, ifindex: int, own: Iterable[bytes], advertised: bool) -> list[Fields]:
    """Those that leave by the device, and those that go when its addresses do.

    What the kernel has from router advertisements it asks for again when the device comes up;
    put there by us, it would not know it for its own.
    """
    sources = {messages.address_key(one)[3] or messages.address_key(one)[2] for one in own}
    kept = []
    # A table of 100,000 routes by other devices is passed over without reading each.
    marks = (struct.pack("=I", ifindex), *sources)
    for family in (socket.AF_INET, socket.AF_INET6):
        for data in rtnl.dump_body(RTM_GETROUTE, ROUTE.pack(family, *[0] * 8)):
            if not any(mark in data for mark in marks):
                continue
            one = routing.keep_route(data, ifindex)
            if one is None or routing.is_automatic(one):
                continue
            if one.head[5] == RTPROT_RA and advertised:
                continue
            source = one.get(routing.RTA_PREFSRC)
            if messages.OURS in routing.devices_of(one) or (source and source in sources):
                kept.append(one)
    return kept


def neighbours(rtnl: Rtnl, ifindex: int) -> list[bytes]:
    """Those that somebody put there: permanent, of a control plane, proxies."""
    kept = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for flags in (0, NTF_PROXY):
            body = NEIGHBOUR.pack(family, 0, 0, flags, 0)
            for data in rtnl.dump_body(RTM_GETNEIGH, body):
                _, index, state, has, _ = NEIGHBOUR.unpack_from(data, HEADER.size)
                made = state & NUD_PERMANENT or has & (NTF_EXT_LEARNED | NTF_PROXY)
                if index == ifindex and made:
                    kept.append(messages.keep_neighbour(data))
    return kept


def stations(rtnl: Rtnl, ifindex: int, mac: str) -> list[bytes]:
    """Entries of the FDB that somebody put there: those of a bridge, and the device's own."""
    kept = []
    for data in rtnl.dump_body(RTM_GETNEIGH, NEIGHBOUR.pack(AF_BRIDGE, 0, 0, 0, 0)):
        _, index, state, flags, _ = NEIGHBOUR.unpack_from(data, HEADER.size)
        attrs = dict(attributes(data, HEADER.size + NEIGHBOUR.size))
        station = attrs.get(messages.NDA_LLADDR, b"")
        made = state & (NUD_PERMANENT | NUD_NOARP) or flags & NTF_EXT_LEARNED
        if index != ifindex or not made or not station or station[0] & 1:
            continue
        if station.hex(":") == mac:
            continue
        of_bridge = messages.NDA_MASTER in attrs
        one = messages.fields(NEIGHBOUR, messages.keep_neighbour(data))
        family, ours, state, flags, kind = one.head
        flags = flags & ~(NTF_SELF | NTF_MASTER) | (NTF_MASTER if of_bridge else NTF_SELF)
        kept.append(messages.pack(NEIGHBOUR, (family, ours, state, flags, kind), one.attrs))
    return kept


def nexthops(rtnl: Rtnl, ifindex: int) -> list[bytes]:
    """Objects of the device, then the groups that have one of them; none on an old kernel."""
    try:
        found = rtnl.dump_body(RTM_GETNEXTHOP, NEXTHOP.pack(0, 0, 0, 0))
    except KernelError:
        return []
    kept = [messages.keep_nexthop(data, ifindex) for data in found]
    own = [one for one in kept if messages.leaves_by_us(one)]
    ids = {messages.nexthop_id(one) for one in own}
    return own + [one for one in kept if messages.nexthop_members(one) & ids]


def vlans(rtnl: Rtnl, ifindex: int) -> bytes:
    mask = messages.number(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN_COMPRESSED)
    for data in rtnl.dump_body(RTM_GETLINK, messages.link(0, mask, family=AF_BRIDGE)):
        if messages.IFINFO.unpack_from(data, HEADER.size)[2] == ifindex:
            attrs = dict(attributes(data, HEADER.size + messages.IFINFO.size))
            return attrs.get(IFLA_AF_SPEC, b"")
    return b""


def lower_of(every: Iterable[DeviceLink], ifindex: int) -> list[str]:
    """Names of the devices that are made on this one: VLANs, VXLANs bound to it, macvlans.

    A veth's IFLA_LINK is its other end, which is not made on it.
    """
    return [one.name for one in every if one.lower == ifindex and one.kind != "veth"]
