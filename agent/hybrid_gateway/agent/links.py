# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices are not what they were, by the kernel's messages: XDP lets go of them at once.

A look at everything takes its time and its rests. Until it has come, the kernel forwards for a
device that has changed, and for the bridge that it belongs to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from ..link_messages import AF_BRIDGE, bridge_port, device_vnis, link, port_vlans
from ..model import Device, IPAddress, Link, Segment, VniEntry, Written
from ..rtnl import HEADER, RTM_DELADDR, RTM_DELLINK, RTM_DELTUNNEL, RTM_NEWLINK, attributes

Message = tuple[int, bytes]
LINK_EVENTS = frozenset({RTM_NEWLINK, RTM_DELLINK})
IFADDRMSG_SIZE = 8
IFA_ADDRESS, IFA_LOCAL = 1, 2


def changed(messages: Iterable[Message], before: Mapping[int, Link]) -> frozenset[int]:
    """The devices that these RTM_NEWLINK and RTM_DELLINK say something new about.

    Of several messages about one device the last counts, in either family; devices that are not
    among those of `before` do not.
    """
    last: dict[tuple[int, int], Message] = {}
    for kind, data in messages:
        ifindex = int.from_bytes(data[HEADER.size + 4 : HEADER.size + 8], "little")
        if ifindex in before:
            last[ifindex, data[HEADER.size]] = kind, data
    return frozenset(
        ifindex
        for (ifindex, family), (kind, data) in last.items()
        if kind == RTM_DELLINK or _differs(family, data, before[ifindex])
    )


def _differs(family: int, data: bytes, before: Link) -> bool:
    if family != AF_BRIDGE:
        return _essence(link(data)) != _essence(before)
    port, (_, vlans) = bridge_port(data), port_vlans(data)
    if port is not None and before.port is not None and port != replace(before.port, vlans=()):
        return True
    known = before.port or before.bridge
    return bool(vlans and known and vlans != known.vlans)


def _essence(one: Link) -> tuple[Any, ...]:
    """What the gateway builds on, of all that such a message tells."""
    return (
        one.mac,
        one.master,
        one.running,
        one.vxlan and replace(one.vxlan, vnis=()),
        one.bridge and replace(one.bridge, vlans=()),
        one.port and replace(one.port, vlans=()),
    )


def withdrawn(
    messages: Sequence[Message],
    seen: Iterable[Link],
    written: Written,
    segments: Iterable[Segment],
) -> tuple[tuple[Device, ...], tuple[VniEntry, ...]] | None:
    """The roles and the VNIs that are left by these messages; None: all that were written.

    `seen` are the devices as they were at the last look.
    """
    devices = written.devices or ()
    if not devices:
        return None
    known = {device.ifindex for device in devices if device.bridged or device.tunnel}
    known |= {device.l3_ifindex for device in devices if device.ifindex in known}
    known |= {device.ifindex for device in devices if device.underlay}
    lost = changed(
        (message for message in messages if message[0] in LINK_EVENTS),
        {one.ifindex: one for one in seen if one.ifindex in known},
    )
    lost |= bereft(messages, segments)
    if not lost:
        return None
    left, bridges = devices_without(lost, devices)
    return left, vnis_without(lost, bridges, written.vnis or ())


def bereft(messages: Iterable[Message], segments: Iterable[Segment]) -> frozenset[int]:
    """VXLAN devices of segments whose address or VNI these RTM_DELADDR and RTM_DELTUNNEL take."""
    addresses: set[IPAddress] = set()
    vnis: set[tuple[int, int]] = set()
    for kind, data in messages:
        if kind == RTM_DELTUNNEL:
            ifindex, gone = device_vnis(data)
            vnis |= {(ifindex, one.vni) for one in gone}
        elif kind == RTM_DELADDR:
            attrs = dict(attributes(data, HEADER.size + IFADDRMSG_SIZE))
            value = attrs.get(IFA_LOCAL) or attrs.get(IFA_ADDRESS, b"")
            if len(value) in (4, 16):
                addresses.add(ip_address(value))
    return frozenset(
        one.ifindex
        for one in segments
        if (one.ifindex, one.vni) in vnis or not addresses.isdisjoint((one.local, *one.arrives))
    )


def devices_without(
    lost: frozenset[int], devices: tuple[Device, ...]
) -> tuple[tuple[Device, ...], frozenset[int]]:
    """The roles that are left, and the bridges that XDP has no part in any more.

    What NAT44 has to do with a device stays: no frame of it goes anywhere without the FIB.
    """
    bridges = {one.l3_ifindex for one in devices if one.tunnel and one.ifindex in lost}
    bridges |= {one.l3_ifindex for one in devices if one.bridged and one.l3_ifindex in lost}
    left = tuple(
        replace(one, bridged=False, tunnel=False, underlay=False)
        if one.ifindex in lost or ((one.bridged or one.tunnel) and one.l3_ifindex in bridges)
        else one
        for one in devices
    )
    return left, frozenset(bridges)


def vnis_without(
    lost: frozenset[int], bridges: frozenset[int], entries: tuple[VniEntry, ...]
) -> tuple[VniEntry, ...]:
    """What comes by VXLAN is the kernel's, if its device or its bridge is among these."""
    return tuple(
        replace(entry, kernel=True)
        if entry.ifindex in lost or (entry.bridge and entry.bridge in bridges)
        else entry
        for entry in entries
    )
