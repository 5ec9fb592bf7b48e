# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker's place in the agent, and what is told of it: one that is there in name only."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, cast

import pytest

from hybrid_gateway.agent import evpn_views
from hybrid_gateway.agent.engine import Engine
from hybrid_gateway.agent.evpn import EvpnControl
from hybrid_gateway.errors import UsageError
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
from hybrid_gateway.instance import Instance
from hybrid_gateway.model import (
    Config,
    Evpn,
    EvpnDaemon,
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


@pytest.fixture
def speaker() -> FakeSpeaker:
    return FakeSpeaker()


@pytest.fixture
def control(speaker: FakeSpeaker) -> EvpnControl:
    return EvpnControl(Instance("x"), lambda _: speaker)


@pytest.fixture
def engine(control: EvpnControl) -> Engine:
    control.follow(EvpnWanted(SECTION))
    return cast(Engine, FakeEngine(control, Config(1, "gateway.yaml", evpn=SECTION)))


# ---- the place --------------------------------------------------------------------------


def test_it_is_told_what_changes(control: EvpnControl, speaker: FakeSpeaker) -> None:
    control.follow(EvpnWanted(SECTION))
    control.follow(EvpnWanted(SECTION))
    control.follow(EvpnWanted(replace(SECTION, asn=1)))

    assert speaker.calls == ["start", "follow 64512", "follow 1"]


def test_nothing_stays_when_the_section_goes(control: EvpnControl, speaker: FakeSpeaker) -> None:
    control.follow(EvpnWanted(SECTION))
    control.follow(None)
    control.follow(None)
    control.follow(EvpnWanted(SECTION))

    assert speaker.calls == [
        *("start", "follow 64512", "stop True"),
        *("start", "follow 64512"),
    ]


def test_all_stays_when_the_agent_ends(control: EvpnControl, speaker: FakeSpeaker) -> None:
    control.follow(EvpnWanted(SECTION))
    control.stop()
    control.stop()

    assert speaker.calls[2:] == ["stop False"]
    assert control.view() is None
    assert control.macs(again=False) == ()
    assert control.clear(None, None) == 0
    assert control.warnings == ()


def test_a_host_without_grpc_is_told_of() -> None:
    def missing(_: Instance) -> FakeSpeaker:
        raise ImportError("No module named 'grpc'")

    control = EvpnControl(Instance("x"), missing)
    control.follow(EvpnWanted(SECTION))

    assert control.warnings == (
        "EVPN: No module named 'grpc': apt install python3-grpcio python3-protobuf",
    )
    control.follow(None)
    assert not control.warnings


def test_pages_are_of_one_moment(control: EvpnControl, speaker: FakeSpeaker) -> None:
    control.follow(EvpnWanted(SECTION))
    assert len(control.macs(again=False)) == 3
    speaker.seen = replace(VIEW, macs=())

    assert len(control.macs(again=True)) == 3
    assert control.macs(again=False) == ()
    assert speaker.calls.count("view True") == 2


def test_what_is_wrong_is_a_warning(control: EvpnControl, speaker: FakeSpeaker) -> None:
    control.follow(EvpnWanted(SECTION))
    speaker.seen = replace(VIEW, error="gobgpd does not answer")

    assert control.warnings == (
        "EVPN: gobgpd does not answer",
        f"EVPN: not taken from {PEER}, 2 times: VNI 0",
        "EVPN: not taken from the daemon, once: no route",
        "EVPN: a station is at two sites: gwctl show evpn macs --state duplicate",
    )


# ---- what is told -----------------------------------------------------------------------


def test_all_of_it(engine: Engine) -> None:
    idle = {"received": 0, "accepted": 0, "advertised": 0, "flaps": 0, "reason": None}

    assert evpn_views.evpn(engine) == {
        "summary": {
            "daemon": "gobgp",
            "state": "synchronized",
            "since": 12.3,
            "error": None,
            "neighbors": 2,
            "established": 1,
            "vnis": 1,
            "macs_local": 1,
            "macs_remote": 1,
            "duplicates": 1,
        },
        "asn": 64512,
        "router_id": "192.0.2.11",
        "neighbors": [
            {
                "address": str(PEER),
                "asn": 64512,
                "state": "established",
                "since": 9.9,
                "received": 4,
                "accepted": 3,
                "advertised": 2,
                "flaps": 1,
                "reason": None,
            },
            # The daemon does not know it yet.
            {"address": str(OTHER), "asn": 64513, "state": None, "since": None} | idle,
        ],
        "refused": [
            {"peer": str(PEER), "reason": "VNI 0", "count": 2},
            {"peer": None, "reason": "no route", "count": 1},
        ],
        "kernel_failures": 1,
        "vnis": [
            {
                "vni": 550,
                "device": "vni550",
                "bridge": "br50",
                "local": str(VTEP),
                "up": True,
                "routing": False,
                "vteps": 1,
                "macs_local": 1,
                "macs_remote": 1,
                "duplicates": 1,
            }
        ],
    }


def test_stations(engine: Engine) -> None:
    first = evpn_views.macs(engine, 0, 2, {})

    assert first["next"] == 2
    assert first["macs"][0] == {
        "vni": 550,
        "mac": "02:00:c6:12:32:01",
        "state": "local",
        "vtep": None,
        "port": "seg0",
        "sequence": 0,
        "sticky": False,
        "age": 60.0,
        "moves": 0,
        "release_in": None,
        "addresses": [],
    }
    (last,) = evpn_views.macs(engine, 2, 2, {})["macs"]
    assert (last["state"], last["vtep"], last["port"]) == ("duplicate", str(OTHER), None)
    assert (last["moves"], last["release_in"]) == (5, 170.3)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"vni": 550}, [0, 1]),
        ({"mac": "02:00:c6:12:32"}, [0, 1, 2]),
        ({"mac": "02:00:c6:12:32:03"}, [2]),
        ({"state": "remote"}, [1]),
        ({"vtep": str(PEER)}, [1]),
        ({"address": str(HOST)}, [1]),
        ({"vni": 551, "state": "remote"}, []),
    ],
)
def test_chosen_stations(engine: Engine, given: dict[str, Any], found: list[int]) -> None:
    page = evpn_views.macs(engine, 0, 100, given)

    assert [one["mac"] for one in page["macs"]] == [MACS[n].hex(":") for n in found]
    assert page["next"] is None
    assert evpn_views.macs_count(engine, given) == {"count": len(found)}


