# SPDX-License-Identifier: GPL-2.0-or-later
"""More hosts around a lab, for as long as somebody needs them; some behind narrow links."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_interface

from . import namespaces
from .network import Lab
from .topology import HOSTS

PLAIN = "gro off gso off tso off tx off"
"""Offloads would join what the narrow link has to refuse, and leave checksums unfinished."""
SYSCTLS = {
    "net/ipv4/ip_forward": ("1", "0"),
    "net/ipv4/icmp_ratelimit": ("0", "1000"),
    "net/ipv6/conf/all/forwarding": ("1", "0"),
}
"""Of the routers: meanwhile, and afterwards."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable."""

    host: str
    device: str
    addresses: Sequence[str] = ()
    """With prefix lengths."""
    attributes: str = ""
    """For `ip link set`, before it is up."""


@dataclass(frozen=True, slots=True)
class Cable:
    """From a device of a host that is there to one of a new host.

    The new host has its default routes by the addresses of the near end.
    """

    near: End
    far: End
    mtu: int = 1500
    offloads: str = PLAIN
    """For ethtool, at both ends."""


@dataclass(frozen=True, slots=True)
class Extension:
    """What is added; every host of `routers` forwards meanwhile."""

    cables: Sequence[Cable]
    routers: Sequence[str] = ()
    links: Sequence[tuple[str, str, str]] = ()
    """Host, device, and what else `ip link add` needs to know about it."""
    settings: Sequence[tuple[str, str]] = ()
    """Host, and what `ip` is told about the devices that are added."""
    routes: Sequence[tuple[str, str, str]] = ()
    """Host, network, next hop."""
    centres: Sequence[str] = ()
    """New hosts that cables only begin at."""

    @property
    def hosts(self) -> frozenset[str]:
        """The new ones."""
        ends = (cable.far.host for cable in self.cables)
        return frozenset((*self.centres, *ends)) - frozenset(HOSTS)


FAR, EDGE, FAR_MTU = "192.0.2.130", "192.0.2.2", 1400
BEYOND = Extension(
    cables=(
        Cable(End("wan", "edge0", ["192.0.2.1/25"]), End("edge", "eth0", [f"{EDGE}/25"]), FAR_MTU),
        Cable(End("edge", "far0", ["192.0.2.129/25"]), End("far", "eth0", [f"{FAR}/25"])),
    ),
    routers=("wan", "edge"),
    routes=(("wan", "192.0.2.128/25", EDGE),),
)
"""An Internet host behind two routers and a narrow link, of which only the routers know."""


class ExtendedLab(Lab):
    """The lab that it was made from, and the new hosts."""

    def __init__(self, lab: Lab, hosts: frozenset[str]) -> None:
        super().__init__(lab.name, lab.directory)
        self._hosts = hosts

    def namespace(self, host: str) -> str:
        return f"{self.name}-{host}" if host in self._hosts else super().namespace(host)


@contextmanager
def extended(lab: Lab, extension: Extension) -> Iterator[ExtendedLab]:
    """Built beside what there is, and taken away again."""
    with ExitStack() as stack:
        yield _build(lab, extension, stack)


def extend(lab: Lab, extension: Extension) -> ExtendedLab:
    """Built beside what there is, and left standing; what is there of it is made anew."""
    with ExitStack() as stack:
        built = _build(lab, extension, stack)
        stack.pop_all()
    return built


def _undo_on_others(built: ExtendedLab, extension: Extension, stack: ExitStack) -> None:
    """What was there before is as it was again, before the new hosts go."""
    places = [(cable.near.host, cable.near.device) for cable in extension.cables]
    places += [(host, device) for host, device, _ in extension.links]
    for host, device in places:
        if host not in extension.hosts:
            stack.callback(_delete, built, host, device)
    for router in extension.routers:
        if router not in extension.hosts:
            for key, (_, afterwards) in SYSCTLS.items():
                stack.callback(namespaces.write_sysctl, built.namespace(router), key, afterwards)


def _build(lab: Lab, extension: Extension, stack: ExitStack) -> ExtendedLab:
    """`stack` takes it away; what is on a new host goes with that."""
    built = ExtendedLab(lab, extension.hosts)
    for host in sorted(extension.hosts):
        namespace = built.namespace(host)
        # One that a killed process has left would have its devices already.
        namespaces.delete(namespace)
        stack.callback(namespaces.delete, namespace)
        namespaces.add(namespace)
        namespaces.ip_batch(namespace, ["link set lo up"])
    _undo_on_others(built, extension, stack)
    for cable in extension.cables:
        _plug(built, cable)
    for router in extension.routers:
        for key, (meanwhile, _) in SYSCTLS.items():
            namespaces.write_sysctl(built.namespace(router), key, meanwhile)
    for host, device, what in extension.links:
        _delete(built, host, device)
        built.run(host, ["ip", "link", "add", device, *what.split()])
    for host, line in extension.settings:
        built.run(host, ["ip", *line.split()])
    for host, network, via in extension.routes:
        built.run(host, ["ip", "route", "replace", network, "via", via])
        # It goes away with its device otherwise.
        delete = ["ip", "route", "delete", network, "via", via]
        stack.callback(built.run, host, delete, check=False)
    return built


def _plug(lab: ExtendedLab, cable: Cable) -> None:
    near, far = cable.near, cable.far
    _delete(lab, near.host, near.device)
    ends = ["ip", "link", "add", near.device, "netns", lab.namespace(near.host)]
    ends += ["type", "veth", "peer", "name", far.device, "netns", lab.namespace(far.host)]
    namespaces.run(ends)
    for end in (near, far):
        # Before either is up: a veth decides then whether XDP may redirect into it.
        lab.run(end.host, ["ethtool", "-K", end.device, *cable.offloads.split()])
    for end in (near, far):
        lines = [f"link set {end.device} mtu {cable.mtu} {end.attributes} up"]
        # Without duplicate address detection an address may be used at once.
        lines += [
            f"addr add {network} dev {end.device}" + (" nodad" if ":" in network else "")
            for network in end.addresses
        ]
        namespaces.ip_batch(lab.namespace(end.host), lines)
    for gateway in (str(ip_interface(network).ip) for network in near.addresses):
        lab.run(far.host, ["ip", "route", "add", "default", "via", gateway])


def _delete(lab: ExtendedLab, host: str, device: str) -> None:
    """Fine when it is gone, with its namespace or the other end of its cable."""
    lab.run(host, ["ip", "link", "delete", device], check=False)
