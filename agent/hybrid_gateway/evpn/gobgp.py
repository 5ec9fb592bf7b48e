# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of Debian's gobgpd (3.10 and 3.36): what it is to be, to say, and what it hears.

Importing this takes gRPC into memory; do so only where there is an `evpn` section.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import islice

from google.protobuf.any_pb2 import Any
from gw_gobgp import attribute_pb2 as wire
from gw_gobgp import gobgp_pb2 as api

from ..errors import EvpnAbsentError, EvpnError
from ..model import (
    END_OF_STATE,
    Evpn,
    EvpnRoute,
    IPAddress,
    MacRoute,
    PeerState,
    RouteEvent,
)
from . import session, session_policy
from .codec import FAMILY, encoded
from .gobgp_channel import Channel
from .gobgp_watch import Beginning, batches, cut, ended
from .heard import Heard
from .mass import Mass

BATCH_MIN, BATCH_MAX = 512, 131_072
"""Routes in one message. gobgpd takes or refuses a message as a whole."""

BATCH_WORK = 20_000_000
"""Routes in a message times our routes before it. gobgpd 3.10 compares every MAC that it is told
with all of them, at 0.1 µs each, and does nothing else meanwhile."""

STOP_SECONDS = 2.0
"""Whoever waits for it is on the way out."""

Refusal = tuple[EvpnRoute, str]
"""A route that cannot be announced, and why."""


def vrf_of(rd: str) -> api.Vrf:
    """By which all of ours with that route distinguisher is withdrawn."""
    admin, _, number = rd.rpartition(":")
    named = Any()
    named.Pack(
        wire.RouteDistinguisherIPAddress(admin=admin, assigned=int(number)),
        "type.googleapis.com/",
    )
    return api.Vrf(name=f"gw {rd}", rd=named, id=1)


