# SPDX-License-Identifier: GPL-2.0-or-later
"""A second site: 203.0.113.0/24 stretched over a routed underlay by VXLAN, VNI 100.

    left  eth0 .10 ── seg0 ┐                                       ┌ seg0 ── eth0 .20  right
                           ├ br100: vni100               vni100 :br100
                           gw  up0 ── a0  core  b0 ── up0  gw2
                               192.0.2.1               198.51.100.1
                           2001:db8:1::1               2001:db8:2::1

`gw` is the lab's gateway, with two ports more. `gw2` is a plain Linux bridge with a VXLAN device,
unless an agent is started there, too (`FarSide`). Every link carries 1500 bytes, the VXLAN devices
as well: what they encapsulate does not fit the underlay in one piece.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from ipaddress import IPv4Interface

from .extension import Cable, End, ExtendedLab, Extension, extended
from .network import Lab
from .topology import OFFLOADS, Interface

VNI = 100
BRIDGE, VXLAN, ACCESS, UPLINK = "br100", "vni100", "seg0", "up0"
"""The same names at both sites."""
LEFT = Interface("left", "eth0", "02:00:cb:00:71:0a", IPv4Interface("203.0.113.10/24"))
RIGHT = Interface("right", "eth0", "02:00:cb:00:71:14", IPv4Interface("203.0.113.20/24"))
LEFT6, RIGHT6 = "2001:db8:cb::a", "2001:db8:cb::14"
NEAR_UPLINK = Interface("gw", UPLINK, "02:00:c0:00:02:01", IPv4Interface("192.0.2.1/24"))
NEAR_ROUTER = Interface("core", "a0", "02:00:c0:00:02:fe", IPv4Interface("192.0.2.254/24"))
FAR_ROUTER = Interface("core", "b0", "02:00:c6:33:64:fe", IPv4Interface("198.51.100.254/24"))
FAR_UPLINK = Interface("gw2", UPLINK, "02:00:c6:33:64:01", IPv4Interface("198.51.100.1/24"))
UNDERLAY6 = {
    NEAR_UPLINK: "2001:db8:1::1",
    NEAR_ROUTER: "2001:db8:1::fe",
    FAR_ROUTER: "2001:db8:2::fe",
    FAR_UPLINK: "2001:db8:2::1",
}


class Underlay(Enum):
    """What the sites are joined over: the VTEP addresses of the first and of the second."""

    IPV4 = (NEAR_UPLINK.ip, FAR_UPLINK.ip)
    IPV6 = (UNDERLAY6[NEAR_UPLINK], UNDERLAY6[FAR_UPLINK])

    @property
    def near(self) -> str:
        return self.value[0]

    @property
    def far(self) -> str:
        return self.value[1]


QUIET = "addrgenmode none"
"""No link-local address, and so none of the multicast that comes with one."""
BRIDGE_KIND = "type bridge forward_delay 0 mcast_snooping 0"


def second_site(underlay: Underlay, options: str = "") -> Extension:
    """`options` are further ones of both VXLAN devices."""
    sites = (("gw", underlay.near, underlay.far), ("gw2", underlay.far, underlay.near))
    return Extension(
        cables=(
            _segment("gw", LEFT, LEFT6),
            _underlay(NEAR_UPLINK, NEAR_ROUTER),
            _underlay(FAR_ROUTER, FAR_UPLINK),
            _segment("gw2", RIGHT, RIGHT6),
        ),
        routers=("core",),
        links=tuple(
            link
            for host, local, remote in sites
            for link in (
                (host, BRIDGE, BRIDGE_KIND),
                (host, VXLAN, f"{vxlan_kind(VNI, local, remote)} {options}"),
            )
        ),
        settings=tuple(
            (host, f"link set {device} {what}")
            for host, _, _ in sites
            for device, what in (
                (ACCESS, f"master {BRIDGE}"),
                (VXLAN, f"{QUIET} master {BRIDGE} up"),
                (BRIDGE, f"{QUIET} up"),
            )
        ),
        routes=(
            ("gw", f"{FAR_UPLINK.ip}/32", NEAR_ROUTER.ip),
            ("gw", "2001:db8:2::/64", UNDERLAY6[NEAR_ROUTER]),
        ),
    )


def vxlan_kind(vni: int, local: str, remote: str) -> str:
    """A device that learns, and floods to the one VTEP that there is."""
    return f"type vxlan id {vni} local {local} remote {remote} dstport 4789"


def _underlay(near: Interface, far: Interface) -> Cable:
    return Cable(_routed(near), _routed(far), offloads=OFFLOADS)


def _routed(end: Interface) -> End:
    networks = (str(end.network), f"{UNDERLAY6[end]}/64")
    return End(end.host, end.device, networks, f"address {end.mac}")


def _segment(site: str, host: Interface, address6: str) -> Cable:
    """The host's cable to the bridge of its site."""
    networks = (str(host.network), f"{address6}/64")
    return Cable(
        End(site, ACCESS, attributes=QUIET),
        End(host.host, host.device, networks, f"address {host.mac} {QUIET}"),
        offloads=OFFLOADS,
    )


CONFIGURATION = f"""\
# One end of the stretched segment, and nothing else.
version: 1
ports:
  {ACCESS}: {{device: {ACCESS}, plane: xdp}}
  {UPLINK}: {{device: {UPLINK}, plane: xdp}}
vxlan:
  - {{device: {VXLAN}, vni: {VNI}}}
"""


class FarSide(Lab):
    """The second site as its own agent sees it: an instance of its own, whose `gw` is gw2."""

    def __init__(self, lab: ExtendedLab) -> None:
        super().__init__(f"{lab.name}-far", lab.directory / "far")
        self._lab = lab

    def namespace(self, host: str) -> str:
        return self._lab.namespace("gw2" if host == "gw" else host)


@contextmanager
def with_second_site(
    lab: Lab, underlay: Underlay = Underlay.IPV4, options: str = ""
) -> Iterator[ExtendedLab]:
    """The lab and its second site, for as long as the block runs."""
    with extended(lab, second_site(underlay, options)) as built:
        yield built
