# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 6888 REQ-12 with the real agent: what nfdump's collector and a syslog daemon get to know."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _gw_native import lib
from scapy.layers.inet import UDP

from hybrid_gateway.lab import ROUTER, GatewayProcess
from hybrid_gateway.natlog.journal import OVERRIDE
from tests.lib.gateway import Gateway, eventually, nat44
from tests.lib.nfcapd import PORT, Nfcapd, nfcapd
from tests.lib.packets import (
    LAN,
    PAYLOAD,
    SERVER,
    WAN,
    echo,
    from_lan,
    from_wan,
    tcp,
    udp,
)
from tests.lib.traffic import Wires

COLLECTOR = f"ipfix: '{ROUTER.ip}:{PORT}'"
BYTES = 28 + len(PAYLOAD)
"""Of an IPv4 packet of `udp`."""
RING = lib.GW_LOG_BYTES // (8 + 72)
"""Events that the ring holds, with the kernel's header."""
ROOM = ("sessions: 65536", "per-host: {sessions: 65536, ports: 4096}")
DPORT = 14 + 20 + 2
CHECKSUM = 14 + 20 + 6


@pytest.fixture
def collector(gateway: Gateway, tmp_path: Path) -> Iterator[Nfcapd]:
    with nfcapd(gateway.lab, "wan", ROUTER.ip, tmp_path / "nfcapd") as running:
        yield running


@pytest.fixture(scope="module")
def daemon(
    running_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[socket.socket]:
    """A syslog daemon of this file's own, and an agent that was started with it."""
    path = tmp_path_factory.mktemp("syslog") / "log"
    gateway, before = running_gateway, running_gateway.process
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(path))
        before.stop()
        gateway.process = GatewayProcess(gateway.lab, gateway.config, env={OVERRIDE: str(path)})
        try:
            gateway.start()
            yield opened
        finally:
            gateway.process.stop()
            gateway.process = before
            gateway.start()


@pytest.fixture
def syslog(daemon: socket.socket, gateway: Gateway) -> socket.socket:  # noqa: ARG001 - order
    """Nothing waits in it."""
    daemon.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while daemon.recv(2000):
            pass
    daemon.settimeout(2)
    return daemon


def logging(gateway: Gateway, *options: str, more: tuple[str, ...] = ()) -> None:
    gateway.apply(nat44(*more, "log: {" + ", ".join(options) + "}"))


def shown(gateway: Gateway) -> dict[str, int]:
    """The counts of `show log`, in one level."""
    answer = gateway.call("show.log")
    flat: dict[str, int] = {k: value for k, value in answer.items() if isinstance(value, int)}
    flat |= answer["lines"]
    return flat | {f"export_{name}": count for name, count in answer["export"].items()}


