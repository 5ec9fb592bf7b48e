# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sites of a stretched segment, over each underlay, with the agent at the first and without."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hybrid_gateway.lab import Interface, Lab, leftovers
from hybrid_gateway.lab.extension import ExtendedLab, extended
from hybrid_gateway.lab.namespaces import write_sysctl
from hybrid_gateway.lab.second import (
    BRIDGE,
    FAR_CONFIGURATION,
    LEFT,
    NEAR_CONFIGURATION,
    NEAR_ROUTER,
    RIGHT,
    VXLAN,
    Underlay,
    far_side,
    second_site,
)
from tests.forward.fixtures import watch_over
from tests.lib.gateway import NOISE, Gateway, eventually
from tests.lib.kernel_mode import Counts, NoCounts
from tests.lib.programs import pinged
from tests.lib.traffic import Places, Wires

PLACES: Places = {
    "left": ("left", "eth0"),
    "left2": ("left2", "eth0"),
    "right": ("right", "eth0"),
    "router": ("core", "a0"),
    "far router": ("core", "b0"),
}
"""The router's two are where the underlay is seen."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Both sites, joined."""

    lab: ExtendedLab
    underlay: Underlay
    wires: Wires
    gateway: Gateway | None = None
    """Of the first site; None: it is the kernel's."""
    far: Gateway | None = None
    """Of the second one, likewise."""

    @property
    def agent(self) -> Gateway:
        assert self.gateway
        return self.gateway

    def counting(self) -> Counts:
        return self.gateway.counting() if self.gateway else NoCounts()

    def fdb(self, mac: str, host: str = "gw") -> str:
        """What the kernel's bridges and VXLAN devices there know of a station."""
        lines = self.lab.run(host, ["bridge", "fdb", "show"]).splitlines()
        return "\n".join(line for line in lines if line.startswith(mac))

    def meet(self) -> None:
        """All three hosts have spoken, so that both bridges know where they are; what earlier
        tests have made the bridges believe does not outlive the second question."""
        for host, other in (("right", LEFT), ("left2", LEFT), ("left", RIGHT), ("left2", RIGHT)):
            assert pinged(self.lab, host, other.ip, count=2) > 0
        if self.gateway:
            # The mirror follows within milliseconds.
            eventually(lambda: self._all_by_xdp("left", RIGHT), "XDP knows the stations")
            eventually(lambda: self._all_by_xdp("left2", LEFT), "XDP knows the local stations")

    def _all_by_xdp(self, host: str, other: Interface) -> bool:
        counts = self.agent.counting()
        assert pinged(self.lab, host, other.ip, count=2) == 2
        return not any(name.startswith("PUNT_") for name in counts.now())


SILENT = """
table ip quiet {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        udp sport 7 accept
        udp dport 7 accept
        ip id 0x1234 ip protocol { udp, 253 } drop
    }
}
table ip6 silent {
    chain output {
        type filter hook output priority raw; policy accept;
        icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit } drop
    }
}
"""
"""As QUIET, but no segment of a transfer and no datagram of a stream with an echo server is lost,
whatever its identification: a sender comes by that of the tests' packets after 65536 at the latest.

Multicast that hosts send by themselves is flooded, and counted, at any time; the bridge and
the VXLAN device of the second site are hosts, too."""
SITES = frozenset({"sites", "either_sites", "both_sites"})
"""Fixtures: a test takes one of them."""
SitesOf = Callable[[str, Underlay], Sites]


@contextmanager
def two_sites(plane: str, underlay: Underlay, directory: Path) -> Iterator[Sites]:
    lab = Lab(f"{plane[0]}v{underlay.name[-1]}p{os.getpid()}", directory)
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        lab.up()
        wide = stack.enter_context(extended(lab, second_site(underlay)))
        for host in ("left", "left2", "right"):
            wide.run(host, ["nft", SILENT])
        for device in (BRIDGE, VXLAN):
            write_sysctl(wide.namespace("gw2"), f"net/ipv6/conf/{device}/disable_ipv6", "1")
        near = far = None
        if plane != "kernel":
            near = _running(wide, NEAR_CONFIGURATION, stack)
        if plane == "both":
            far = _running(stack.enter_context(far_side(wide)), FAR_CONFIGURATION, stack)
        yield Sites(wide, underlay, Wires(wide, stack, PLACES), near, far)


def _running(lab: Lab, configuration: str, stack: ExitStack) -> Gateway:
    gateway = Gateway(lab, configuration, NOISE | {"PUNT_KERNEL_MODE", "PUNT_NOT_NAT"})
    stack.callback(gateway.process.stop)
    gateway.start()
    return gateway


@pytest.fixture(scope="session")
def sites_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SitesOf]:
    """Each pair of sites is built when it is wanted first, and stands to the end."""
    built: dict[tuple[str, Underlay], Sites] = {}
    with ExitStack() as stack:

        def get(plane: str, underlay: Underlay) -> Sites:
            if (plane, underlay) not in built:
                directory = tmp_path_factory.mktemp(f"{plane}-{underlay.name}")
                made = stack.enter_context(two_sites(plane, underlay, directory))
                built[plane, underlay] = made
            return built[plane, underlay]

        yield get


@pytest.fixture(params=list(Underlay), ids=lambda underlay: underlay.name.lower())
def underlay(request: pytest.FixtureRequest) -> Underlay:
    chosen: Underlay = request.param
    return chosen


@pytest.fixture
def sites(sites_of: SitesOf, underlay: Underlay) -> Sites:
    """With the agent at the first site."""
    return _ready(sites_of("xdp", underlay))


@pytest.fixture(params=["xdp", "kernel"])
def either_sites(request: pytest.FixtureRequest, sites_of: SitesOf, underlay: Underlay) -> Sites:
    """With the agent at the first site, and then without."""
    return _ready(sites_of(request.param, underlay))


@pytest.fixture
def both_sites(sites_of: SitesOf, underlay: Underlay) -> Sites:
    """With an agent at each."""
    return _ready(sites_of("both", underlay))


@pytest.fixture
def underlay_watch(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the gateway sends to the router has right checksums."""
    (name,) = SITES.intersection(request.fixturenames)
    sites: Sites = request.getfixturevalue(name)
    with watch_over(sites.lab, NEAR_ROUTER):
        yield


def _ready(sites: Sites) -> Sites:
    for gateway in (sites.gateway, sites.far):
        if gateway:
            gateway.ready()
    for host in ("left", "right"):
        # While the kernel forwarded it told them that large packets do not fit.
        for family in ("-4", "-6"):
            sites.lab.run(host, ["ip", family, "route", "flush", "cache"])
    sites.meet()
    return sites
