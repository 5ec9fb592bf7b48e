# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker's place in the agent: when it begins, what it is told, what stays at its end."""

from dataclasses import replace

import pytest

from hybrid_gateway.agent.evpn import EvpnControl
from hybrid_gateway.evpn.wanted import EvpnWanted
from hybrid_gateway.instance import Instance
from tests.unit.evpn_speaker import PEER, SECTION, VIEW, FakeSpeaker


@pytest.fixture
def speaker() -> FakeSpeaker:
    return FakeSpeaker()


@pytest.fixture
def control(speaker: FakeSpeaker) -> EvpnControl:
    return EvpnControl(Instance("x"), lambda _: speaker)


def test_it_is_told_what_changes(control: EvpnControl, speaker: FakeSpeaker) -> None:
    control.follow(EvpnWanted(SECTION))
    control.follow(EvpnWanted(SECTION))
    control.follow(EvpnWanted(replace(SECTION, asn=1)))

    assert speaker.calls == ["start", "follow 64512", "follow 1"]


def test_a_plan_says_what_becomes_of_it(control: EvpnControl) -> None:
    wanted = EvpnWanted(SECTION)

    (begins,) = control.steps(wanted)
    control.follow(wanted)
    (ends,) = control.steps(None)

    assert begins.text == "speak BGP as AS 64512 with 2 neighbors, for 0 VNIs"
    assert ends.text == "end the sessions, and remove what came by them"
    assert control.steps(wanted) == ()
    control.follow(None)
    assert control.steps(None) == ()


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
        "EVPN: not announced, once: no route",
        "EVPN: a station is at two sites: gwctl show evpn macs --state duplicate",
    )
