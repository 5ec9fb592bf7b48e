# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab looks like: a typical site behind one gateway, with documentation addresses.

    lan  eth0 .10 ─┐                              ┌─ lo 198.51.100.10, .11 (Internet hosts)
                   ├─ br-lan 192.168.110.1  gw  wan0 203.0.113.2 ── eth0 203.0.113.1  wan
    lan2 eth0 .20 ─┘   (lan0, lan1)

`wan` has no route to the inside: a frame that leaves untranslated gets no answer.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

HOSTS = ("lan", "lan2", "gw", "wan")
SECOND_HOSTS = ("left", "left2", "core", "gw2", "right")
"""Of a second site, if there is one: see second.py."""
SFP_HOSTS = ("east", "west")
"""Behind the ports of the DPDK worker, if there are any: see sfp.py."""
SITES_HOSTS = ("backbone", "site1", "site2", "site3", "host1", "host2", "host3")
"""Of three sites of one segment, if there are any: see sites.py."""
ALL_HOSTS = (*HOSTS, *SECOND_HOSTS, *SFP_HOSTS, *SITES_HOSTS)


@dataclass(frozen=True, slots=True)
class Interface:
    """One end of a cable, or a bridge; `host` is a namespace without the lab's name."""

    host: str
    device: str
    mac: str
    network: IPv4Interface | None = None

    @property
    def ip(self) -> str:
        """The address as text, the form that tools and scapy take."""
        if self.network is None:
            raise ValueError(f"{self.host}/{self.device} has no address")
        return str(self.network.ip)


LAN = Interface("lan", "eth0", "02:00:c0:a8:6e:0a", IPv4Interface("192.168.110.10/24"))
LAN2 = Interface("lan2", "eth0", "02:00:c0:a8:6e:14", IPv4Interface("192.168.110.20/24"))
# A bridge takes the lowest MAC address of its ports unless it has one of its own.
GW_INSIDE = Interface("gw", "br-lan", "02:00:c0:a8:6e:01", IPv4Interface("192.168.110.1/24"))
WAN = Interface("gw", "wan0", "02:00:cb:00:71:02", IPv4Interface("203.0.113.2/24"))
ROUTER = Interface("wan", "eth0", "02:00:cb:00:71:01", IPv4Interface("203.0.113.1/24"))
LAN_PORT = Interface("gw", "lan0", "02:00:c0:a8:6e:f0")
LAN2_PORT = Interface("gw", "lan1", "02:00:c0:a8:6e:f1")

INTERNET = ("198.51.100.10", "198.51.100.11", "198.51.100.12")
"""Addresses of the wan host that are far away: reached through its router address."""

ONE_TO_ONE = IPv4Address("203.0.113.9")
"""Routed to the gateway by the wan host, for a 1:1 mapping; nobody answers ARP for it."""

INSIDE_NETWORK = IPv4Network("192.168.110.0/24")

CABLES = ((LAN_PORT, LAN), (LAN2_PORT, LAN2), (WAN, ROUTER))
BRIDGED = (LAN_PORT, LAN2_PORT)
ENDS = tuple(end for cable in CABLES for end in cable)


ROUTES: dict[str, dict[str, str]] = {
    "lan": {"default": GW_INSIDE.ip},
    "lan2": {"default": GW_INSIDE.ip},
    "gw": {"default": ROUTER.ip},
    "wan": {str(ONE_TO_ONE): WAN.ip},
}


def address_script(host: str) -> list[str]:
    """`ip -batch` lines for one namespace; every line may be repeated without effect."""
    ends = _ends(host)
    lines = ["link set lo up"]
    if host == "gw":
        lines += [f"link set {port.device} master {GW_INSIDE.device}" for port in BRIDGED]
    lines += [f"link set {end.device} address {end.mac} up" for end in ends]
    lines += [f"addr replace {end.network} dev {end.device}" for end in ends if end.network]
    if host == "wan":
        lines += [f"addr replace {address}/32 dev lo" for address in INTERNET]
    return lines + [f"route replace {to} via {via}" for to, via in ROUTES[host].items()]


def wanted_facts(host: str) -> set[str]:
    """What `observed.facts` finds when the namespace is as it should be."""
    ends = _ends(host)
    wanted = {"lo is up"} | {f"{end.device} is up" for end in ends}
    wanted |= {f"{end.device} is {end.mac}" for end in ends}
    wanted |= {f"{end.device} has carrier" for end in ends}
    wanted |= {f"{end.device} has {end.network}" for end in ends if end.network}
    wanted |= {f"{to} via {via}" for to, via in ROUTES[host].items()}
    if host == "gw":
        wanted |= {f"{port.device} is in {GW_INSIDE.device}" for port in BRIDGED}
    if host == "wan":
        wanted |= {f"lo has {address}/32" for address in INTERNET}
    return wanted


def _ends(host: str) -> list[Interface]:
    return [end for end in (*ENDS, GW_INSIDE) if end.host == host]


OFFLOADS = "gro on tx off"
"""For every end of every cable, through ethtool.

A veth pair is not a NIC: a frame that XDP redirects into it is dropped silently unless the
receiving end has GRO (or an XDP program), and a sender leaves its checksums to an offload which
the redirect forgets. With GRO alone an answer by XDP_TX still waits in the ring until the next
frame comes. Real NICs and virtio have none of these problems.
"""

SYSCTLS = {
    # Tests provoke many ICMP errors within a second; the kernel would suppress most of them.
    "gw": {"net/ipv4/ip_forward": "1", "net/ipv4/icmp_ratelimit": "0"},
}

CONFIGURATION = f"""\
# The gateway of the lab. Edit it and run `gwctl --instance NAME apply`.
version: 1
ports:
  lan0: {{device: lan0, plane: xdp}}
  lan1: {{device: lan1, plane: xdp}}
  wan0: {{device: wan0, plane: xdp}}
nat44:
  inside: [{GW_INSIDE.device}]
  outside: wan0
  addresses: [interface]
  static:
    - {{protocol: tcp, outside: ":8080", inside: "{LAN.ip}:80"}}
    - {{protocol: udp, outside: ":5353", inside: "{LAN.ip}:7"}}
"""
