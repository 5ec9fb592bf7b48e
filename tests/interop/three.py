# SPDX-License-Identifier: GPL-2.0-or-later
"""Sites of one segment, three or more, as a test wants them: which are ours, and over what."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from pathlib import Path

from hybrid_gateway.lab import BgpProcess, Lab, WorkerProcess, leftovers, segment, sites
from hybrid_gateway.lab.extension import ExtendedLab, extended
from hybrid_gateway.lab.segment import SiteLab
from hybrid_gateway.lab.services import servers
from hybrid_gateway.lab.sites import VXLAN, Family, Kind, Site
from hybrid_gateway.lab.sniff import PacketSocket
from tests.forward.fixtures import watch_over
from tests.lib.gateway import Counting, Gateway, eventually
from tests.lib.programs import blob_digest, curl, digest, pinged

CHATTER = frozenset({"PUNT_ARP", "PUNT_MULTICAST", "PUNT_LINK_LOCAL", "FROM_KERNEL"})
"""Of hosts and of the kernel, at any time."""
MEET_SECONDS = 30.0
FULL = 1500 - 28
"""Bytes of an echo request that fills a link: IPv4 and ICMP headers are the rest."""


@dataclass(frozen=True, slots=True)
class Three:
    """All that stands."""

    lab: ExtendedLab
    family: Family
    sites: tuple[Site, ...]
    gateways: dict[int, Gateway]
    """Ours, by the number of the site."""
    daemons: dict[int, BgpProcess]
    """The gobgpd of each, if it has one."""
    workers: dict[int, WorkerProcess] = field(default_factory=dict)
    """And the worker."""

    def site(self, number: int) -> Site:
        return self.sites[number - 1]

    def vtep(self, number: int) -> str:
        return self.site(number).vtep(self.family)

    def mac(self, number: int) -> str:
        """Of the site's station."""
        return self.site(number).host.mac

    def counting(self, number: int) -> Counting:
        """All ports of our gateway at that site, but for what hosts say by themselves."""
        return Counting(self.gateways[number].counters, CHATTER)

    def pinged(self, here: int, there: int, count: int = 3) -> int:
        return pinged(self.lab, self.site(here).host.host, self.site(there).host.ip, count)

    def pinged_full(self, here: int, there: int, count: int = 10) -> int:
        """With frames that fill the link and may not be fragmented; how many were answered."""
        argv = ["ping", "-n", "-i", "0.02", "-w", "3", "-c", str(count), "-M", "do"]
        argv += ["-s", str(FULL), self.site(there).host.ip]
        said = self.lab.run(self.site(here).host.host, argv, check=False)
        return sum("bytes from" in line for line in said.splitlines())

    def meet(self) -> None:
        """Each station has heard from each other one."""
        for here, there in permutations((site.number for site in self.sites), 2):
            self.met(here, there)

    def all_by_us(self, here: int, there: int) -> bool:
        """Whether no frame between these stations needs the kernel of the first one's gateway."""
        counts = self.counting(here)
        assert self.pinged(here, there, 2) == 2
        moved = counts.now()
        return bool(moved.get("VXLAN_ENCAP")) and not any("PUNT_" in name for name in moved)

    def forwards(self, here: int, there: int) -> None:
        """AssertionError unless our gateway at `here` serves these stations without its kernel."""
        self.met(here, there)
        eventually(lambda: self.all_by_us(here, there), "nothing is left to the kernel")
        counts = self.counting(here)
        assert self.pinged(here, there, 10) == 10
        counts.expect_some(VXLAN_ENCAP=10, VXLAN_DECAP=10)

    def met(self, here: int, there: int) -> None:
        eventually(
            lambda: self.pinged(here, there, 1) == 1,
            f"the station of site {here} reaches that of site {there}",
            MEET_SECONDS,
        )

    def copies(self, here: int, there: int, size: int) -> None:
        """By TCP, to the station there and back; AssertionError unless all of it arrives."""
        address = self.site(there).host.ip
        client, server = (self.site(number).host.host for number in (here, there))
        with servers(self.lab, server, http=[f"{address}:80"]):
            got = curl(self.lab, client, f"http://{address}/blob/{size}")
            assert digest(got) == blob_digest(size)
            file = self.lab.directory / "upload"
            file.write_bytes(got)
            said = curl(self.lab, client, "-T", str(file), f"http://{address}/").decode()
            assert said == blob_digest(size)

    def fdb(self, number: int, mac: str) -> str:
        """What the kernel of a site knows of a station: lines of `bridge fdb`."""
        said = self.lab.run(self.site(number).gateway, ["bridge", "fdb", "show"])
        return "\n".join(line for line in said.splitlines() if line.startswith(mac))

    def told_by(self, number: int) -> dict[str, str]:
        """VTEP by MAC address as the kernel of a site has been told it."""
        said = self.lab.run(self.site(number).gateway, ["bridge", "fdb", "show", "dev", VXLAN])
        words = [line.split() for line in said.splitlines() if "extern_learn" in line]
        return {line[0]: line[line.index("dst") + 1] for line in words if "dst" in line}

    def speak(self, number: int, mac: str) -> None:
        """A frame to nobody from a station with that address, at a site's access port."""
        host = self.site(number).host
        sender = PacketSocket(self.lab.namespace(host.host), host.device)
        try:
            source = bytes.fromhex(mac.replace(":", ""))
            sender.send(bytes.fromhex("020000000099") + source + b"\x88\xb5" + bytes(46))
        finally:
            sender.close()

    def floods(self, number: int) -> set[str]:
        """VTEPs of the flood list there."""
        told = self.fdb(number, "00:00:00:00:00:00").split()
        return {after for word, after in pairwise(told) if word == "dst"}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """What our gateways send to the backbone meanwhile has right checksums."""
        with ExitStack() as stack:
            for number in self.gateways:
                stack.enter_context(watch_over(self.lab, self.site(number).router))
            yield