class GobgpClient:
    """One daemon of ours: nobody else configures it or announces by it.

    Calls block. They raise EvpnAbsentError when the daemon is away, with everything that it was
    told, and EvpnError for what it refuses. Any thread may call; `close` ends all calls.
    """

    def __init__(self, target: str) -> None:
        """`target`: `unix:///run/gw/bgp.sock` or `127.0.0.1:50051`; it is not connected to yet."""
        self._channel = Channel(target)
        self._router_id = IPv4Address(0)

    def close(self) -> None:
        self._channel.close()

    # ---- configuration -----------------------------------------------------------------

    def configure(
        self, evpn: Evpn, routes: Iterable[EvpnRoute] = (), *, restarting: bool = False
    ) -> bool:
        """Brings the daemon to what the section says; what is right already is not touched.

        True: it had to be started, so it knew no route, and `routes` were announced before it got
        its neighbours: those that kept our routes over a restart find all of them again, and drop
        none at our End-of-RIB (RFC 4724 section 4.2). `restarting` tells them that it is one.
        """
        wanted = session.speaker(evpn)
        if evpn.router_id is not None:
            self._router_id = evpn.router_id
        running = getattr(self._channel.call("GetBgp", api.GetBgpRequest()), "global")
        started = not session.same_speaker(running, wanted)
        if started:
            if running.asn:
                self._channel.call("StopBgp", api.StopBgpRequest())
            self._channel.call("StartBgp", api.StartBgpRequest(**{"global": wanted}))
        session_policy.apply(self._channel, evpn)
        if started:
            self.announce(routes)
        self._set_peers(session.peers(evpn, restarting=restarting and started))
        return started

    def _set_peers(self, wanted: dict[str, api.Peer]) -> None:
        present = {peer.conf.neighbor_address: peer.conf.description for peer in self._listed()}
        for address, description in present.items():
            if address not in wanted or wanted[address].conf.description != description:
                self._delete(address, for_good=address not in wanted)
        for address, peer in wanted.items():
            if present.get(address) != peer.conf.description:
                self._channel.call("AddPeer", api.AddPeerRequest(peer=peer))

    def _delete(self, address: str, *, for_good: bool) -> None:
        """A watch is not told that a neighbour is deleted, only that one is there, and has no
        session: so it comes back for a moment."""
        request = api.DeletePeerRequest(address=address)
        self._channel.call("DeletePeer", request)
        if for_good:
            conf = api.PeerConf(neighbor_address=address, peer_asn=1, admin_down=True)
            self._channel.call("AddPeer", api.AddPeerRequest(peer=api.Peer(conf=conf)))
            self._channel.call("DeletePeer", request)

    def _listed(self, *, advertised: bool = False) -> Iterator[api.Peer]:
        request = api.ListPeerRequest(enableAdvertised=advertised)
        for answer in self._channel.listed("ListPeer", request):
            yield answer.peer

    def peers(self, *, advertised: bool = False) -> list[PeerState]:
        """Of all neighbours, by address. `advertised` are counted on request: it takes gobgpd a
        walk of its table for each of them."""
        now = time.time()
        states = [session.peer_state(peer, now) for peer in self._listed(advertised=advertised)]
        return sorted(states, key=lambda state: (state.address.version, int(state.address)))

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ends all sessions, and the daemon forgets everything; one that has none is as good."""
        try:
            self._channel.call("StopBgp", api.StopBgpRequest(), min(seconds, STOP_SECONDS))
        except EvpnAbsentError:
            raise
        except EvpnError as error:
            if error.code == "evpn.timeout":
                raise

    def shut(self, address: IPAddress, reason: str) -> None:
        """Ends a session, which the neighbour is told the reason of (RFC 9003), until `revive`:
        for one that sends more routes than it may. gobgpd forgets what it sent."""
        self._channel.call(
            "DisablePeer", api.DisablePeerRequest(address=str(address), communication=reason)
        )

    def revive(self, address: IPAddress) -> None:
        """Lets a neighbour try again that was shut down."""
        self._channel.call("EnablePeer", api.EnablePeerRequest(address=str(address)))

    def hang_up(self, address: IPAddress, reason: str) -> None:
        """Ends a session, and what the neighbour sent is withdrawn; it is called again after five
        seconds (with ResetPeer, it would be after thirty)."""
        self._channel.call(
            "ShutdownPeer", api.ShutdownPeerRequest(address=str(address), communication=reason)
        )

    # ---- our routes --------------------------------------------------------------------

    def announce(self, routes: Iterable[EvpnRoute]) -> list[Refusal]:
        """Adds routes, or replaces those with the same key; after `configure`.

        gobgpd wants no sequence number of a MAC to be lower than in other routes of ours for it
        (RFC 7432 section 15), 3.10 in any VNI. It gets that one then, or is refused when it is
        sticky. What `watch` says of our own routes has the number that neighbours see.
        """
        return self._say(routes, withdrawn=False)

    def withdraw(self, routes: Iterable[EvpnRoute]) -> list[Refusal]:
        """What counts is their key; one that is not there is no error."""
        return self._say(routes, withdrawn=True)

    def withdraw_all(self, mass: Mass) -> list[Refusal]:
        """Neighbours that are gateways like this one forget at once, by one word of our type-3
        route; the others as the routes are withdrawn one by one. Then that route is to be announced
        without the word, and so are stations that stay: every neighbour hears it in this order."""
        refused = self.announce([replace(mass.flood, gone=(mass.rd,))] if mass.flood else [])
        try:
            self._empty(mass.rd)
        except EvpnAbsentError:
            raise
        except EvpnError:
            refused += self.withdraw(mass.routes)
        return refused

    def _empty(self, rd: str) -> None:
        """With a VRF goes whatever has its route distinguisher: gobgpd walks its table once for
        that, and once for each route that is withdrawn by itself (BATCH_WORK)."""
        vrf = vrf_of(rd)
        try:
            self._channel.call("AddVrf", api.AddVrfRequest(vrf=vrf))
        except EvpnAbsentError:
            raise
        except EvpnError:
            pass  # An agent ended before the next call; else that fails as well.
        self._channel.call("DeleteVrf", api.DeleteVrfRequest(name=vrf.name))

    def _say(self, routes: Iterable[EvpnRoute], *, withdrawn: bool) -> list[Refusal]:
        refused: list[Refusal] = []
        left = iter(routes)
        while batch := list(islice(left, BATCH_MIN)):
            if len(batch) == BATCH_MIN:
                batch += islice(left, self._batch() - BATCH_MIN)
            said: list[tuple[EvpnRoute, list[api.Path]]] = []
            for route in batch:
                try:
                    said.append((route, encoded(route, self._router_id, withdrawn=withdrawn)))
                except EvpnError as error:
                    refused.append((route, error.message))
            try:
                self._send(path for _, paths in said for path in paths)
            except EvpnAbsentError:
                raise
            except EvpnError:
                # The message was refused for one of them, and nobody says which.
                refused += self._say_singly(said, withdrawn=withdrawn)
        return refused

    def _batch(self) -> int:
        request = api.GetTableRequest(table_type=api.GLOBAL, family=FAMILY)
        present: int = self._channel.call("GetTable", request).num_path
        return max(BATCH_MIN, min(BATCH_MAX, BATCH_WORK // (present + 1)))

    def _send(self, paths: Iterable[api.Path]) -> None:
        request = api.AddPathStreamRequest(table_type=api.GLOBAL, paths=paths)
        self._channel.sent("AddPathStream", [request])

    def _say_singly(
        self, said: list[tuple[EvpnRoute, list[api.Path]]], *, withdrawn: bool
    ) -> list[Refusal]:
        refused: list[Refusal] = []
        for route, paths in said:
            try:
                self._send(paths)
            except EvpnAbsentError:
                raise
            except EvpnError as error:
                if withdrawn or not self._say_unnumbered(route):
                    refused.append((route, error.message))
        return refused

    def _say_unnumbered(self, route: EvpnRoute) -> bool:
        """Whether gobgpd takes a MAC route whose sequence number it chooses."""
        if not isinstance(route, MacRoute) or route.sticky or not route.sequence:
            return False
        try:
            self._send(encoded(replace(route, sequence=0), self._router_id))
        except EvpnAbsentError:
            raise
        except EvpnError:
            return False
        return True

    # ---- their routes ------------------------------------------------------------------

    def watch(self) -> Iterator[list[RouteEvent]]:
        """Our own routes and those of neighbours, in batches: those there are, then END_OF_STATE,
        then changes; after `configure`. It never returns: it ends with EvpnAbsentError, also by
        `close`."""
        kinds = api.WatchEventRequest.Table.Filter
        filters = [kinds(type=kinds.BEST, init=True), kinds(type=kinds.ADJIN, init=True)]
        request = api.WatchEventRequest(
            peer=api.WatchEventRequest.Peer(), table=api.WatchEventRequest.Table(filters=filters)
        )
        heard = Heard()
        state = Beginning()
        for answer in self._channel.listed("WatchEvent", request, seconds=None):
            if answer.WhichOneof("event") == "table":
                yield from batches(heard, answer.table.paths)
            elif peer := ended(answer.peer):
                yield from cut(heard.lost(peer))
            if state.over(answer):
                yield [END_OF_STATE]
        raise EvpnAbsentError("gobgpd ended the watch")
