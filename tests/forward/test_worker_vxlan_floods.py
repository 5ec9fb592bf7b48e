# SPDX-License-Identifier: GPL-2.0-or-later
"""What is for everybody, at sites whose bridges hear what the worker floods: once for each host,
and once for each gateway, whatever becomes of the agent and of the worker.

The first two sites are the worker's, the third is plain Linux. Each bridge has an address.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import permutations

import pytest
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from hybrid_gateway.lab import segment, sites
from hybrid_gateway.lab.sites import BRIDGE, VXLAN
from hybrid_gateway.model import heard_name
from tests.forward.floods import (
    BACK_SECONDS,
    COUNT,
    EVERYBODY,
    EVERYWHERE,
    GROUPS,
    NOBODY,
    PORT,
    WORKERS,
    Floods,
    answers,
    bridge_address,
    bridge_address6,
    everything_once,
    standing_floods,
)
from tests.lib.gateway import eventually
from tests.lib.programs import pinged


@pytest.fixture(autouse=True)
def watched() -> None:
    """The sites have a watch of their own, and nothing else stands here."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floods]:
    with standing_floods(f"f{os.getpid()}", tmp_path_factory.mktemp("floods")) as made:
        yield made


@pytest.fixture
def floods(built: Floods) -> Iterator[Floods]:
    """Both workers flood, and know all stations."""
    eventually(lambda: all(map(built.hears, WORKERS)), "the bridges have TAPs", BACK_SECONDS)
    eventually(lambda: all(map(built.floods, WORKERS)), "the workers flood", BACK_SECONDS)
    built.three.meet()
    built.all_is_said()
    with built.three.watched():
        yield built


# ---- once, everywhere -------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_broadcast_arrives_everywhere_once(floods: Floods, number: int) -> None:
    """At hosts of all sites, and, as a DHCP server would have it, at all gateways."""
    counts = {site: floods.counting(site) for site in WORKERS}
    floods.arrive_once(number, floods.frames(number, EVERYBODY, "255.255.255.255"))
    for site, counted in counts.items():
        counted.expect_some(VXLAN_HEARD=COUNT)
        if site == number:
            counted.expect_some(VXLAN_FLOOD=COUNT, VXLAN_COPY=COUNT)
        assert not [name for name in counted.now() if name.startswith("DROP_")]


@pytest.mark.parametrize("mac", list(GROUPS))
def test_so_does_multicast(floods: Floods, mac: str) -> None:
    """In bridges that do not look who listens; the gateways are in none of these groups."""
    counts = floods.counting(1)
    floods.arrive_once(1, floods.frames(1, mac, GROUPS[mac]), at_servers=False)
    counts.expect_some(VXLAN_HEARD=COUNT, VXLAN_FLOOD=COUNT)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_so_does_what_is_for_a_station_that_nobody_knows(floods: Floods, number: int) -> None:
    """The gateways are not it, and do not listen to what is for others."""
    counts = {site: floods.counting(site) for site in WORKERS}
    floods.arrive_once(number, floods.frames(number, NOBODY, "198.18.50.99"), at_servers=False)
    for site, counted in counts.items():
        counted.expect_some(VXLAN_FLOOD=COUNT)
        # Of the questions with which it ends, one to each gateway by each host.
        assert counted.now()["VXLAN_HEARD"] < COUNT, site


