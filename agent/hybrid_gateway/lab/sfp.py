# SPDX-License-Identifier: GPL-2.0-or-later
"""Two more ports of the gateway, which are the DPDK worker's, and a host behind each.

    east  eth0 198.18.0.10 ── sfp0 198.18.0.1          198.18.1.1 sfp1 ── eth0 198.18.1.10  west
          2001:db8:e::10      2001:db8:e::1    gw   2001:db8:f::1         2001:db8:f::10

The ports are af_packet ports of DPDK on veth devices. The Internet hosts have routes to both
networks, so that what passes between these hosts and the Internet is routed and not translated.
"""

from ipaddress import IPv4Interface

from .extension import Cable, End, ExtendedLab, Extension, extend
from .namespaces import write_sysctl
from .network import Lab
from .topology import WAN, Interface

EAST = Interface("east", "eth0", "02:00:c6:12:00:0a", IPv4Interface("198.18.0.10/24"))
WEST = Interface("west", "eth0", "02:00:c6:12:01:0a", IPv4Interface("198.18.1.10/24"))
SFP0 = Interface("gw", "sfp0", "02:00:c6:12:00:01", IPv4Interface("198.18.0.1/24"))
SFP1 = Interface("gw", "sfp1", "02:00:c6:12:01:01", IPv4Interface("198.18.1.1/24"))
SFP_IPV6 = {
    EAST: "2001:db8:e::10",
    WEST: "2001:db8:f::10",
    SFP0: "2001:db8:e::1",
    SFP1: "2001:db8:f::1",
}
SFP_MTU = 1500


def _end(end: Interface) -> End:
    networks = (str(end.network), f"{SFP_IPV6[end]}/64")
    return End(end.host, end.device, networks, f"address {end.mac}")


SFP = Extension(
    # An af_packet port hands frames on as the packet socket has them. With their offloads the
    # ends would join segments into frames that no port can send, and leave checksums unfinished.
    cables=(Cable(_end(SFP0), _end(EAST), SFP_MTU), Cable(_end(SFP1), _end(WEST), SFP_MTU)),
    routes=(("wan", "198.18.0.0/15", WAN.ip),),
)

_GATEWAY_SYSCTLS = {
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/icmp/ratelimit": "0",
    # The devices that take the ports' places ask for neighbours at once, not after two seconds.
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    # A namespace begins with what the host has; a packet that has to be judged by its way back
    # is the kernel's.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}

SFP_PORTS = """\
  sfp0: {vdev: "net_af_packet0,iface=sfp0", plane: dpdk}
  sfp1: {vdev: "net_af_packet1,iface=sfp1", plane: dpdk}
"""
SFP_SECTION = """\
worker: {hugepages: 160M, routes: {ipv4: 10000, ipv6: 1000}}
"""


def configured(text: str) -> str:
    """A configuration with the two ports in it, too."""
    if SFP_PORTS in text:
        return text
    return text.replace("ports:\n", f"{SFP_SECTION}ports:\n{SFP_PORTS}", 1)


def stand(lab: Lab) -> ExtendedLab:
    """The ports and their hosts, until the lab goes down; in its configuration they are, too."""
    gateway = lab.namespace("gw")
    for key, value in _GATEWAY_SYSCTLS.items():
        write_sysctl(gateway, key, value)
    built = extend(lab, SFP)
    lab.config.write_text(configured(lab.config.read_text()))
    return built
