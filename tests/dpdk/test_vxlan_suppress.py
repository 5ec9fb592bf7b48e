# SPDX-License-Identifier: GPL-2.0-or-later
"""ARP and ND of access ports, answered from what EVPN has said about stations behind VTEPs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from tests.dpdk.harness import NOISE, Bench
from tests.dpdk.vxlan import (
    FAR,
    FARTHER,
    HERE,
    PEER,
    THERE,
    Segment,
    stretch,
    underlay,
    with_tunnels,
)
from tests.dpdk.wires import Cable

pytestmark = pytest.mark.dpdk

EVERYBODY = "ff:ff:ff:ff:ff:ff"
NOBODY_KNOWS = "10.9.0.99"
HERE6, FAR6, FARTHER6, THERE6 = "fd00::10", "fd00::40", "fd00::41", "fd00::11"
UNKNOWN6 = "fd00::99"


@dataclass
class Site:
    bench: Bench
    core: Cable
    access: Cable
    segment: Segment

    def knows(self, address: str, mac: str, *words: str) -> None:
        """As FRR's zebra, or the agent, writes what another VTEP advertises."""
        how = " ".join(("extern_learn", *words))
        bridge = self.segment.bridge
        self.bench.ip(f"neigh replace {address} lladdr {mac} dev {bridge} nud noarp {how}")

    def answer(self, question: Packet | bytes, counter: str) -> Packet:
        """What comes back by the same port. The kernel gets nothing that it could answer as well,
        whatever it says by itself."""
        counting = self.bench.counting("p0", noise=frozenset({"FROM_KERNEL"}))
        received = self.bench.send_and_expect(question, via=self.access.far, at=self.access.far)
        counting.expect(**{counter: 1})
        return received

    def unanswered(self, question: Packet | bytes, counter: str) -> None:
        """The kernel gets it as it came."""
        counting = self.bench.counting("p0", noise=NOISE - {counter})
        self.access.far.forget()
        received = self.bench.send_and_expect(question, via=self.access.far, at=self.access.kernel)
        assert bytes(received) == bytes(question)
        counting.expect_some(**{counter: 1})
        assert not {"ANSWERED_ARP", "ANSWERED_ND"} & counting.now().keys()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Bench.running("vs", with_tunnels()) as bench:
        core = underlay(bench)
        access = bench.port("p0")
        segment = Segment.made(bench, core, [access], family=6)
        segment.station(HERE, access)
        segment.station(FAR, PEER[6])
        segment.station(FARTHER, PEER[6])
        bench.run("bridge", "link", "set", "dev", segment.device, "neigh_suppress", "on")
        made = Site(bench, core, access, segment)
        for address, address6, mac in (
            (FAR.ip, FAR6, FAR.mac),
            (FARTHER.ip, FARTHER6, FARTHER.mac),
            # Its station has not been seen behind any VTEP.
            (THERE.ip, THERE6, THERE.mac),
        ):
            made.knows(address, mac)
            made.knows(address6, mac, *(["router"] if mac == FARTHER.mac else []))
        stretch(bench, segment)
        yield made


def request(target: str = FAR.ip, *, mac: str = HERE.mac, **fields: Any) -> Packet:
    """Broadcast, as long as Ethernet wants it."""
    own = {"op": 1, "psrc": HERE.ip, "hwsrc": mac, "hwdst": "00:00:00:00:00:00"} | fields
    frame = Ether(src=mac, dst=EVERYBODY) / ARP(pdst=target, **own)
    return Ether(bytes(frame) + bytes(18))


def solicited(target: str) -> tuple[str, str]:
    """The group that is asked for it: its address, and that of its frames."""
    tail = target[-2:]
    return f"ff02::1:ff00:{int(tail, 16):x}", f"33:33:ff:00:00:{tail}"


def solicitation(
    target: str = FAR6, *, source: str = HERE6, mac: str = HERE.mac, **fields: Any
) -> Packet:
    group, group_mac = solicited(target)
    head = Ether(src=mac, dst=group_mac) / IPv6(src=source, dst=group, hlim=255)
    message = ICMPv6ND_NS(tgt=target, **fields)
    if source == "::":
        return Ether(bytes(head / message))
    return Ether(bytes(head / message / ICMPv6NDOptSrcLLAddr(lladdr=mac)))


def advertisement(target: str, mac: str, *, router: int = 0) -> Packet:
    return (
        Ether(src=mac, dst=HERE.mac)
        / IPv6(src=target, dst=HERE6, hlim=255)
        / ICMPv6ND_NA(R=router, S=1, O=1, tgt=target)
        / ICMPv6NDOptDstLLAddr(lladdr=mac)
    )


def test_a_request(site: Site) -> None:
    received = site.answer(request(), "ANSWERED_ARP")
    wanted = Ether(src=FAR.mac, dst=HERE.mac) / ARP(
        op=2, hwsrc=FAR.mac, psrc=FAR.ip, hwdst=HERE.mac, pdst=HERE.ip
    )
    assert bytes(received) == bytes(wanted)


def test_a_probe_for_an_address_that_is_taken(site: Site) -> None:
    """RFC 5227: who asks has no address yet, and learns that it cannot have this one."""
    received = site.answer(request(psrc="0.0.0.0"), "ANSWERED_ARP")
    wanted = Ether(src=FAR.mac, dst=HERE.mac) / ARP(
        op=2, hwsrc=FAR.mac, psrc=FAR.ip, hwdst=HERE.mac, pdst="0.0.0.0"
    )
    assert bytes(received) == bytes(wanted)


