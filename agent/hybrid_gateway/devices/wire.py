# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel device that a virtual port works on (af_packet, af_xdp): it stays, as NAME-wire.

The kernel does nothing with it: it has no addresses, answers nobody, and what comes in is dropped
behind the point where the port has received it, for the kernel gets it from the port's TAP.
"""

import contextlib
import errno
import struct

from .. import sysctl
from ..errors import DeviceError, KernelError
from ..rtnl import (
    NLM_F_CREATE,
    RTM_DELADDR,
    RTM_DELQDISC,
    RTM_DELROUTE,
    RTM_NEWLINK,
    RTM_NEWQDISC,
    RTM_NEWTFILTER,
    Rtnl,
)
from . import capture, messages, routing
from .capture import DeviceLink, link_named, links
from .ethtool import Ethtool
from .restore_state import IFF_NOARP, IFF_UP, NLM_F_EXCL, remove_altnames
from .tap import NAME_MAX

SUFFIX = "-wire"
MARK = "gw-wire "
"""Begins the alias of such a device; the name that it had follows."""
MERGING = (
    "rx-gro",
    "rx-gro-hw",
    "rx-gro-list",
    "rx-lro",
    "rx-udp-gro-forwarding",
    "rx-vlan-hw-parse",
)
"""A port is to receive the frames that were sent: not several as one, nor one without its tag."""
TC_CLSACT, TC_HANDLE, TC_INGRESS = 0xFFFFFFF1, 0xFFFF0000, 0xFFFFFFF2
TCMSG = struct.Struct("=BxxxiIII")
TCA_KIND, TCA_OPTIONS = 1, 2
BPF_OPS_LEN, BPF_OPS, BPF_FLAGS, BPF_DIRECT = 4, 5, 8, 1
ETH_P_ALL = 0x0003
PRIORITY = 1
DROP = struct.pack("=HBBI", 0x06, 0, 0, 2)
"""Classic BPF: return TC_ACT_SHOT. matchall with an action drop takes two modules more."""
STUCK = (errno.ENOENT, errno.EINVAL, errno.ENODEV)


def wire_name(name: str, used: set[str]) -> str:
    """NAME-wire; a longer name is shortened, and one that is taken counted."""
    for number in ("", *map(str, range(2, 1000))):
        suffix = f"{SUFFIX}{number}"
        candidate = name.encode()[: NAME_MAX - len(suffix)].decode(errors="ignore") + suffix
        if candidate not in used:
            return candidate
    raise DeviceError(f"there is no name left for the wire of {name}", code="device.name")


def used_names(every: dict[int, DeviceLink]) -> set[str]:
    """Alternative names count: the kernel takes no name twice."""
    return {name for one in every.values() for name in (one.name, *one.altnames)}


def detach(rtnl: Rtnl, name: str, wire: str) -> None:
    """Makes the device the wire; what was configured on it is gone, and has to be known."""
    found = link_named(rtnl, name)
    if found is None:
        raise DeviceError(f"there is no device {name}", code="device.absent")
    ifindex = found.ifindex
    _set(rtnl, ifindex, flags=0, change=IFF_UP)
    _forget_routes(rtnl, ifindex)
    if found.master:
        _set(rtnl, ifindex, messages.number(capture.IFLA_MASTER, 0))
    if found.altnames:
        remove_altnames(rtnl, ifindex, list(found.altnames))
    # Before its name: from here on the device says itself what it is and was.
    _set(rtnl, ifindex, messages.text(capture.IFLA_IFALIAS, f"{MARK}{name}"))
    _set(rtnl, ifindex, messages.text(capture.IFLA_IFNAME, wire))
    silence(rtnl, ifindex, wire)
    _drop_received(rtnl, ifindex)
    _set(rtnl, ifindex, flags=IFF_UP | IFF_NOARP, change=IFF_UP | IFF_NOARP)


def _forget_routes(rtnl: Rtnl, ifindex: int) -> None:
    """Those that have a next hop elsewhere, too, outlive the device's going down, and would come
    to life again with it."""
    for one in capture.routes(rtnl, ifindex, (), advertised=False):
        if messages.OURS in routing.devices_of(one):
            body = routing.say_route(one, ifindex, 0, set())
            rtnl.request_raw(RTM_DELROUTE, 0, body or b"")


def silence(rtnl: Rtnl, ifindex: int, wire: str) -> None:
    """No address, no IPv6, frames as they were sent."""
    with contextlib.suppress(KernelError):  # a kernel without IPv6
        sysctl.write(f"net/ipv6/conf/{wire}/disable_ipv6", "1")
    for kept in capture.addresses(rtnl, ifindex):
        body = messages.say_address(kept, ifindex, 0)
        try:
            rtnl.request_raw(RTM_DELADDR, 0, body or b"")
        except KernelError as error:
            # A secondary address goes with its primary one.
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    with Ethtool() as tool:
        for feature, on in tool.features(wire, MERGING).items():
            if on:
                tool.switch(wire, feature, False)


def attach(rtnl: Rtnl, name: str, wire: str) -> bool:
    """Gives the device its name again, down; False: it is neither here by one name nor the other.

    What was configured is restored by somebody else. Nothing happens to one that has its name and
    was not touched yet.
    """
    found = link_named(rtnl, wire)
    if found is None:
        here = link_named(rtnl, name)
        return here is not None and here.kind != "tun"
    _set(rtnl, found.ifindex, flags=0, change=IFF_UP)
    _receive_again(rtnl, found.ifindex)
    _set(rtnl, found.ifindex, messages.text(capture.IFLA_IFNAME, name))
    return True


def orphans(rtnl: Rtnl) -> list[tuple[str, str]]:
    """(its name, the name that it had) of every wire that is here, whatever any record says."""
    return [
        (one.name, one.alias.removeprefix(MARK))
        for one in links(rtnl).values()
        if one.alias.startswith(MARK)
    ]


def by_hand(wire: str, name: str) -> str:
    """What `attach` does, in the shell's words, and what else there is to undo."""
    return (
        f"ip link set {wire} down; tc qdisc del dev {wire} clsact; "
        f'ip link set {wire} name {name} arp on alias ""; '
        f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=0; ip link set {name} up"
    )


