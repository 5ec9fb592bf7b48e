# SPDX-License-Identifier: GPL-2.0-or-later
"""gobgpd is killed while frames cross the segment and stations come: no frame is lost, and what
was missed is made up for."""

from hybrid_gateway.lab.sites import ACCESS
from hybrid_gateway.lab.sniff import PacketSocket
from tests.interop.crossing import Crossing, crossing
from tests.interop.peers import FRR, OTHER, OURS, Peers
from tests.lib.gateway import eventually

STATIONS = 300
KILLED, BACK = 100, 200
"""Stations after which the daemon goes, and is started again."""
RESYNC_SECONDS = 60.0
EVERYWHERE = "02:00:00:00:00:99"


def _stations() -> list[str]:
    return [f"02:00:c6:77:{number >> 8:02x}:{number & 255:02x}" for number in range(STATIONS)]


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
    three, wanted = peers.three, set(_stations())
    host = three.site(FRR).host
    newcomers = PacketSocket(three.lab.namespace(host.host), host.device)
    try:
        with crossing(three, (OURS, FRR), (OURS, OTHER), (OTHER, OURS)) as ways:
            for number, mac in enumerate(_stations()):
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
        flush = ["ip", "link", "set", ACCESS, "type", "bridge_slave", "fdb_flush"]
        three.lab.run(three.site(FRR).gateway, flush)
    eventually(lambda: not wanted & peers.told_by(OURS).keys(), "none is left", RESYNC_SECONDS)
