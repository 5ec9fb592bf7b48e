# SPDX-License-Identifier: GPL-2.0-or-later
"""Three sites whose bridges have addresses, and all that arrives at them: at their hosts, and at a
UDP server of each gateway. The first two are the worker's, the third is plain Linux."""

import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from hybrid_gateway.errors import WorkerAbsentError
from hybrid_gateway.lab import sites
from hybrid_gateway.lab.namespaces import entered, ip_batch
from hybrid_gateway.lab.sites import BRIDGE, Family, Kind, Site
from hybrid_gateway.lab.sniff import PacketSocket
from hybrid_gateway.model import heard_name
from hybrid_gateway.worker_client import WorkerClient
from hybrid_gateway.worker_values import SegmentStatus
from tests.interop.three import Three, standing
from tests.lib.gateway import Counting
from tests.lib.traffic import ARRIVES_SECONDS

KINDS = (Kind.WORKER, Kind.WORKER, Kind.KERNEL)
WORKERS = (1, 2)
PORT = 6767
COUNT = 20
EVERYWHERE = "00:00:00:00:00:00"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
NOWHERE = "0.0.0.0"
NOBODY = "02:00:c6:12:32:63"
GROUPS = {"01:00:5e:00:00:fb": "224.0.0.251", "01:00:5e:12:34:56": "239.18.52.86"}
BACK_SECONDS = 20.0
"""A worker that starts takes its time on a busy machine."""


def bridge_address(number: int) -> str:
    return f"198.18.50.{number}"


def bridge_address6(number: int) -> str:
    return f"2001:db8:50::{number}"


@dataclass(frozen=True, slots=True)
class Floods:
    """The sites, and who listens at them."""

    three: Three
    hosts: dict[int, PacketSocket]
    askers: dict[int, PacketSocket]
    """There, too."""
    servers: dict[int, socket.socket]
    """UDP, at the gateways."""
    counter: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 16)))

    # ---- what is there ----------------------------------------------------------------

    def links(self, number: int) -> dict[str, dict[str, Any]]:
        """At the gateway, by name."""
        listed = self.three.lab.run(self.three.site(number).gateway, ["ip", "-j", "link"])
        return {str(link["ifname"]): link for link in json.loads(listed)}

    def taps(self, number: int) -> dict[str, int]:
        """Those by which bridges hear, with their ifindex."""
        links = self.links(number).items()
        return {name: link["ifindex"] for name, link in links if name.startswith("gwh")}

    def hears(self, number: int) -> bool:
        links = self.links(number)
        taps = [name for name in links if name.startswith("gwh")]
        return taps == [heard_name(links[BRIDGE]["ifindex"])]

    def segments(self, number: int) -> tuple[SegmentStatus, ...]:
        """As the worker has them, if there is one, and it has been told."""
        with WorkerClient(self.three.gateways[number].instance.worker_socket) as client:
            try:
                started = client.status().started
                if started:
                    client.wait_for_mirror()
                return client.status().segments if started else ()
            except WorkerAbsentError:
                return ()

    def floods(self, number: int) -> bool:
        """Whether the worker floods all that is for everybody at that site."""
        found = self.segments(number)
        return bool(found) and all(one.floods_here for one in found)

    def run(self, number: int, line: str) -> None:
        """`ip` at the gateway."""
        self.three.lab.run(self.three.site(number).gateway, ["ip", *line.split()])

    def bridge(self, site: Site, line: str) -> None:
        argv = ["bridge", "fdb", *line.split(), "self", "permanent"]
        self.three.lab.run(site.gateway, argv)

    # ---- what is sent -----------------------------------------------------------------

    def frames(self, number: int, mac: str, address: str) -> list[bytes]:
        """Of the station there, each another one; so are those of all tests."""
        host = self.three.site(number).host
        return [
            bytes(
                Ether(src=host.mac, dst=mac)
                / IP(src=host.ip, dst=address, id=0x1234)
                / UDP(sport=68, dport=PORT)
                / Raw(f"for all {number} {next(self.counter)}".encode())
            )
            for _ in range(COUNT)
        ]

    def send(self, number: int, frames: list[bytes]) -> None:
        for frame in frames:
            self.hosts[number].send(frame)

    def forget(self) -> None:
        for opened in self.hosts.values():
            opened.discard()
        for number in self.servers:
            self.said(number)

    def said(self, number: int) -> list[bytes]:
        """What the server of that gateway has got."""
        found = []
        try:
            while True:
                found.append(self.servers[number].recv(2048))
        except BlockingIOError:
            return found

    def question(self, number: int, asked: int) -> bytes:
        """By ARP, who has the address of a bridge, in a way that no kernel asks (RFC 5227)."""
        mac = self.three.mac(number)
        arp = ARP(op=1, hwsrc=mac, psrc=NOWHERE, pdst=bridge_address(asked))
        return bytes(Ether(src=mac, dst=EVERYBODY) / arp)

    def all_is_said(self) -> None:
        """Whatever was sent before has come to where it was going, and what the kernels made of it.

        Each host has asked each bridge for its MAC address, by broadcast and behind all that, and
        got an answer of the kernel there, which hears things in their order, too.
        """
        for number, asker in self.askers.items():
            asker.discard()
            for asked in self.servers:
                asker.send(self.question(number, asked))
        for number, asker in self.askers.items():
            missing = {bridge_address(asked) for asked in self.servers}
            for frame in asker.frames_until(time.monotonic() + ARRIVES_SECONDS):
                missing -= {answer.psrc for answer in answers([frame.data])}
                if not missing:
                    break
            assert not missing, f"the host of site {number} got no answer of {missing}"

    def arrive_once(self, number: int, frames: list[bytes], *, at_servers: bool = True) -> None:
        """Those of that site's station, at all others, and at all gateways or at none; nothing
        comes back."""
        self.forget()
        self.send(number, frames)
        self.all_is_said()
        texts = [frame[42:] for frame in frames]
        for other, opened in self.hosts.items():
            seen = [one.data for one in opened.frames() if one.data[42:] in texts]
            assert seen == ([] if other == number else frames), f"at the host of site {other}"
        for other in self.servers:
            said = self.said(other)
            assert said == (texts if at_servers else []), f"at the gateway of site {other}"

    def counting(self, number: int) -> Counting:
        return self.three.counting(number)