class Moved:
    """How these counts have moved since this object was made."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._before = shown(gateway)

    def restarted(self) -> None:
        """The agent counts from its start; what the ring lost, the data path counts."""
        self._before |= dict.fromkeys(self._before.keys() - {"ring_lost"}, 0)

    def __getitem__(self, name: str) -> int:
        return shown(self._gateway)[name] - self._before[name]

    def until(self, name: str, count: int) -> None:
        eventually(lambda: self[name] >= count, f"{name} is {count}", seconds=5)
        assert self[name] == count


@pytest.fixture
def moved(gateway: Gateway) -> Moved:
    return Moved(gateway)


def records_of(moved: Moved, collector: Nfcapd, count: int) -> list[dict[str, Any]]:
    """Everything that it got, once the agent has sent so many."""
    moved.until("export_records", count)
    eventually(lambda: collector.waiting == 0, "the collector has read all")
    records = collector.stop()
    assert "Sequence Errors: 0, Bad Packets: 0" in collector.said
    assert len(records) == count
    return records


def one_session(wires: Wires, port: int = 4000) -> int:
    """A datagram out and its answer; returns the outside port."""
    leaving = from_lan(udp(LAN.ip, SERVER, port, 53))
    outside = int(wires.send_and_expect(leaving, at="lan", to="wan")[UDP].sport)
    answer = from_wan(udp(SERVER, WAN.ip, 53, outside))
    wires.send_and_expect(answer, at="wan", to="lan")
    return outside


def many_sessions(wires: Wires, count: int) -> None:
    """One endpoint, as many destination ports."""
    frame = bytearray(bytes(from_lan(udp(LAN.ip, SERVER, 4000, 53))))
    frame[CHECKSUM : CHECKSUM + 2] = bytes(2)  # none
    for port in range(1024, 1024 + count):
        frame[DPORT : DPORT + 2] = port.to_bytes(2, "big")
        wires.send(bytes(frame), at="lan")


# ---- the collector ------------------------------------------------------------------------


def test_the_collector_gets_open_and_close(
    wires: Wires, gateway: Gateway, moved: Moved, collector: Nfcapd
) -> None:
    """Who was it, from when to when: and without destinations nothing more than that."""
    logging(gateway, COLLECTOR)
    before = time.time()
    outside = one_session(wires)
    gateway.call("clear.sessions")

    opened, closed = records_of(moved, collector, 2)
    for record, number, name in (
        (opened, "4", "NAT44 session create"),
        (closed, "5", "NAT44 session delete"),
    ):
        assert (record["nat_event_id"], record["nat_event"]) == (number, name)
        assert (record["src4_addr"], record["src_port"], record["proto"]) == (LAN.ip, 4000, 17)
        assert (record["src4_xlt_ip"], record["src_xlt_port"]) == (WAN.ip, str(outside))
        assert (record["dst4_addr"], record["dst_port"]) == ("0.0.0.0", 0)
        assert record["ip4_router"] == WAN.ip
        seen = time.mktime(time.strptime(record["t_event"].split(".")[0], "%Y-%m-%dT%H:%M:%S"))
        assert int(before) - 1 <= seen <= time.time()
    assert (opened["in_packets"], opened["in_bytes"]) == (0, 0)
    assert (closed["in_packets"], closed["in_bytes"]) == (1, BYTES)
    assert (closed["out_packets"], closed["out_bytes"]) == (1, BYTES)


def test_destinations_when_asked_for(
    wires: Wires, gateway: Gateway, moved: Moved, collector: Nfcapd
) -> None:
    logging(gateway, "destinations: true", COLLECTOR)
    one_session(wires)
    gateway.call("clear.sessions")
    for record in records_of(moved, collector, 2):
        assert (record["dst4_addr"], record["dst_port"]) == (SERVER, 53)


def test_mappings_and_every_protocol(
    wires: Wires, gateway: Gateway, moved: Moved, collector: Nfcapd
) -> None:
    """A second session of the endpoint has the mapping of the first."""
    logging(gateway, "mappings: true", COLLECTOR)
    for frame in (
        udp(LAN.ip, SERVER, 4000, 53),
        udp(LAN.ip, SERVER, 4000, 54),
        tcp(LAN.ip, SERVER, 4000, 80),
        echo(LAN.ip, SERVER, 77),
    ):
        wires.send_and_expect(from_lan(frame), at="lan", to="wan")
    gateway.call("clear.sessions")

    records = records_of(moved, collector, 14)
    found = sorted((r["nat_event_id"], r["proto"], r.get("src_port", 0)) for r in records)
    endpoints = [(1, 0), (6, 4000), (17, 4000)]  # nfdump shows no identifiers
    sessions = [*endpoints, (17, 4000)]
    wanted = [(event, *each) for event in "45" for each in sessions]
    wanted += [(event, *each) for event in "89" for each in endpoints]
    assert found == sorted(wanted)


def test_a_session_from_outside(
    wires: Wires, gateway: Gateway, moved: Moved, collector: Nfcapd
) -> None:
    forward = f'static: [{{protocol: udp, outside: ":5353", inside: "{LAN.ip}:7"}}]'
    logging(gateway, "destinations: true", COLLECTOR, more=(forward,))
    wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 9999, 5353)), at="wan", to="lan")
    (record,) = records_of(moved, collector, 1)
    assert (record["src4_addr"], record["src_port"]) == (LAN.ip, 7)
    assert (record["src4_xlt_ip"], record["src_xlt_port"]) == (WAN.ip, "5353")
    assert (record["dst4_addr"], record["dst_port"]) == (SERVER, 9999)


def test_a_collector_that_comes_late(
    wires: Wires, gateway: Gateway, moved: Moved, tmp_path: Path
) -> None:
    """Nobody listens: counted, and nothing waits for it. The one that comes gets templates."""
    logging(gateway, COLLECTOR)
    for port in (4000, 4001, 4002):
        one_session(wires, port)
        moved.until("export_records", port - 3999)
    assert moved["export_errors"] >= 1

    with nfcapd(gateway.lab, "wan", ROUTER.ip, tmp_path / "late") as collector:
        one_session(wires, 4003)
        moved.until("export_records", 4)
        eventually(lambda: collector.waiting == 0, "it has read")
        assert [record["src_port"] for record in collector.stop()] == [4003]


def test_no_route_to_the_collector(wires: Wires, gateway: Gateway, moved: Moved) -> None:
    gateway.lab.run("gw", ["ip", "route", "add", "unreachable", "192.0.2.7/32"])
    try:
        logging(gateway, f"ipfix: '192.0.2.7:{PORT}'")
        one_session(wires)
        moved.until("export_lost", 1)
    finally:
        gateway.lab.run("gw", ["ip", "route", "del", "unreachable", "192.0.2.7/32"])
    # The socket is tried again a second after it failed.
    ports = iter(range(4001, 5000))

    def found_again() -> bool:
        one_session(wires, next(ports))
        return moved["export_records"] > 0

    eventually(found_again, "there is a way again", seconds=5)


# ---- syslog -------------------------------------------------------------------------------


def test_lines(wires: Wires, gateway: Gateway, syslog: socket.socket) -> None:
    logging(gateway, "sessions: true", "mappings: true")
    outside = one_session(wires)
    gateway.call("clear.sessions")
    who = f"udp inside={LAN.ip}:4000 outside={WAN.ip}:{outside}"
    stamp = r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    head = rf"<30>\w{{3}} [ \d]\d \d\d:\d\d:\d\d gw-nat\[{gateway.process.pid}\]: nat44"
    for rest in (
        f"map {who}",
        f"open {who}",
        f"close {who} out=1/{BYTES} in=1/{BYTES}",
        f"unmap {who}",
    ):
        line = syslog.recv(2000).decode()
        assert re.fullmatch(f"{head} {re.escape(rest)} {stamp}", line), line
    answer = gateway.call("show.log")
    assert answer["lines"] == {"written": 4, "lost": 0, "limited": 0}
    assert answer["collector"] is None


def test_lines_with_destinations(wires: Wires, gateway: Gateway, syslog: socket.socket) -> None:
    logging(gateway, "sessions: true", "destinations: true")
    one_session(wires)
    assert f" remote={SERVER}:53 time=" in syslog.recv(2000).decode()


def test_the_collector_alone_writes_no_lines(
    wires: Wires, gateway: Gateway, syslog: socket.socket, moved: Moved
) -> None:
    logging(gateway, COLLECTOR)
    one_session(wires)
    moved.until("export_records", 1)
    syslog.setblocking(False)
    with pytest.raises(BlockingIOError):
        syslog.recv(2000)


# ---- rate and loss ------------------------------------------------------------------------


@pytest.mark.usefixtures("collector")
def test_what_the_ring_has_no_room_for_is_counted(
    wires: Wires, gateway: Gateway, moved: Moved
) -> None:
    """The agent stands still; every session opens all the same, and none is missing in the sum."""
    logging(gateway, COLLECTOR, more=ROOM)
    counts = gateway.counting()
    with gateway.frozen():
        many_sessions(wires, RING + 1000)
    counts.expect_some(NAT_NEW_SESSION=RING + 1000, FORWARD=RING + 1000)
    moved.until("export_records", RING)
    assert (moved["events"], moved["ring_lost"]) == (RING, 1000)
    assert "lost before they were read" in gateway.ctl("show", "log").stdout


@pytest.mark.usefixtures("collector")
def test_the_agent_keeps_up_with_itself(wires: Wires, gateway: Gateway, moved: Moved) -> None:
    """More sessions cleared at once than the ring has room for."""
    logging(gateway, COLLECTOR, more=ROOM)
    for _ in range(2):
        many_sessions(wires, 15000)
    assert gateway.call("clear.sessions") == {"cleared": 15000}
    moved.until("export_records", 30000)
    assert moved["ring_lost"] == 0


def test_lines_are_limited(
    wires: Wires, gateway: Gateway, syslog: socket.socket, moved: Moved
) -> None:
    """The daemon here does not even read: neither forwarding nor the API waits."""
    logging(gateway, "sessions: true", more=ROOM)
    many_sessions(wires, 12000)
    moved.until("events", 12000)
    assert moved["limited"] > 0
    syslog.setblocking(False)
    received = 0
    with contextlib.suppress(BlockingIOError):
        while received < 12000:
            assert b"nat44 open udp" in syslog.recv(2000)
            received += 1
    assert received > 0
    eventually(lambda: shown(gateway)["written"] > received, "it goes on where it stopped")


# ---- on and off ---------------------------------------------------------------------------


def polls(gateway: Gateway) -> int:
    """Descriptors that the agent waits with: the ring's would be one more."""
    waiting = 0
    for path in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it opens and closes others meanwhile
            waiting += str(path.readlink()) == "anon_inode:[eventpoll]"
    return waiting


