# SPDX-License-Identifier: GPL-2.0-or-later
"""Our sites among others': what our data paths do with what they have heard, and who may end."""

import time
from contextlib import ExitStack
from itertools import islice

import pytest
from scapy.layers.l2 import Ether

from hybrid_gateway.lab.sites import ACCESS, BRIDGE, VNI
from hybrid_gateway.lab.sniff import PacketSocket
from tests.interop.peers import FRR, OTHER, OURS, PLAIN, Peers
from tests.lib.gateway import eventually
from tests.lib.packets import udp
from tests.lib.traffic import ARRIVES_SECONDS

SIZE = 3_000_000
NEWCOMER = "02:00:c6:12:33:{:02x}"


def neighbours(peers: Peers, number: int) -> str:
    """Of the segment's bridge at a site, in the words of `ip neigh`."""
    gateway = peers.three.site(number).gateway
    return peers.three.lab.run(gateway, ["ip", "neigh", "show", "dev", BRIDGE])


def bind(peers: Peers, number: int, verb: str = "replace") -> tuple[str, str]:
    """What the bridge of a site knows of its station's addresses; both of them."""
    site = peers.three.site(number)
    for address in (site.host.ip, site.host6):
        how = f"neigh {verb} {address} lladdr {site.host.mac} dev {BRIDGE}"
        how += " nud reachable" if verb == "replace" else ""
        peers.three.lab.run(site.gateway, ["ip", *how.split()])
    return site.host.ip, site.host6


def deliver(peers: Peers, here: int, there: int, count: int) -> None:
    """Frames that fill the link, from one station to another: each arrives as it was sent."""
    source, target = (peers.three.site(number).host for number in (here, there))
    payload = bytes(range(256)) * 5 + bytes(192)
    frame = bytes(
        Ether(src=source.mac, dst=target.mac) / udp(source.ip, target.ip, 4000, 53, payload=payload)
    )
    assert len(frame) == 1514
    with ExitStack() as stack:
        at = [
            PacketSocket(peers.three.lab.namespace(end.host), end.device)
            for end in (source, target)
        ]
        for end in at:
            stack.callback(end.close)
        for _ in range(count):
            at[0].send(frame)
        deadline = time.monotonic() + ARRIVES_SECONDS
        whole = (True for got in at[1].frames_until(deadline) if got.data == frame)
        assert sum(islice(whole, count)) == count


WAYS = [(here, there) for here in (OURS, OTHER) for there in (FRR, PLAIN)]


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_what_was_heard_is_not_the_kernels_to_forward(peers: Peers, here: int, there: int) -> None:
    peers.three.forwards(here, there)


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_copies(peers: Peers, here: int, there: int) -> None:
    """The plain kernels do not cut: their hosts send less, and are told to ask for less."""
    counts = peers.three.counting(here)
    peers.three.copies(here, there, SIZE)
    counts.expect_some(VXLAN_ENCAP=SIZE // 1500, VXLAN_DECAP=SIZE // 1500)


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_full_frames_are_cut_and_arrive_whole(peers: Peers, here: int, there: int) -> None:
    peers.three.met(here, there)
    counts = peers.three.counting(here)
    deliver(peers, here, there, 5)
    counts.expect_some(VXLAN_CUT=5)


def test_bindings_of_frr_answer_for_its_station(peers: Peers) -> None:
    addresses = bind(peers, FRR)
    for address in addresses:
        eventually(
            lambda address=address: any(  # type: ignore[misc]
                line.startswith(f"{address} ") and "extern_learn" in line
                for line in neighbours(peers, OURS).splitlines()
            ),
            f"{address} is bound here, too",
        )
    bind(peers, FRR, "del")
    eventually(
        lambda: not any(address in neighbours(peers, OURS) for address in addresses),
        "and no more",
    )


def test_bindings_of_ours_are_frrs(peers: Peers) -> None:
    addresses = bind(peers, OURS)

    def told() -> dict[str, str]:
        table = peers.frr.show(f"evpn arp-cache vni {VNI}")
        return {
            address: str(one.get("mac")) for address, one in table.items() if isinstance(one, dict)
        }

    wanted = dict.fromkeys(addresses, peers.three.mac(OURS))
    eventually(lambda: wanted.items() <= told().items(), "FRR has both")
    bind(peers, OURS, "del")
    eventually(lambda: not set(addresses) & set(told()), "and none any more")


def test_the_bgp_daemon_is_killed(peers: Peers) -> None:
    """What was heard stays in force, and what was missed is made up for.

    Neither FRR nor the plain site keeps routes of EVPN over a restart, so that they have lost us
    meanwhile.
    """
    three = peers.three
    mac, other = NEWCOMER.format(1), NEWCOMER.format(2)
    peers.speak(PLAIN, mac)
    eventually(lambda: mac in peers.told_by(OURS), "it is known")
    known = peers.told_by(OURS)
    peers.bgp.leave()
    peers.bgp.crash()
    eventually(lambda: not peers.frr.established(three.vtep(OURS)), "FRR has noticed")
    deliver(peers, OURS, FRR, 5)
    deliver(peers, OURS, PLAIN, 5)
    assert peers.told_by(OURS) == known
    gateway = three.site(PLAIN).gateway
    three.lab.run(gateway, ["bridge", "fdb", "del", mac, "dev", ACCESS, "master"])
    peers.speak(FRR, other)
    peers.bgp.keep()
    eventually(lambda: other in peers.told_by(OURS), "what came meanwhile is known", 40.0)
    eventually(lambda: mac not in three.fdb(OURS, mac), "what went is not", 40.0)
    peers.converge()


def test_the_agent_is_killed(peers: Peers) -> None:
    """Its daemon keeps the sessions, and all goes on."""
    three, agent = peers.three, peers.three.gateways[OURS]
    mac, other = NEWCOMER.format(3), NEWCOMER.format(4)
    peers.speak(PLAIN, mac)
    eventually(lambda: mac in peers.told_by(OURS), "it is known")
    agent.process.kill()
    try:
        assert three.pinged(OURS, FRR, 5) == 5
        assert three.pinged(PLAIN, OURS, 5) == 5
        gateway = three.site(PLAIN).gateway
        three.lab.run(gateway, ["bridge", "fdb", "del", mac, "dev", ACCESS, "master"])
        peers.speak(FRR, other)
    finally:
        agent.start()
    eventually(lambda: other in peers.told_by(OURS), "what came meanwhile is known", 40.0)
    eventually(lambda: mac not in three.fdb(OURS, mac), "what went is not", 40.0)
    assert three.pinged(OURS, FRR, 5) == 5