def _set(rtnl: Rtnl, ifindex: int, *parts: bytes, flags: int = 0, change: int = 0) -> None:
    body = messages.link(ifindex, *parts, flags=flags, change=change)
    rtnl.request_raw(RTM_NEWLINK, 0, body)


def _drop_received(rtnl: Rtnl, ifindex: int) -> None:
    try:
        head = TCMSG.pack(0, ifindex, TC_HANDLE, TC_CLSACT, 0)
        kind = messages.text(TCA_KIND, "clsact")
        rtnl.request_raw(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, head + kind)
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
    program = messages.nested(
        TCA_OPTIONS,
        messages.attribute(BPF_OPS_LEN, struct.pack("=H", len(DROP) // 8)),
        messages.attribute(BPF_OPS, DROP),
        messages.number(BPF_FLAGS, BPF_DIRECT),
    )
    protocol = int.from_bytes(ETH_P_ALL.to_bytes(2), "little")
    head = TCMSG.pack(0, ifindex, 1, TC_INGRESS, PRIORITY << 16 | protocol)
    filter_ = head + messages.text(TCA_KIND, "bpf") + program
    rtnl.request_raw(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, filter_)


def _receive_again(rtnl: Rtnl, ifindex: int) -> None:
    """With its qdisc goes the rule."""
    try:
        head = TCMSG.pack(0, ifindex, TC_HANDLE, TC_CLSACT, 0)
        rtnl.request_raw(RTM_DELQDISC, 0, head + messages.text(TCA_KIND, "clsact"))
    except KernelError as error:
        if error.errno not in STUCK:
            raise
