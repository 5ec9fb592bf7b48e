# SPDX-License-Identifier: GPL-2.0-or-later
"""Sites of ours, one with FRR, and a plain one with gobgpd, each the others' neighbour."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_gateway.lab import BgpProcess, sites
from hybrid_gateway.lab.segment import PlainProcess, SiteLab, evpn_section
from hybrid_gateway.lab.sites import ACCESS, Family, Kind, Site
from tests.interop import frr
from tests.interop.frr import BOOKWORM, FORKY, Frr, Release
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually

OURS, FRR, PLAIN, OTHER = 1, 2, 3, 4
"""Numbers of the sites. Of ours one is XDP's, and the other one the worker's; that one tells
the plain site nine bytes of PMSI tunnel attribute (`pmsi-compat`). FRR 10.7 would take them, and
flood to the router id that is in there, although the next hop is of IPv6."""
ALL = (OURS, FRR, PLAIN, OTHER)
RELEASES: dict[Family, Release] = {Family.IPV4: BOOKWORM, Family.IPV6: FORKY}
CONVERGE_SECONDS = 30.0
"""A session that was refused a moment ago is tried again after up to ten."""


@dataclass(frozen=True, slots=True)
class Peers:
    """All four."""

    three: Three
    frr: Frr
    plain: PlainProcess

    @property
    def bgp(self) -> BgpProcess:
        """The gobgpd of ours."""
        return self.three.daemons[OURS]

    def told_by(self, number: int) -> dict[str, str]:
        return self.three.told_by(number)

    def agreed(self) -> bool:
        """Whether each site knows the stations and VTEPs of all others."""
        return all(self._knows(number) for number in ALL)

    def _knows(self, number: int) -> bool:
        others = set(ALL) - {number}
        wanted = {self.three.mac(other): self.three.vtep(other) for other in others}
        return wanted.items() <= self.told_by(number).items() and self.three.floods(number) == {
            self.three.vtep(other) for other in others
        }

    def converge(self) -> None:
        """Wait until they agree; every station says something meanwhile."""

        def agreed() -> bool:
            for number in ALL:
                self.speak(number, self.three.mac(number))
            return self.agreed()

        eventually(agreed, "all sites know all stations", CONVERGE_SECONDS)

    def speak(self, number: int, mac: str) -> None:
        self.three.speak(number, mac)

    def await_told(self, numbers: Iterable[int], mac: str, at: int) -> None:
        """Until the kernels of these sites are told that the station is at that one."""
        for number in numbers:
            self._await_told(number, mac, at)

    def _await_told(self, number: int, mac: str, at: int) -> None:
        eventually(
            lambda: self.told_by(number).get(mac) == self.three.vtep(at),
            f"site {number} is told that {mac} is at site {at}",
        )

    def forget(self, number: int, mac: str) -> None:
        """The bridge of a site does, of a station at its access port, if it knows any."""
        argv = ["bridge", "fdb", "del", mac, "dev", ACCESS, "master"]
        self.three.lab.run(self.three.site(number).gateway, argv, check=False)

    def ask(self, number: int, what: str, **params: Any) -> Any:
        """The agent of a site of ours."""
        return self.three.gateways[number].call(what, **params)

    def station(self, number: int, mac: str) -> dict[str, Any]:
        """As a site of ours has it; empty if it has not."""
        found = self.ask(number, "show.evpn.macs", cursor=0, limit=1000)["macs"]
        return next((one for one in found if one["mac"] == mac), {})


@contextmanager
def joined(name: str, directory: Path, kind: Kind, family: Family) -> Iterator[Peers]:
    """`kind` is that of the first site; the fourth is of the other one of ours."""
    other = Kind.WORKER if kind is Kind.XDP else Kind.XDP
    kinds = (kind, Kind.KERNEL, Kind.KERNEL, other)
    with ExitStack() as stack:

        def section(site: Site) -> str:
            text = evpn_section(site, [Site(n) for n in ALL if n != site.number], family)
            plain = f'"{Site(PLAIN).vtep(family)}"'
            return (
                text.replace(plain, f"{plain}, pmsi-compat: true") if site.number == OTHER else text
            )

        three = stack.enter_context(standing(name, directory, kinds, family, section=section))
        plain = plain_site(three, PLAIN, stack)
        daemon = Frr(RELEASES[family], three.lab, three.site(FRR), directory / "frr")
        others = sites.peers_of(three.site(FRR), three.sites)
        daemon.start(frr.configuration(three.site(FRR), others, family), stack)
        peers = Peers(three, daemon, plain)
        peers.converge()
        yield peers


def plain_site(three: Three, number: int, stack: ExitStack) -> PlainProcess:
    place = SiteLab(three.lab, three.site(number))
    place.prepare("")
    process = PlainProcess(place, sites.peers_of(place.site, three.sites), three.family)
    stack.callback(process.stop)
    process.start()
    return process