@pytest.mark.parametrize(
    ("target", "mac", "router"), [(FAR6, FAR.mac, 0), (FARTHER6, FARTHER.mac, 1)]
)
def test_a_solicitation(site: Site, target: str, mac: str, router: int) -> None:
    """Who is a router says so (RFC 9161 section 3.1.1)."""
    received = site.answer(solicitation(target), "ANSWERED_ND")
    assert bytes(received) == bytes(advertisement(target, mac, router=router))


def test_a_solicitation_without_option(site: Site) -> None:
    """The answer goes to the frame's sender."""
    question = solicitation()
    del question[ICMPv6NDOptSrcLLAddr]
    del question[IPv6].plen, question[ICMPv6ND_NS].cksum
    question[ICMPv6ND_NS].remove_payload()
    received = site.answer(Ether(bytes(question)), "ANSWERED_ND")
    assert bytes(received) == bytes(advertisement(FAR6, FAR.mac))


def test_duplicate_address_detection(site: Site) -> None:
    """All nodes hear that the address is taken (RFC 4862 section 5.4.4)."""
    received = site.answer(solicitation(source="::"), "ANSWERED_ND")
    wanted = (
        Ether(src=FAR.mac, dst="33:33:00:00:00:01")
        / IPv6(src=FAR6, dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(R=0, S=0, O=1, tgt=FAR6)
        / ICMPv6NDOptDstLLAddr(lladdr=FAR.mac)
    )
    assert bytes(received) == bytes(wanted)


STRANGE, STRANGE6 = "02:00:00:00:09:77", "02:00:00:00:09:78"
"""Of stations that nobody has learned, until they ask: the kernel gets that."""

NO_ANSWER = {
    "nobody known": request(NOBODY_KNOWS),
    "known, but behind no VTEP": request(THERE.ip),
    "gratuitous": request(FAR.ip, psrc=FAR.ip),
    "an answer": request(op=2),
    "from a station that the kernel has not learned": request(mac=STRANGE),
    "for its own address": request(FAR.ip, hwsrc=FAR.mac),
    "of a group": request(hwsrc="01:00:5e:00:00:01"),
    "of another hardware": request(hwtype=6),
    "of another protocol": request(ptype=0x0801),
    "with long addresses": request(hwlen=8),
}

NO_ANSWER6 = {
    "nobody known": solicitation(UNKNOWN6),
    "known, but behind no VTEP": solicitation(THERE6),
    "from a station that the kernel has not learned": solicitation(mac=STRANGE6),
    "another code": solicitation(code=1),
    "a wrong checksum": solicitation(cksum=0x1234),
    "from farther than the link": Ether(bytes(solicitation()).replace(b"\x3a\xff", b"\x3a\xfe", 1)),
    "an option of no length": Ether(bytes(solicitation())[:-8] + b"\x01\x00" + bytes(6)),
    "an option that is not all there": Ether(bytes(solicitation())[:-8] + b"\x01\x02" + bytes(6)),
}


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_requests_that_are_not_answered(site: Site, kind: str) -> None:
    site.unanswered(NO_ANSWER[kind], "PUNT_ARP")


@pytest.mark.parametrize("kind", NO_ANSWER6)
def test_solicitations_that_are_not_answered(site: Site, kind: str) -> None:
    site.unanswered(NO_ANSWER6[kind], "PUNT_MULTICAST")


def test_cut_short(site: Site) -> None:
    """At each byte, from where Ethernet would add padding."""
    for whole, counter in ((request(), "PUNT_ARP"), (solicitation(), "PUNT_MULTICAST")):
        end = 42 if counter == "PUNT_ARP" else 86
        for length in range(15, end, 3):
            site.unanswered(Ether(bytes(whole)[:length]), counter)


def test_a_station_that_comes_home(site: Site) -> None:
    """As soon as the FDB has it at a port, it answers for itself."""
    site.answer(request(FARTHER.ip), "ANSWERED_ARP")
    site.segment.station(FARTHER, site.access)
    site.bench.settle()
    site.unanswered(request(FARTHER.ip), "PUNT_ARP")

    site.segment.station(FARTHER, PEER[6])
    site.bench.settle()
    site.answer(request(FARTHER.ip), "ANSWERED_ARP")


def test_a_binding_that_goes(site: Site) -> None:
    site.knows("10.9.0.50", FAR.mac)
    site.bench.settle()
    site.answer(request("10.9.0.50"), "ANSWERED_ARP")
    site.bench.ip(f"neigh del 10.9.0.50 dev {site.segment.bridge}")
    site.bench.settle()
    site.unanswered(request("10.9.0.50"), "PUNT_ARP")


def test_a_bridge_that_does_not_suppress(site: Site) -> None:
    def suppress(word: str) -> None:
        device = site.segment.device
        site.bench.run("bridge", "link", "set", "dev", device, "neigh_suppress", word)
        site.bench.settle()

    suppress("off")
    try:
        site.unanswered(request(), "PUNT_ARP")
        site.unanswered(solicitation(), "PUNT_MULTICAST")
    finally:
        suppress("on")
    site.answer(request(), "ANSWERED_ARP")
