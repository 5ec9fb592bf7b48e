# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab with a narrow link on either side of the gateway, and a host behind each.

    deep ── inner ══ 1300 ══ lan ── gw ── wan ══ 1400 ══ edge ── far
      192.168.112.0/24  192.168.111.0/24    192.0.2.0/25  192.0.2.128/25

Only the routers know how narrow the links are.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface

from hybrid_gateway.lab import LAN, Lab, namespaces

FAR = "192.0.2.130"
EDGE = "192.0.2.2"
INNER = "192.168.111.2"
LAN_DEEP = "192.168.111.1"
FAR_MTU, DEEP_MTU = 1400, 1300
PLAIN = ("gro", "off", "gso", "off", "tso", "off", "tx", "off")
"""Offloads would join what the narrow link has to refuse, and leave checksums unfinished."""
SYSCTLS = {"net/ipv4/ip_forward": ("1", "0"), "net/ipv4/icmp_ratelimit": ("0", "1000")}
"""Of the routers: meanwhile, and afterwards."""


@dataclass(frozen=True)
class Cable:
    """From a device of the lab's side to one that leads away from it."""

    near: tuple[str, str, str]
    far: tuple[str, str, str]
    """Host, device and address of each end."""
    mtu: int = 1500


CABLES = (
    Cable(("wan", "edge0", "192.0.2.1/25"), ("edge", "eth0", f"{EDGE}/25"), FAR_MTU),
    Cable(("edge", "far0", "192.0.2.129/25"), ("far", "eth0", f"{FAR}/25")),
    Cable(("lan", "inner0", f"{LAN_DEEP}/24"), ("inner", "eth0", f"{INNER}/24"), DEEP_MTU),
    Cable(("inner", "deep0", "192.168.112.1/24"), ("deep", "eth0", "192.168.112.10/24")),
)
ROUTERS = ("wan", "edge", "lan", "inner")
ROUTES = (
    ("wan", "192.0.2.128/25", EDGE),
    ("lan", "192.168.112.0/24", INNER),
    ("gw", "192.168.111.0/24", LAN.ip),
    ("gw", "192.168.112.0/24", LAN.ip),
)


class WiderLab(Lab):
    """Four hosts more; everything else is the lab that it was made from."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.name, lab.directory)

    def namespace(self, host: str) -> str:
        if host in ("far", "edge", "inner", "deep"):
            return f"{self.name}-{host}"
        return super().namespace(host)


@contextmanager
def wider(lab: Lab) -> Iterator[WiderLab]:
    """Built beside what there is, and taken away again."""
    built = WiderLab(lab)
    with ExitStack() as stack:
        for cable in CABLES:
            stack.callback(namespaces.delete, built.namespace(cable.far[0]))
            namespaces.add(built.namespace(cable.far[0]))
            _plug(built, cable)
        for router in ROUTERS:
            for key, (meanwhile, afterwards) in SYSCTLS.items():
                stack.callback(namespaces.write_sysctl, built.namespace(router), key, afterwards)
                namespaces.write_sysctl(built.namespace(router), key, meanwhile)
        for host, network, via in ROUTES:
            built.run(host, ["ip", "route", "add", network, "via", via])
            stack.callback(built.run, host, ["ip", "route", "flush", network])
        yield built


def _plug(lab: WiderLab, cable: Cable) -> None:
    (here, mine, _), (there, theirs, _) = cable.near, cable.far
    ends = ["ip", "link", "add", mine, "netns", lab.namespace(here), "type", "veth", "peer"]
    namespaces.run([*ends, "name", theirs, "netns", lab.namespace(there)])
    for host, device, address in (cable.near, cable.far):
        lab.run(host, ["ethtool", "-K", device, *PLAIN])
        namespaces.ip_batch(
            lab.namespace(host),
            [
                f"link set {device} mtu {cable.mtu} up",
                f"addr add {address} dev {device}",
            ],
        )
    gateway = IPv4Interface(cable.near[2]).ip
    lab.run(there, ["ip", "route", "add", "default", "via", str(gateway)])