@pytest.mark.parametrize("number", [1, 3])
def test_in_a_bridge_that_looks_who_listens(floods: Floods, number: int) -> None:
    """As bridges do by default: what is for everybody is the worker's, groups are the kernel's."""
    floods.run(1, f"link set {BRIDGE} type bridge mcast_snooping 1")
    try:
        eventually(lambda: floods.floods(1), "the worker floods all the same")
        counts = floods.counting(1)
        everything_once(floods)
        counts.expect_some(VXLAN_HEARD=2 * COUNT)
        counts = floods.counting(1)
        mac, group = "01:00:5e:12:34:56", GROUPS["01:00:5e:12:34:56"]
        floods.arrive_once(number, floods.frames(number, mac, group), at_servers=False)
        assert counts.now()["VXLAN_HEARD"] < COUNT
    finally:
        floods.run(1, f"link set {BRIDGE} type bridge mcast_snooping 0")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_gateway_answers_and_once(floods: Floods, number: int) -> None:
    """ARP, for the address of each bridge, from the host of each site."""
    for asked in (1, 2, 3):
        floods.forget()
        floods.hosts[number].send(floods.question(number, asked))
        floods.all_is_said()
        told = answers(frame.data for frame in floods.hosts[number].frames())
        said = Counter((one.hwsrc, one.psrc) for one in told)
        # Those to the questions with which it ends have come as well.
        macs = {other: floods.links(other)[BRIDGE]["address"] for other in floods.servers}
        assert said == {
            (macs[other], bridge_address(other)): 2 if other == asked else 1 for other in macs
        }


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_neighbours_are_found_by_ipv6(floods: Floods, asked: int) -> None:
    """Whose questions are for a group that each address has of its own."""
    host = floods.three.site(1).host
    floods.three.lab.run(host.host, ["ip", "-6", "neigh", "flush", "dev", host.device])
    floods.forget()
    assert pinged(floods.three.lab, host.host, bridge_address6(asked), 1) == 1
    floods.all_is_said()
    frames = [Ether(one.data) for one in floods.hosts[1].frames()]
    told = [frame for frame in frames if IPv6 in frame and frame[IPv6].nh == 58]
    advertised = [frame for frame in told if bytes(frame[IPv6].payload)[0] == 136]
    assert [frame[IPv6].src for frame in advertised] == [bridge_address6(asked)]


@pytest.mark.parametrize("number", [1, 2])
def test_what_the_gateway_itself_says_reaches_all(floods: Floods, number: int) -> None:
    floods.forget()
    texts = [f"from the gateway {number} {n}".encode() for n in range(COUNT)]
    for text in texts:
        floods.servers[number].sendto(text, ("255.255.255.255", PORT))
    floods.all_is_said()
    for other, opened in floods.hosts.items():
        seen = [one.data[42:] for one in opened.frames() if one.data[42:] in texts]
        assert seen == texts, f"at the host of site {other}"
    for other in floods.servers:
        # Linux lets itself hear its own.
        assert floods.said(other) == texts, f"at the gateway of site {other}"


def test_who_floods_is_shown(floods: Floods) -> None:
    """A port that is not the worker's keeps all of it with the kernel, and is named."""
    gateway = floods.three.gateways[1]

    def shown() -> tuple[str, str | None]:
        (one,) = gateway.ctl_json("show", "vxlan", VXLAN)["segments"]
        assert one["forwards"] == "worker"
        return one["flooded_by"], one["flooded_reason"]

    assert shown() == ("worker", None)
    floods.run(1, "link add lan9 type veth peer name far9")
    floods.run(1, f"link set lan9 addrgenmode none master {BRIDGE} up")
    try:
        eventually(lambda: shown()[0] == "kernel", "the kernel floods")
        assert "lan9" in str(shown()[1])
        assert f"{VXLAN}: the kernel floods: {shown()[1]}" in gateway.ctl("show", "vxlan").stdout
        counts = floods.counting(1)
        everything_once(floods)
        assert not {"VXLAN_HEARD", "VXLAN_FLOOD"} & counts.now().keys()
    finally:
        floods.run(1, "link del lan9")
    eventually(lambda: shown() == ("worker", None), "the worker floods")


# ---- what comes and goes ----------------------------------------------------------------


def test_a_worker_that_died_and_came_back(floods: Floods) -> None:
    """The TAP waits for the next one."""
    taps = floods.taps(1)
    pid = floods.three.workers[1].crash()
    eventually(lambda: floods.three.workers[1].worker not in (None, pid), "there is another")
    eventually(lambda: floods.floods(1), "it floods", BACK_SECONDS)
    assert floods.taps(1) == taps
    everything_once(floods)


def test_without_an_agent_it_goes_on(floods: Floods) -> None:
    """The next one leaves the TAP alone, and removes what has no use."""
    taps = floods.taps(1)
    gateway = floods.three.gateways[1]
    gateway.process.kill()
    everything_once(floods)
    useless = heard_name(9999)
    floods.run(1, f"tuntap add {useless} mode tap")
    gateway.start()
    eventually(lambda: floods.taps(1) == taps, f"{useless} is gone")
    eventually(lambda: floods.floods(1), "it floods")
    everything_once(floods)