@contextmanager
def standing_floods(name: str, directory: Path) -> Iterator[Floods]:
    """They know each other by lists, and learn."""
    with ExitStack() as stack:
        three = stack.enter_context(standing(name, directory, KINDS, Family.IPV6, learning=True))
        floods = Floods(three, {}, {}, {})
        for site in three.sites:
            peers = [peer.vtep(three.family) for peer in sites.peers_of(site, three.sites)]
            sites.flood_to(three.lab, site, *peers)
            namespace = three.lab.namespace(site.gateway)
            ip_batch(
                namespace,
                [
                    f"addr add {bridge_address(site.number)}/24 dev {BRIDGE}",
                    f"addr add {bridge_address6(site.number)}/64 dev {BRIDGE} nodad",
                ],
            )
            for opened in (floods.hosts, floods.askers):
                host = PacketSocket(three.lab.namespace(site.host.host), site.host.device)
                stack.callback(host.close)
                opened[site.number] = host
            floods.servers[site.number] = stack.enter_context(server(namespace))
        three.meet()
        yield floods


def server(namespace: str) -> socket.socket:
    with entered(namespace):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, BRIDGE.encode())
    opened.bind(("", PORT))
    opened.setblocking(False)
    return opened


def answers(frames: Iterable[bytes]) -> list[ARP]:
    """To `Floods.question`."""
    found = [frame[ARP] for frame in map(Ether, frames) if ARP in frame]
    return [arp for arp in found if arp.op == 2 and arp.pdst == NOWHERE]


def everything_once(floods: Floods) -> None:
    """From the station beside the first gateway, and to it."""
    floods.three.meet()
    for number in (1, 3):
        floods.arrive_once(number, floods.frames(number, EVERYBODY, "255.255.255.255"))