def test_vteps_and_prefixes(engine: Engine) -> None:
    assert evpn_views.vteps(engine, 0, 1, {}) == {
        "vteps": [{"vni": 550, "address": str(PEER), "flood": True, "macs": 1}],
        "next": 1,
    }
    assert evpn_views.vteps(engine, 0, 10, {"vtep": str(OTHER)})["vteps"] == [
        {"vni": 551, "address": str(OTHER), "flood": False, "macs": 2}
    ]
    assert evpn_views.prefixes(engine, 0, 10, {}) == {
        "prefixes": [
            {"vni": 550, "prefix": "10.0.0.0/8", "vtep": None, "router_mac": None},
            {
                "vni": 551,
                "prefix": "2001:db8:110::/48",
                "vtep": str(PEER),
                "router_mac": "02:00:c6:12:32:02",
            },
        ],
        "next": None,
    }
    assert evpn_views.prefixes(engine, 0, 10, {"vni": 1})["prefixes"] == []


def test_duplicates_are_released(engine: Engine, speaker: FakeSpeaker) -> None:
    assert evpn_views.clear(engine, {}) == {"cleared": 1}
    evpn_views.clear(engine, {"vni": 551, "mac": "02:00:c6:12:32:03"})

    assert speaker.calls[-2:] == ["clear None None", "clear 551 0200c6123203"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: evpn_views.macs(e, 0, 1, {"vni": 0}), "vni: must be a whole number"),
        (lambda e: evpn_views.macs(e, 0, 1, {"state": "lost"}), "state: must be one of conflict, "),
        (lambda e: evpn_views.macs(e, "x", 1, {}), "cursor: "),
        (lambda e: evpn_views.vteps(e, 0, 1, {"mac": "02"}), "mac: no such filter"),
        (lambda e: evpn_views.clear(e, {"mac": "02:00"}), "mac: must be a whole MAC address"),
    ],
)
def test_what_makes_no_sense(engine: Engine, call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(engine)


def test_without_a_speaker(control: EvpnControl) -> None:
    alone = cast(Engine, FakeEngine(control, Config(1, "gateway.yaml")))
    assert evpn_views.summary(alone) is None
    assert evpn_views.evpn(alone)["neighbors"] == []
    assert evpn_views.macs(alone, 0, 10, {}) == {"macs": [], "next": None}

    of_frr = Config(1, "gateway.yaml", evpn=Evpn(EvpnDaemon.FRR))
    told = evpn_views.summary(cast(Engine, FakeEngine(control, of_frr)))
    assert told
    assert (told["daemon"], told["state"]) == ("frr", None)