@contextmanager
def standing(
    name: str,
    directory: Path,
    kinds: Sequence[Kind],
    family: Family = Family.IPV6,
    *,
    learning: bool = False,
    section: Callable[[Site], str] = lambda _: "",
    gobgp: bool = True,
    prepare: Callable[["Three", Site], None] = lambda *_: None,
) -> Iterator[Three]:
    """The sites by their kinds, in the order of their numbers; `section` is that of EVPN at one.
    Where there is any, a gobgpd of ours runs, unless somebody else speaks BGP for all of them.
    `prepare` makes more devices at a site before anything runs there."""
    chosen = tuple(Site(number + 1, kind) for number, kind in enumerate(kinds))
    lab = Lab(name, directory)
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        built = stack.enter_context(
            extended(lab, sites.three_sites(family, chosen, learning=learning))
        )
        stack.callback(segment.remove, built, chosen)
        three = Three(built, family, chosen, {}, {})
        for site in chosen:
            prepare(three, site)
        for site in chosen:
            if site.kind is not Kind.KERNEL:
                _start(three, SiteLab(built, site), section(site), stack, gobgp=gobgp)
        yield three


def _start(three: Three, place: SiteLab, section: str, stack: ExitStack, *, gobgp: bool) -> None:
    text = segment.configuration(place.site, section)
    place.prepare(text)
    if section and gobgp:
        daemon = BgpProcess(place)
        stack.callback(daemon.stop)
        daemon.start()
        three.daemons[place.site.number] = daemon
    if place.site.kind is Kind.WORKER:
        worker = WorkerProcess(place)
        stack.callback(worker.stop)
        worker.start()
        three.workers[place.site.number] = worker
    gateway = Gateway(place, text)
    stack.callback(gateway.process.stop)
    gateway.start()
    three.gateways[place.site.number] = gateway
