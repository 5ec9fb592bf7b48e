# SPDX-License-Identifier: GPL-2.0-or-later
"""A second site: 203.0.113.0/24 stretched over a routed underlay by VXLAN, VNI 100.

    left   eth0 .10 ── seg0 ┐                                       ┌ seg0 ── eth0 .20  right
                            ├ br100: vni100               vni100 :br100
    left2  eth0 .11 ── seg1 ┘
                            gw  up0 ── a0  core  b0 ── up0  gw2
                                192.0.2.1               198.51.100.1
                            2001:db8:1::1               2001:db8:2::1

`gw` is the lab's gateway, with three ports more. `gw2` is a plain Linux bridge with a VXLAN device,
unless an agent is started there, too (`FarSide`). Every link carries 1500 bytes, the VXLAN devices
as well: what they encapsulate does not fit the underlay in one piece.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from ipaddress import IPv4Interface

from . import leftovers
from .extension import Cable, End, Extension, extend
from .network import Lab
from .topology import OFFLOADS, Interface

VNI = 100
BRIDGE, VXLAN, ACCESS, ACCESS2, UPLINK = "br100", "vni100", "seg0", "seg1", "up0"
"""The same names at both sites; the second site has one access port."""
LEFT = Interface("left", "eth0", "02:00:cb:00:71:0a", IPv4Interface("203.0.113.10/24"))
LEFT2 = Interface("left2", "eth0", "02:00:cb:00:71:0b", IPv4Interface("203.0.113.11/24"))
RIGHT = Interface("right", "eth0", "02:00:cb:00:71:14", IPv4Interface("203.0.113.20/24"))
LEFT6, LEFT26, RIGHT6 = "2001:db8:cb::a", "2001:db8:cb::b", "2001:db8:cb::14"
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
    def label(self) -> str:
        """As people write it."""
        return self.name.replace("IPV", "IPv")

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
    near = f"{vxlan_kind(VNI, underlay.near, underlay.far)} {options}"
    far = f"{vxlan_kind(VNI, underlay.far, underlay.near)} {options}"
    return Extension(
        cables=(
            _segment("gw", ACCESS, LEFT, LEFT6),
            _segment("gw", ACCESS2, LEFT2, LEFT26),
            _underlay(NEAR_UPLINK, NEAR_ROUTER),
            _underlay(FAR_ROUTER, FAR_UPLINK),
            _segment("gw2", ACCESS, RIGHT, RIGHT6),
        ),
        routers=("core",),
        links=(
            ("gw", BRIDGE, BRIDGE_KIND),
            ("gw", VXLAN, near),
            ("gw2", BRIDGE, BRIDGE_KIND),
            ("gw2", VXLAN, far),
        ),
        settings=(*_bridged("gw", ACCESS, ACCESS2), *_bridged("gw2", ACCESS)),
        routes=(
            ("gw", f"{FAR_UPLINK.ip}/32", NEAR_ROUTER.ip),
            ("gw", "2001:db8:2::/64", UNDERLAY6[NEAR_ROUTER]),
        ),
    )


def _bridged(site: str, *ports: str) -> list[tuple[str, str]]:
    """The bridge, its access ports and its VXLAN device, up."""
    lines = [f"{VXLAN} {QUIET} master {BRIDGE} up", f"{BRIDGE} {QUIET} up"]
    lines += [f"{port} master {BRIDGE}" for port in ports]
    return [(site, f"link set {line}") for line in lines]


def vxlan_kind(vni: int, local: str, remote: str) -> str:
    """A device that learns, and floods to the one VTEP that there is."""
    return f"type vxlan id {vni} local {local} remote {remote} dstport 4789"


def _underlay(near: Interface, far: Interface) -> Cable:
    return Cable(_routed(near), _routed(far), offloads=OFFLOADS)


def _routed(end: Interface) -> End:
    networks = (str(end.network), f"{UNDERLAY6[end]}/64")
    return End(end.host, end.device, networks, f"address {end.mac}")


def _segment(site: str, port: str, host: Interface, address6: str) -> Cable:
    """The host's cable to the bridge of its site."""
    networks = (str(host.network), f"{address6}/64")
    return Cable(
        End(site, port, attributes=QUIET),
        End(host.host, host.device, networks, f"address {host.mac} {QUIET}"),
        offloads=OFFLOADS,
    )


def port_lines(*ports: str) -> str:
    """Of the `ports` section, for access ports and the underlay's."""
    return "".join(f"  {port}: {{device: {port}, plane: xdp}}\n" for port in (*ports, UPLINK))


NEAR_PORTS, FAR_PORTS = port_lines(ACCESS, ACCESS2), port_lines(ACCESS)
SECTION = f"vxlan:\n  - {{device: {VXLAN}, vni: {VNI}}}\n"
NEAR_CONFIGURATION = f"version: 1\nports:\n{NEAR_PORTS}{SECTION}"
"""One end of the stretched segment, and nothing else."""
FAR_CONFIGURATION = f"version: 1\nports:\n{FAR_PORTS}{SECTION}"


def stand(lab: Lab, underlay: Underlay) -> None:
    """The second site, until the lab goes down; in the lab's configuration it is, too."""
    extend(lab, second_site(underlay))
    usual = lab.config.read_text()
    if SECTION not in usual:
        lab.config.write_text(usual.replace("ports:\n", f"ports:\n{NEAR_PORTS}", 1) + SECTION)


class FarSide(Lab):
    """The second site as its own agent sees it: an instance of its own, whose `gw` is gw2."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(f"{lab.name}-far", lab.directory / "far")
        self._lab = lab

    def namespace(self, host: str) -> str:
        return self._lab.namespace("gw2" if host == "gw" else host)

    def up(self) -> None:
        """Its configuration; the namespaces are the extension's."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(FAR_CONFIGURATION)

    def down(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def far_side(lab: Lab) -> Iterator[FarSide]:
    """The place for an agent at the second site, which ends with the block."""
    side = FarSide(lab)
    with ExitStack() as stack:
        stack.callback(leftovers.remove, side)
        side.up()
        yield side
