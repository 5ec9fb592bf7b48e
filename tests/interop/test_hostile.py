# SPDX-License-Identifier: GPL-2.0-or-later
"""A neighbour that sends nonsense, too much, or what is somebody else's: named, counted, and of no
consequence for the others."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hybrid_gateway.lab.sites import ASN, BACKBONE, BRIDGE, VNI, Family
from tests.interop import routes
from tests.interop.peers import FRR, OURS, PLAIN, Peers
from tests.interop.routes import Path, flood_route, mac_route, update, withdrawal
from tests.interop.speaker import Speaker, speaking
from tests.lib.gateway import eventually

ROUTER_ID, ROUTES_MAX = "192.0.2.254", 300
STATION, OTHER = "02:00:c6:12:34:01", "02:00:c6:12:34:02"
GROUP, NOBODY = "01:00:5e:00:00:01", "00:00:00:00:00:00"
BACK_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Stranger:
    """The neighbour, on the backbone."""

    peers: Peers
    speaker: Speaker
    address: str

    @property
    def path(self) -> Path:
        """To stations behind itself."""
        return Path(self.address, ASN, VNI)

    @property
    def rd(self) -> bytes:
        return routes.distinguisher(ROUTER_ID, VNI)

    def ask(self, what: str, **params: Any) -> Any:
        """Our agent."""
        return self.peers.three.gateways[OURS].call(what, **params)

    def refused(self) -> dict[str, int]:
        """How many of its routes, by reason."""
        found = self.ask("show.evpn")["refused"]
        return {one["reason"]: one["count"] for one in found if one["peer"] == self.address}

    def neighbor(self) -> dict[str, Any]:
        found = self.ask("show.evpn")["neighbors"]
        return next(one for one in found if one["address"] == self.address)

    def established(self) -> bool:
        return bool(self.neighbor()["state"] == "established")

    def station(self, mac: str) -> dict[str, Any]:
        """As our site has it; empty if it has not."""
        found = self.ask("show.evpn.macs", cursor=0, limit=1000)["macs"]
        return next((one for one in found if one["mac"] == mac), {})


@pytest.fixture(scope="module")
def session(standing_peers: Peers) -> Iterator[Speaker]:
    """Of all tests here: it takes gobgpd some seconds to talk again to whom it has left."""
    three, address = standing_peers.three, address_of(standing_peers)
    gateway, prefix = three.gateways[OURS], three.lab.argv(BACKBONE, [])
    usual = gateway.config.read_text()
    gateway.apply(f'{usual}    - {{address: "{address}", routes-max: {ROUTES_MAX}}}\n')
    with speaking(prefix, ASN, ROUTER_ID, address, three.vtep(OURS)) as speaker:
        yield speaker
    gateway.apply(usual)
    standing_peers.converge()


def address_of(peers: Peers) -> str:
    """The router's, which is our site's neighbour on the link."""
    site = peers.three.site(OURS)
    return site.router6 if peers.three.family is Family.IPV6 else site.router.ip


@pytest.fixture
def stranger(peers: Peers, session: Speaker) -> Iterator[Stranger]:
    """Its session stands. The others know of each other before, and afterwards."""
    three = peers.three
    found = Stranger(peers, session, address_of(peers))
    eventually(found.established, "its session stands", BACK_SECONDS)
    yield found
    peers.converge()
    assert three.pinged(OURS, FRR) == 3
    assert three.pinged(PLAIN, OURS) == 3


def test_what_makes_sense_is_taken(stranger: Stranger) -> None:
    """Else the others of these tests would show nothing."""
    peers, address = stranger.peers, stranger.address
    tunnel = routes.tunnel(VNI, address)
    stranger.speaker.send(update(stranger.path, [mac_route(stranger.rd, STATION, VNI)]))
    stranger.speaker.send(
        update(replace(stranger.path, tunnel=tunnel), [flood_route(stranger.rd, address)])
    )
    eventually(lambda: peers.told_by(OURS).get(STATION) == address, "the station is known")
    eventually(lambda: address in peers.three.floods(OURS), "and so is the VTEP")
    stranger.speaker.send(withdrawal([mac_route(stranger.rd, STATION, VNI)]))
    stranger.speaker.send(withdrawal([flood_route(stranger.rd, address)]))
    eventually(lambda: STATION not in peers.told_by(OURS), "the station is gone")
    assert not stranger.refused()


def bridge_mac(peers: Peers) -> str:
    said = peers.three.lab.run(
        peers.three.site(OURS).gateway, ["ip", "-j", "link", "show", "dev", BRIDGE]
    )
    return str(json.loads(said)[0]["address"])


@pytest.mark.parametrize("case", ["group", "nobody", "our VTEP", "VNI 0", "our bridge"])
def test_nonsense_is_refused(stranger: Stranger, case: str) -> None:
    peers, mac, vni, path = stranger.peers, STATION, VNI, stranger.path
    if case == "our VTEP":
        path = replace(path, next_hop=peers.three.vtep(OURS))
    elif case == "VNI 0":
        vni = 0
    else:
        mac = {"group": GROUP, "nobody": NOBODY, "our bridge": bridge_mac(peers)}[case]
    before, known = stranger.refused(), peers.told_by(OURS)
    stranger.speaker.send(update(path, [mac_route(stranger.rd, mac, vni)]))

    def counted() -> int:
        return sum(stranger.refused().values()) - sum(before.values())

    eventually(lambda: counted() == 1, f"it is refused: {case}")
    assert peers.told_by(OURS) == known
    assert stranger.established()


def test_another_vni_is_none_of_ours(stranger: Stranger) -> None:
    """Its route target says so."""
    other = replace(stranger.path, vni=VNI + 1)
    stranger.speaker.send(update(other, [mac_route(stranger.rd, OTHER, VNI + 1)]))
    stranger.speaker.send(update(stranger.path, [mac_route(stranger.rd, STATION, VNI)]))
    eventually(lambda: STATION in stranger.peers.told_by(OURS), "what came after it is known")
    assert OTHER not in stranger.peers.told_by(OURS)
    assert not stranger.station(OTHER)
    stranger.speaker.send(withdrawal([mac_route(stranger.rd, STATION, VNI)]))


def test_a_station_at_two_places_is_a_duplicate(stranger: Stranger) -> None:
    """Five moves in 180 seconds (RFC 7432 section 15.1): it is frozen until it is cleared."""
    peers, sequence = stranger.peers, 0

    def here() -> bool:
        peers.speak(OURS, OTHER)
        return stranger.station(OTHER).get("state") in ("local", "duplicate")

    while stranger.station(OTHER).get("state") != "duplicate" and sequence < 40:
        eventually(here, "it is here")
        sequence = int(stranger.station(OTHER)["sequence"]) + 1
        claimed = replace(stranger.path, sequence=sequence)
        stranger.speaker.send(update(claimed, [mac_route(stranger.rd, OTHER, VNI)]))
        eventually(
            lambda: stranger.station(OTHER).get("state") != "local", "it is claimed elsewhere"
        )
    frozen = stranger.station(OTHER)
    assert frozen["state"] == "duplicate"
    assert frozen["release_in"]
    told = stranger.ask("show.evpn")["vnis"][0]["duplicates"]
    assert told == 1
    stranger.speaker.send(withdrawal([mac_route(stranger.rd, OTHER, VNI)]))
    peers.three.gateways[OURS].ctl("clear", "evpn", "duplicates")
    eventually(lambda: stranger.station(OTHER).get("state") != "duplicate", "it is free again")


def test_a_route_that_is_too_short(stranger: Stranger) -> None:
    """gobgpd 3.10 dies of it, and comes back; forwarding does not mind."""
    peers, three = stranger.peers, stranger.peers.three
    known = peers.told_by(OURS)
    stranger.speaker.send(update(stranger.path, [bytes([2, 20]) + bytes(20)]))
    stranger.speaker.until("ended")
    assert peers.told_by(OURS) == known
    eventually(
        lambda: stranger.ask("show.evpn")["summary"]["established"] >= 2,
        "the others are back",
        BACK_SECONDS,
    )
    peers.converge()
    assert three.pinged(FRR, OURS) == 3


def test_too_many_routes(stranger: Stranger) -> None:
    """That neighbour is shut down, with the reason, and nothing of it stays."""
    peers = stranger.peers
    macs = [
        f"02:00:c6:99:{number >> 8:02x}:{number & 255:02x}" for number in range(10 * ROUTES_MAX)
    ]
    many = [mac_route(stranger.rd, mac, VNI) for mac in macs]
    stranger.speaker.send(update(stranger.path, many))
    stranger.speaker.until("ended")
    eventually(lambda: bool(stranger.neighbor()["reason"]), "the reason is told")
    eventually(lambda: not stranger.established(), "it is shut down")
    eventually(lambda: not set(macs) & set(peers.told_by(OURS)), "nothing of it stays")
    assert peers.agreed()