def test_off_by_default_and_off_again(wires: Wires, gateway: Gateway, moved: Moved) -> None:
    before = polls(gateway)
    one_session(wires)
    assert moved["events"] == 0
    assert gateway.call("show.log")["enabled"] is False
    assert "nothing is logged" in gateway.ctl("show", "log").stdout

    logging(gateway, COLLECTOR)
    assert polls(gateway) == before + 1
    one_session(wires, 4001)
    moved.until("events", 1)

    gateway.apply(nat44())
    assert polls(gateway) == before
    one_session(wires, 4002)
    assert moved["events"] == 1
    assert gateway.call("show.log")["collector"] is None


def test_an_apply_loses_no_event(
    wires: Wires, gateway: Gateway, moved: Moved, collector: Nfcapd
) -> None:
    """Other settings; then other maps, with a new ring: what the old one had is sent first.

    Sessions and mappings that are carried over do not open again.
    """
    options = ("mappings: true", COLLECTOR)
    logging(gateway, *options)
    with gateway.frozen():
        one_session(wires, 4000)
    logging(gateway, *options, more=("filtering: endpoint-independent",))
    with gateway.frozen():
        one_session(wires, 4001)
    logging(gateway, *options, more=("sessions: 32768",))
    one_session(wires, 4002)
    records = records_of(moved, collector, 6)
    found = [(record["nat_event_id"], record["src_port"]) for record in records]
    assert found == [(event, port) for port in (4000, 4001, 4002) for event in ("8", "4")]


def test_the_next_agent_reads_what_came_meanwhile(
    wires: Wires, gateway: Gateway, moved: Moved, collector: Nfcapd
) -> None:
    logging(gateway, COLLECTOR)
    gateway.process.kill()
    one_session(wires)
    gateway.start()
    moved.restarted()
    (record,) = records_of(moved, collector, 1)
    assert record["src_port"] == 4000
