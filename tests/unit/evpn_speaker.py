# SPDX-License-Identifier: GPL-2.0-or-later
"""An EVPN speaker that is there in name only, and what it knows."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_network

from hybrid_gateway.agent.evpn import EvpnControl
from hybrid_gateway.evpn.view import (
    EvpnView,
    MacState,
    MacView,
    PrefixView,
    RefusedView,
    SpeakerState,
    VniView,
    VtepView,
)
from hybrid_gateway.evpn.wanted import EvpnWanted
from hybrid_gateway.model import (
    Config,
    Evpn,
    EvpnNeighbor,
    Link,
    PeerState,
    SessionState,
)

VTEP, PEER, OTHER = (IPv6Address(f"2001:db8:0:{n}::11") for n in (1, 2, 3))
HOST = IPv4Address("198.18.50.12")
MACS = tuple(bytes.fromhex(f"0200c612320{n}") for n in (1, 2, 3))
SECTION = Evpn(
    asn=64512,
    router_id=IPv4Address("192.0.2.11"),
    neighbors=(EvpnNeighbor(PEER, 64512), EvpnNeighbor(OTHER, 64513)),
)
VIEW = EvpnView(
    SpeakerState.SYNCHRONIZED,
    12.34,
    peers=(PeerState(PEER, 64512, SessionState.ESTABLISHED, 9.87, 4, 3, 2, 1),),
    refused=(RefusedView(PEER, "VNI 0", 2), RefusedView(None, "no route", 1)),
    kernel_failures=1,
    kernel_reasons=(("File exists", 1),),
    vnis=(VniView(550, "vni550", "br50", VTEP, True, 1, 1, 1, 1),),
    vteps=(VtepView(550, PEER, True, 1), VtepView(551, OTHER, False, 2)),
    macs=(
        MacView(550, MACS[0], MacState.LOCAL, None, 2, 0, False, 60.04),
        MacView(550, MACS[1], MacState.REMOTE, PEER, 0, 3, True, 5.0, 1, 0.0, (HOST,)),
        MacView(551, MACS[2], MacState.DUPLICATE, OTHER, 0, 6, False, 1.0, 5, 170.26),
    ),
    prefixes=(
        PrefixView(550, ip_network("10.0.0.0/8")),
        PrefixView(551, ip_network("2001:db8:110::/48"), PEER, MACS[1]),
    ),
)


@dataclass
class FakeSpeaker:
    """Does nothing but note it."""

    calls: list[str] = field(default_factory=list)
    seen: EvpnView = VIEW

    def start(self) -> None:
        self.calls.append("start")

    def follow(self, wanted: EvpnWanted) -> None:
        self.calls.append(f"follow {wanted.section.asn}")

    def clear(self, vni: int | None = None, mac: bytes | None = None) -> int:
        self.calls.append(f"clear {vni} {mac.hex() if mac else None}")
        return 1

    def forget_refused(self) -> int:
        self.calls.append("forget")
        return 2

    def view(self, *, macs: bool = False) -> EvpnView:
        self.calls.append(f"view {macs}")
        return self.seen if macs else replace(self.seen, macs=())

    def stop(self, *, remove: bool = False) -> None:
        self.calls.append(f"stop {remove}")


@dataclass
class FakeEngine:
    evpn: EvpnControl
    config: Config | None
    links: tuple[Link, ...] = (Link(2, "seg0"),)
