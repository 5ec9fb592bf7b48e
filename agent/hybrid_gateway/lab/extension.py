# SPDX-License-Identifier: GPL-2.0-or-later
"""More hosts around a lab, for as long as somebody needs them; some behind narrow links."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface

from . import namespaces
from .network import Lab

PLAIN = ("gro", "off", "gso", "off", "tso", "off", "tx", "off")
"""Offloads would join what the narrow link has to refuse, and leave checksums unfinished."""
SYSCTLS = {"net/ipv4/ip_forward": ("1", "0"), "net/ipv4/icmp_ratelimit": ("0", "1000")}
"""Of the routers: meanwhile, and afterwards."""


@dataclass(frozen=True, slots=True)
class Cable:
    """From a device of a host that is there to one of a new host; that one's default route."""

    near: tuple[str, str, str]
    far: tuple[str, str, str]
    """Host, device and address with its prefix length, of each end."""
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Extension:
    """What is added; every host of `routers` forwards meanwhile."""

    cables: Sequence[Cable]
    routers: Sequence[str]
    routes: Sequence[tuple[str, str, str]] = ()
    """Host, network, next hop."""


FAR, EDGE, FAR_MTU = "192.0.2.130", "192.0.2.2", 1400
BEYOND = Extension(
    cables=(
        Cable(("wan", "edge0", "192.0.2.1/25"), ("edge", "eth0", f"{EDGE}/25"), FAR_MTU),
        Cable(("edge", "far0", "192.0.2.129/25"), ("far", "eth0", f"{FAR}/25")),
    ),
    routers=("wan", "edge"),
    routes=(("wan", "192.0.2.128/25", EDGE),),
)
"""An Internet host behind two routers and a narrow link, of which only the routers know."""


class ExtendedLab(Lab):
    """The lab that it was made from, and the new hosts."""

    def __init__(self, lab: Lab, hosts: Sequence[str]) -> None:
        super().__init__(lab.name, lab.directory)
        self._hosts = hosts

    def namespace(self, host: str) -> str:
        return f"{self.name}-{host}" if host in self._hosts else super().namespace(host)


@contextmanager
def extended(lab: Lab, extension: Extension) -> Iterator[ExtendedLab]:
    """Built beside what there is, and taken away again."""
    hosts = [cable.far[0] for cable in extension.cables]
    built = ExtendedLab(lab, hosts)
    with ExitStack() as stack:
        for cable in extension.cables:
            namespace = built.namespace(cable.far[0])
            # One that a killed process has left would have its devices already.
            namespaces.delete(namespace)
            stack.callback(namespaces.delete, namespace)
            namespaces.add(namespace)
            _plug(built, cable)
        for router in extension.routers:
            for key, (meanwhile, afterwards) in SYSCTLS.items():
                stack.callback(namespaces.write_sysctl, built.namespace(router), key, afterwards)
                namespaces.write_sysctl(built.namespace(router), key, meanwhile)
        for host, network, via in extension.routes:
            built.run(host, ["ip", "route", "add", network, "via", via])
            stack.callback(built.run, host, ["ip", "route", "flush", network])
        yield built


def _plug(lab: ExtendedLab, cable: Cable) -> None:
    (here, mine, address), (there, theirs, _) = cable.near, cable.far
    ends = ["ip", "link", "add", mine, "netns", lab.namespace(here), "type", "veth", "peer"]
    namespaces.run([*ends, "name", theirs, "netns", lab.namespace(there)])
    for host, device, network in (cable.near, cable.far):
        lab.run(host, ["ethtool", "-K", device, *PLAIN])
        lines = [f"link set {device} mtu {cable.mtu} up", f"addr add {network} dev {device}"]
        namespaces.ip_batch(lab.namespace(host), lines)
    lab.run(there, ["ip", "route", "add", "default", "via", str(IPv4Interface(address).ip)])
