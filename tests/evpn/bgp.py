# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gobgpds in two namespaces with a cable between them, each with a client of ours."""

import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import grpc
from gw_gobgp import gobgp_pb2 as api
from gw_gobgp import gobgp_pb2_grpc

from hybrid_gateway.errors import EvpnAbsentError, EvpnError
from hybrid_gateway.evpn import daemon
from hybrid_gateway.evpn.codec import FAMILY
from hybrid_gateway.evpn.gobgp import GobgpClient
from hybrid_gateway.evpn.keys import route_key
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import (
    EndOfState,
    Evpn,
    EvpnNeighbor,
    EvpnRoute,
    RouteChange,
    RouteEvent,
    SessionState,
)
from tests.lib.gateway import eventually

ASN = 64512
SESSION_SECONDS = 60.0
"""gobgpd calls five to ten seconds after it was told to, and again when that was no use."""
ROUTE_SECONDS = 30.0


@dataclass(slots=True)
class Speaker:
    """One daemon; its addresses are those of its end of the cable."""

    name: str
    number: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    client: GobgpClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = GobgpClient(f"unix://{self.socket}")

    @property
    def namespace(self) -> str:
        return f"gwb{os.getpid()}-{self.name}"

    @property
    def socket(self) -> Path:
        return self.directory / f"{self.name}.sock"

    @property
    def router_id(self) -> IPv4Address:
        return IPv4Address(f"192.0.2.{self.number}")

    @property
    def address4(self) -> IPv4Address:
        return IPv4Address(f"10.9.0.{self.number}")

    @property
    def address(self) -> Any:
        return ip_address(f"2001:db8:9::{self.number}")

    def start(self) -> None:
        with open(self.directory / f"{self.name}.log", "a") as log:
            self.process = daemon.start(
                self.socket, prefix=namespaces.inside(self.namespace, ()), output=log
            )
        self.reach()

    def reach(self) -> None:
        """A client for the daemon that runs now."""
        self.client.close()
        self.client = GobgpClient(f"unix://{self.socket}")
        eventually(self.answers, f"gobgpd {self.name} answers")

    def answers(self) -> bool:
        try:
            self.client.peers()
        except EvpnAbsentError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def section(self, *neighbors: EvpnNeighbor, **more: Any) -> Evpn:
        return Evpn(asn=ASN, router_id=self.router_id, neighbors=neighbors, **more)

    def established(self, address: Any) -> bool:
        return any(
            peer.address == address and peer.state is SessionState.ESTABLISHED
            for peer in self.client.peers()
        )

    def paths(self) -> list[api.Path]:
        """All that the daemon has, its own and heard, with the attributes as they were sent."""
        tables = [api.ListPathRequest(table_type=api.GLOBAL)]
        for peer in self.client.peers():
            if peer.state is SessionState.ESTABLISHED:
                name = str(peer.address)
                tables.append(api.ListPathRequest(table_type=api.ADJ_IN, name=name))
        found = []
        with grpc.insecure_channel(f"unix://{self.socket}") as channel:
            stub = gobgp_pb2_grpc.GobgpApiStub(channel)
            for request in tables:
                request.family.CopyFrom(FAMILY)
                request.enable_attribute_binary = True
                found += [path for one in stub.ListPath(request) for path in one.destination.paths]
        return found


def neighbor(speaker: Speaker, **more: Any) -> EvpnNeighbor:
    """The speaker, as another one's configuration has it."""
    return EvpnNeighbor(**({"address": speaker.address, "asn": ASN} | more))


class Watch:
    """What one daemon says, collected by a thread until the daemon ends, or `close`."""

    def __init__(self, speaker: Speaker) -> None:
        self._client = GobgpClient(f"unix://{speaker.socket}")
        self._said: queue.SimpleQueue[list[RouteEvent] | EvpnError] = queue.SimpleQueue()
        self.before: list[RouteEvent] = []
        """Up to the end of the state, which is not in it."""
        self.events: list[RouteEvent] = []
        """After that."""
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        while EndOfState() not in (batch := self._next()):
            self.before += batch

    def close(self) -> None:
        self._client.close()
        self._thread.join()

    def _follow(self) -> None:
        try:
            for batch in self._client.watch():
                self._said.put(batch)
        except EvpnError as error:
            self._said.put(error)

    def _next(self) -> list[RouteEvent]:
        said = self._said.get(timeout=ROUTE_SECONDS)
        if isinstance(said, EvpnError):
            raise said
        return said

    def until(self, enough: Callable[[list[RouteEvent]], bool]) -> list[RouteEvent]:
        """All events since the last call."""
        while not enough(self.events):
            self.events += self._next()
        events, self.events = self.events, []
        return events

    def routes(self, wanted: Iterable[EvpnRoute], **more: Any) -> None:
        """Waits for exactly these, in any order."""
        expected = {RouteChange(route, **more) for route in wanted}
        assert set(self.until(lambda events: len(events) >= len(expected))) == expected

    def gone(self, routes: Iterable[EvpnRoute], peer: Any = None) -> None:
        """Waits for exactly these to be withdrawn; of a route, only the key is told then."""
        expected = {route_key(route) for route in routes}
        events = self.until(lambda events: len(events) >= len(expected))
        changes = [event for event in events if isinstance(event, RouteChange)]
        assert {route_key(change.route) for change in changes} == expected
        assert {(change.withdrawn, change.peer) for change in changes} == {(True, peer)}

    def error(self) -> EvpnError:
        """Waits for the end."""
        try:
            while True:
                self.events += self._next()
        except EvpnError as error:
            return error


def wired(left: Speaker, right: Speaker, stack: ExitStack) -> None:
    """Namespaces, a cable with addresses of both families, and two daemons that know nothing."""
    for one in (left, right):
        stack.callback(namespaces.delete, one.namespace)
        namespaces.add(one.namespace)
    namespaces.run(
        [
            *("ip", "-n", left.namespace, "link", "add", "wire", "type", "veth"),
            *("peer", "name", "wire", "netns", right.namespace),
        ]
    )
    for one in (left, right):
        lines = [
            "link set lo up",
            f"address add {one.address4}/24 dev wire",
            f"address add {one.address}/64 dev wire nodad",
            "link set wire up",
        ]
        namespaces.ip_batch(one.namespace, lines)
        stack.callback(one.end)
        one.start()


def together(left: Speaker, right: Speaker) -> None:
    eventually(
        lambda: left.established(right.address) and right.established(left.address),
        "a session",
        SESSION_SECONDS,
    )


Pair = tuple[Speaker, Speaker]
Following = Callable[[Speaker], Watch]