@pytest.mark.parametrize("broken", ["link del {}", "link set {} down"])
def test_a_tap_that_somebody_took_away_is_made_anew(floods: Floods, broken: str) -> None:
    (before,) = floods.taps(1).items()
    floods.run(1, broken.format(before[0]))
    eventually(lambda: floods.taps(1) not in ({}, dict([before])), "there is another")
    eventually(lambda: floods.floods(1), "it floods")
    everything_once(floods)


def test_so_is_one_without_its_program(floods: Floods) -> None:
    """It would keep what it hears to itself."""
    (before,) = floods.taps(1).items()
    floods.three.lab.run(
        floods.three.site(1).gateway, ["tc", "qdisc", "del", "dev", before[0], "clsact"]
    )
    eventually(lambda: floods.taps(1) not in ({}, dict([before])), "there is another")
    eventually(lambda: floods.floods(1), "it floods")
    everything_once(floods)


def test_with_the_segment_the_tap_goes(floods: Floods) -> None:
    """What the worker leaves to the kernel is heard by its bridge as ever, and flooded by it."""
    site, gateway = floods.three.site(1), floods.three.gateways[1]
    whole = segment.configuration(site)
    gateway.apply(whole[: whole.index("vxlan:")])
    assert floods.taps(1) == {}
    assert floods.segments(1) == ()
    everything_once(floods)
    gateway.apply(whole)
    assert floods.hears(1)
    eventually(lambda: floods.floods(1), "the worker floods")
    everything_once(floods)


def test_with_the_worker_the_tap_goes(floods: Floods) -> None:
    """And, if all is detached, both; then the bridge is the kernel's."""
    gateway, worker = floods.three.gateways[1], floods.three.workers[1]
    worker.leave()
    worker.crash()
    eventually(lambda: floods.taps(1) == {}, "the kernel has it all", BACK_SECONDS)
    everything_once(floods)
    worker.keep()
    eventually(lambda: worker.worker is not None, "there is another", BACK_SECONDS)
    eventually(lambda: floods.hears(1), "it is told of the TAP", BACK_SECONDS)
    gateway.ctl("detach", "--stay")
    assert floods.taps(1) == {}
    everything_once(floods)
    gateway.ctl("apply", "--force", "--config", str(gateway.config))
    eventually(lambda: floods.floods(1), "the worker floods", BACK_SECONDS)
    everything_once(floods)


# ---- two segments of one bridge ---------------------------------------------------------

SECOND = "vni551"


@contextmanager
def second_segment(floods: Floods) -> Iterator[None]:
    """The first site reaches the third one by a VNI of its own, in the same bridge."""
    first, third = floods.three.site(1), floods.three.site(3)
    family = floods.three.family
    text = segment.configuration(first)
    with ExitStack() as stack:
        for site, other in ((first, third), (third, first)):
            kind = sites.vxlan_kind(site.vtep(family), learning=True, vni=551)
            floods.run(site.number, f"link add {SECOND} {kind}")
            stack.callback(floods.run, site.number, f"link del {SECOND}")
            floods.run(site.number, f"link set {SECOND} addrgenmode none mtu 1500")
            floods.run(site.number, f"link set {SECOND} master {BRIDGE} up")
            floods.bridge(site, f"append {EVERYWHERE} dev {SECOND} dst {other.vtep(family)}")
        for here, there in permutations((1, 2, 3), 2):
            if 3 in (here, there):
                entry = f"{EVERYWHERE} dev {VXLAN} dst {floods.three.vtep(there)}"
                floods.bridge(floods.three.site(here), f"del {entry}")
                stack.callback(floods.bridge, floods.three.site(here), f"append {entry}")
        floods.three.gateways[1].apply(f"{text}  - {{device: {SECOND}, vni: 551}}\n")
        stack.callback(floods.three.gateways[1].apply, text)
        yield


def test_two_segments_in_one_bridge(floods: Floods) -> None:
    """Whoever floods what comes by one of them into the other, everybody gets it once."""
    with second_segment(floods):
        eventually(lambda: len(floods.segments(1)) == 2, "the worker has both")
        assert floods.hears(1)
        floods.three.meet()
        for number in (1, 2, 3):
            floods.arrive_once(number, floods.frames(number, EVERYBODY, "255.255.255.255"))
        floods.arrive_once(2, floods.frames(2, *next(iter(GROUPS.items()))), at_servers=False)
