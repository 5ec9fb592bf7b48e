# SPDX-License-Identifier: GPL-2.0-or-later
"""Many stations at once. gobgpd is killed while frames cross the segment and stations come: no
frame is lost, and what was missed is made up for."""

from hybrid_gateway.lab.sites import ACCESS
from hybrid_gateway.lab.sniff import PacketSocket
from tests.interop.crossing import Crossing, crossing
from tests.interop.peers import ALL, FRR, OTHER, OURS, PLAIN, Peers
from tests.lib.gateway import eventually

STATIONS, MANY = 300, 520
"""Of the second, a daemon of ours tells the others in one word that they are gone."""
KILLED, BACK = 100, 200
"""Stations after which the daemon goes, and is started again."""
RESYNC_SECONDS = 60.0
EVERYWHERE = "02:00:00:00:00:99"


def _stations(count: int) -> list[str]:
    return [f"02:00:c6:77:{number >> 8:02x}:{number & 255:02x}" for number in range(count)]


def _frame(mac: str) -> bytes:
    octets = [bytes.fromhex(one.replace(":", "")) for one in (EVERYWHERE, mac)]
    return b"".join(octets) + b"\x88\xb5" + bytes(46)


def _cross(ways: list[Crossing]) -> None:
    for way in ways:
        way.burst()
    for way in ways:
        way.arrived()


def test_frames_go_on_while_the_daemon_is_dead(peers: Peers) -> None:
    """To FRR's station, which itself forgets us meanwhile, and to and from the other site of ours,
    which does not: it keeps the routes of whom restarts (RFC 4724)."""
    three, wanted = peers.three, set(_stations(STATIONS))
    host = three.site(FRR).host
    newcomers = PacketSocket(three.lab.namespace(host.host), host.device)
    try:
        with crossing(three, (OURS, FRR), (OURS, OTHER), (OTHER, OURS)) as ways:
            for number, mac in enumerate(_stations(STATIONS)):
                if number == KILLED:
                    peers.bgp.leave()
                    peers.bgp.crash()
                elif number == BACK:
                    peers.bgp.keep()
                newcomers.send(_frame(mac))
                _cross(ways)
            eventually(
                lambda: wanted <= peers.told_by(OURS).keys(), "all are known", RESYNC_SECONDS
            )
            _cross(ways)
        assert peers.ask(OURS, "show.evpn")["summary"]["error"] is None
    finally:
        newcomers.close()
        _forget(peers, FRR)
    _none_left(peers, wanted, FRR)


def _forget(peers: Peers, number: int) -> None:
    """All stations of a site's access port."""
    flush = ["ip", "link", "set", ACCESS, "type", "bridge_slave", "fdb_flush"]
    peers.three.lab.run(peers.three.site(number).gateway, flush)


def _none_left(peers: Peers, stations: set[str], number: int) -> None:
    """Of those of a site, at the others."""
    others = set(ALL) - {number}
    eventually(
        lambda: not any(stations & peers.told_by(other).keys() for other in others),
        "all others have forgotten them",
        RESYNC_SECONDS,
    )


def test_many_stations_go_at_once(peers: Peers) -> None:
    """The port that they are behind goes down. Who is no gateway like this one is told of each of
    them, and no session minds."""
    three, stations = peers.three, _stations(MANY)
    site = three.site(OURS)
    speaker = PacketSocket(three.lab.namespace(site.host.host), site.host.device)
    try:

        def known() -> bool:
            # So many at once may not all have been heard.
            told = [peers.told_by(other).keys() for other in (FRR, PLAIN, OTHER)]
            missing = set(stations) - told[0]
            for mac in missing:
                speaker.send(_frame(mac))
            return all(set(stations) <= one for one in told)

        eventually(known, "all others know them", RESYNC_SECONDS)
        flaps = [one["flaps"] for one in peers.ask(OTHER, "show.evpn")["neighbors"]]
        three.lab.run(site.gateway, ["ip", "link", "set", ACCESS, "down"])
        _none_left(peers, set(stations), OURS)
        assert peers.frr.established(three.vtep(OURS))
        assert [one["flaps"] for one in peers.ask(OTHER, "show.evpn")["neighbors"]] == flaps
    finally:
        speaker.close()
        three.lab.run(site.gateway, ["ip", "link", "set", ACCESS, "up"])
