# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told of EVPN, of a speaker that is there in name only."""

from typing import Any, cast

import pytest

from hybrid_gateway.agent import evpn_views
from hybrid_gateway.agent.engine import Engine
from hybrid_gateway.agent.evpn import EvpnControl
from hybrid_gateway.errors import UsageError
from hybrid_gateway.evpn.wanted import EvpnWanted
from hybrid_gateway.instance import Instance
from hybrid_gateway.model import Config, Evpn, EvpnDaemon
from tests.unit.evpn_speaker import (
    HOST,
    MACS,
    OTHER,
    PEER,
    SECTION,
    VTEP,
    FakeEngine,
    FakeSpeaker,
)


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


def test_all_of_it(engine: Engine) -> None:
    idle = {
        "received": 0,
        "routes_max": 60_000,
        "accepted": 0,
        "advertised": 0,
        "flaps": 0,
        "reason": None,
    }

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
                "routes_max": 60_000,
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
        "kernel_reasons": [{"reason": "File exists", "count": 1}],
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


def test_refusals_are_counted_anew(engine: Engine, speaker: FakeSpeaker) -> None:
    assert evpn_views.clear_refused(engine) == {"cleared": 2}
    assert speaker.calls[-1] == "forget"


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
