# SPDX-License-Identifier: GPL-2.0-or-later
"""Gateways with what is on its way between each two of them, in order."""

from collections import deque

from hybrid_gateway.model import PeerState, RouteChange, SessionState

from .evpn_site import ASN, Gateway, vtep


class Mesh:
    """Gateways, and what is on its way between each two of them, in order."""

    def __init__(self, count: int) -> None:
        self.gateways = [Gateway(number).start() for number in range(1, count + 1)]
        self.ways: dict[tuple[int, int], deque[RouteChange]] = {
            (one, other): deque() for one in range(count) for other in range(count) if one != other
        }
        self.deliver_all()

    def collect(self) -> None:
        for one, gateway in enumerate(self.gateways):
            while gateway.outbox:
                change = gateway.outbox.popleft()
                for (sender, _), way in self.ways.items():
                    if sender == one:
                        way.append(change)

    def deliver(self, sender: int, receiver: int) -> bool:
        """The next message of one way, if there is any."""
        self.collect()
        way = self.ways[sender, receiver]
        if not way:
            return False
        self.gateways[receiver].hear(way.popleft())
        self.collect()
        return True

    def deliver_all(self) -> None:
        while any(self.deliver(*way) for way in self.ways):
            pass

    def restart_daemon(self, index: int) -> None:
        """It dies with what it had not sent, and begins anew; its neighbours expect it back."""
        self.collect()
        gateway = self.gateways[index]
        for (sender, receiver), way in self.ways.items():
            if index not in (sender, receiver):
                continue
            way.clear()
            other = self.gateways[sender]
            if sender == index:
                self._miss(self.gateways[receiver], gateway)
            else:
                way.extend(
                    RouteChange(route, False, vtep(other.number))
                    for route in other.announced.values()
                )
        gateway.announced.clear()
        gateway.mind.begin(gateway.now, 1e9)
        gateway.mind.end_of_state(gateway.now)
        gateway.flush()
        self.collect()

    def _miss(self, gateway: Gateway, neighbour: Gateway) -> None:
        peer = vtep(neighbour.number)
        for key, told in list(gateway.told.items()):
            if told.peer == peer:
                del gateway.told[key]
                gone = RouteChange(told.route, True, peer)
                gateway.mind.heard(gone, gateway.now, frozenset({peer}))
        gateway.flush()

    def settle(self) -> None:
        """All has been delivered, and everybody has been quiet for a while."""
        self.deliver_all()
        self.wait(60.0)
        peers = [
            PeerState(vtep(one.number), ASN, SessionState.ESTABLISHED, 60.0, complete=True)
            for one in self.gateways
        ]
        for gateway in self.gateways:
            gateway.mind.settle(peers, gateway.now)
            gateway.flush()
        self.deliver_all()

    def wait(self, seconds: float) -> None:
        for gateway in self.gateways:
            gateway.now += seconds
            gateway.flush()
