# SPDX-License-Identifier: GPL-2.0-or-later
"""A site of ours, one with FRR, and a plain one with gobgpd, each the others' neighbour."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hybrid_gateway.lab import BgpProcess, sites
from hybrid_gateway.lab.segment import PlainProcess, SiteLab, evpn_section
from hybrid_gateway.lab.sites import VXLAN, Family, Kind, Site
from hybrid_gateway.lab.sniff import PacketSocket
from tests.interop import frr
from tests.interop.frr import BOOKWORM, FORKY, Frr, Release
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually

OURS, FRR, PLAIN = 1, 2, 3
"""Numbers of the sites."""
RELEASES: dict[Family, Release] = {Family.IPV4: BOOKWORM, Family.IPV6: FORKY}
CONVERGE_SECONDS = 30.0
"""A session that was refused a moment ago is tried again after up to ten."""


@dataclass(frozen=True, slots=True)
class Peers:
    """All three."""

    three: Three
    frr: Frr
    plain: PlainProcess

    @property
    def bgp(self) -> BgpProcess:
        """The gobgpd of ours."""
        return self.three.daemons[OURS]

    def told_by(self, number: int) -> dict[str, str]:
        """VTEP by MAC address as the kernel of a site has been told it."""
        said = self.three.lab.run(
            self.three.site(number).gateway, ["bridge", "fdb", "show", "dev", VXLAN]
        )
        words = [line.split() for line in said.splitlines() if "extern_learn" in line]
        return {line[0]: line[line.index("dst") + 1] for line in words if "dst" in line}

    def agreed(self) -> bool:
        """Whether each site knows the stations and VTEPs of the two others."""
        return all(self._knows(number) for number in (OURS, FRR, PLAIN))

    def _knows(self, number: int) -> bool:
        others = {OURS, FRR, PLAIN} - {number}
        wanted = {self.three.mac(other): self.three.vtep(other) for other in others}
        return wanted.items() <= self.told_by(number).items() and self.three.floods(number) == {
            self.three.vtep(other) for other in others
        }

    def converge(self) -> None:
        """Wait until they agree; every station says something meanwhile."""

        def agreed() -> bool:
            for number in (OURS, FRR, PLAIN):
                self.speak(number, self.three.mac(number))
            return self.agreed()

        eventually(agreed, "all sites know all stations", CONVERGE_SECONDS)

    def speak(self, number: int, mac: str) -> None:
        """A frame to nobody from a station with that address, at a site's access port."""
        host = self.three.site(number).host
        sender = PacketSocket(self.three.lab.namespace(host.host), host.device)
        try:
            source = bytes.fromhex(mac.replace(":", ""))
            sender.send(bytes.fromhex("020000000099") + source + b"\x88\xb5" + bytes(46))
        finally:
            sender.close()


@contextmanager
def joined(name: str, directory: Path, kind: Kind, family: Family) -> Iterator[Peers]:
    """`kind` is that of our site; a plain one stands for it with Kind.KERNEL."""
    kinds = (kind, Kind.KERNEL, Kind.KERNEL)
    with ExitStack() as stack:

        def section(site: Site) -> str:
            return evpn_section(site, [Site(FRR), Site(PLAIN)], family)

        three = stack.enter_context(standing(name, directory, kinds, family, section=section))
        plains = [PLAIN, OURS] if kind is Kind.KERNEL else [PLAIN]
        plain, *_ = [_plain(three, number, stack) for number in plains]
        daemon = Frr(RELEASES[family], three.lab, three.site(FRR), directory / "frr")
        others = sites.peers_of(three.site(FRR), three.sites)
        daemon.start(frr.configuration(three.site(FRR), others, family), stack)
        peers = Peers(three, daemon, plain)
        peers.converge()
        yield peers


def _plain(three: Three, number: int, stack: ExitStack) -> PlainProcess:
    place = SiteLab(three.lab, three.site(number))
    place.prepare("")
    process = PlainProcess(place, sites.peers_of(place.site, three.sites), three.family)
    stack.callback(process.stop)
    process.start()
    return process
