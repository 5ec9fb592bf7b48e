# SPDX-License-Identifier: GPL-2.0-or-later
"""Daemons and agents that restart: what was known stays until it is certain that it is over."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from hybrid_gateway.evpn.keys import route_key
from hybrid_gateway.evpn.pulse import Pulse
from hybrid_gateway.evpn.settle import QUIET_SECONDS
from hybrid_gateway.model import (
    EvpnRoute,
    PeerState,
    RouteChange,
    SessionState,
)

from .evpn_site import (
    ASN,
    Gateway,
    flood_route,
    mac,
    mac_route,
    vtep,
)


def established(number: int, *, complete: bool = True, since: float = 60.0) -> PeerState:
    return PeerState(vtep(number), ASN, SessionState.ESTABLISHED, since, complete=complete)


def down(number: int) -> PeerState:
    return PeerState(vtep(number), ASN, SessionState.ACTIVE)


def restart_daemon(gateway: Gateway) -> None:
    gateway.announced.clear()
    gateway.mind.begin(gateway.now, 120.0)
    gateway.mind.end_of_state(gateway.now)
    gateway.flush()


def test_a_daemon_that_restarts_takes_nothing_away() -> None:
    gateway = Gateway(1).start()
    gateway.learn(7)
    gateway.hear_routes(flood_route(2), mac_route(2, 1), peer=2)
    gateway.hear_routes(flood_route(3), mac_route(3, 2), peer=3)
    kernel, announced = dict(gateway.kernel), dict(gateway.announced)

    restart_daemon(gateway)
    assert gateway.announced == announced
    assert not gateway.mind.settle([down(2), down(3)], gateway.now)
    assert gateway.kernel == kernel

    gateway.now += 5
    gateway.hear_routes(flood_route(2), peer=2)
    gateway.now += 1
    assert not gateway.mind.settle([established(2), down(3)], gateway.now)
    gateway.flush()
    assert gateway.where(1) is None, "the one that is back did not say it again"
    assert gateway.where(2) == vtep(3), "the other one is still to come"

    gateway.now += 120
    assert gateway.mind.settle([established(2), down(3)], gateway.now)
    gateway.flush()
    assert gateway.floods() == {vtep(2)}
    assert gateway.where(2) is None


def test_a_neighbour_that_does_not_mark_its_end_is_waited_for() -> None:
    gateway = Gateway(1).start()
    gateway.hear_routes(flood_route(2), peer=2)
    restart_daemon(gateway)
    gateway.now += 1
    assert not gateway.mind.settle([established(2, complete=False, since=1)], gateway.now)

    gateway.now += QUIET_SECONDS
    assert gateway.mind.settle([established(2, complete=False, since=3)], gateway.now)
    gateway.flush()
    assert not gateway.floods()


def test_an_agent_that_restarts_takes_back_what_is_over() -> None:
    gateway = Gateway(1)
    gateway.mind.begin(gateway.now, 120.0)
    old: list[EvpnRoute] = [mac_route(1, 1, sequence=4), mac_route(1, 2), flood_route(1)]
    for route in old:
        gateway.announced[route_key(route)] = route
        gateway.mind.heard(RouteChange(route), gateway.now)
    gateway.mind.end_of_state(gateway.now)
    gateway.learn(1)
    gateway.mind.synced()
    gateway.flush()
    assert gateway.macs()[mac(2)], "until it is certain"

    assert gateway.mind.settle([], gateway.now)
    gateway.flush()

    assert set(gateway.macs()) == {mac(1)}
    assert gateway.macs()[mac(1)].sequence == 4, "its claim goes on"
    assert [change.withdrawn for change in gateway.outbox] == [True], "and was not said again"


def test_a_station_that_came_while_no_agent_ran_is_claimed() -> None:
    gateway = Gateway(2)
    gateway.mind.begin(gateway.now, 120.0)
    gateway.learn(1)
    gateway.hear_routes(mac_route(1, 1, sequence=3), peer=1)
    assert not gateway.kernel, "nothing is decided before all is told"

    gateway.mind.end_of_state(gateway.now)
    gateway.mind.synced()
    gateway.flush()

    assert gateway.macs()[mac(1)].sequence == 4
    assert gateway.where(1) == vtep(2)


def test_the_daemon_may_raise_a_sequence() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.outbox.clear()

    gateway.hear(RouteChange(mac_route(1, 1, sequence=6)))
    assert not gateway.outbox, "there is nothing to say to that"
    gateway.bind("10.0.0.9", 1)
    assert gateway.addresses()[ip_address("10.0.0.9")].sequence == 6

    gateway.hear_routes(mac_route(2, 1, sequence=5), peer=2)
    assert gateway.where(1) == vtep(1)


def test_what_the_daemon_refuses_is_said_again() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.outbox.clear()
    gateway.mind.refused([(mac_route(1, 1), "no")])
    gateway.flush()
    assert not gateway.outbox

    gateway.mind.retry()
    gateway.flush()

    assert [change.route for change in gateway.outbox] == [mac_route(1, 1)]
    assert gateway.refused() == {"no": 1}


# ---- neighbours whose daemon died --------------------------------------------------------


def test_a_daemon_that_died_elsewhere_takes_nothing_away() -> None:
    gateway = Gateway(1).start()
    assert gateway.mind.settle([], gateway.now)
    gateway.hear_routes(flood_route(2), mac_route(2, 1), mac_route(2, 2), peer=2)
    gateway.hear_routes(flood_route(3), peer=3)
    kernel = dict(gateway.kernel)

    for route in (flood_route(2), mac_route(2, 1), mac_route(2, 2)):
        gateway.mind.heard(RouteChange(route, True, vtep(2)), gateway.now, frozenset({vtep(2)}))
    gateway.flush()
    assert gateway.mind.settle([down(2), established(3)], gateway.now)
    gateway.flush()
    assert gateway.kernel == kernel

    gateway.now += 8
    gateway.hear_routes(flood_route(2), mac_route(2, 1), peer=2)
    gateway.now += 1
    assert gateway.mind.settle([established(2), established(3)], gateway.now)
    gateway.flush()
    assert gateway.where(1) == vtep(2)
    assert gateway.where(2) is None, "it did not say that again"


def test_a_neighbour_that_does_not_come_back_has_its_time() -> None:
    gateway = Gateway(1).start()
    assert gateway.mind.settle([], gateway.now)
    gateway.hear_routes(flood_route(2), peer=2)
    gateway.mind.heard(
        RouteChange(flood_route(2), True, vtep(2)), gateway.now, frozenset({vtep(2)})
    )

    gateway.now += 119
    gateway.mind.settle([down(2)], gateway.now)
    gateway.flush()
    assert gateway.floods() == {vtep(2)}

    gateway.now += 1
    gateway.mind.settle([down(2)], gateway.now)
    gateway.flush()
    assert not gateway.floods()


def seen(
    messages: int, state: SessionState = SessionState.ESTABLISHED, notifications: int = 0
) -> PeerState:
    return PeerState(
        vtep(2), ASN, state, messages=messages, notifications=notifications, hold_time=9.0
    )


@pytest.mark.parametrize(("silent", "expected"), [(3.0, True), (5.9, True), (8.5, False)])
def test_a_neighbour_that_was_heard_a_moment_ago_is_expected_back(
    silent: float, expected: bool
) -> None:
    pulse = Pulse()
    assert not pulse.look([seen(1)], 100.0)
    assert not pulse.look([seen(2)], 103.0)
    assert not pulse.look([seen(2)], 103.5)

    away = seen(2, SessionState.IDLE)
    assert bool(pulse.look([away], 103.0 + silent)) is expected
    assert bool(pulse.look([away], 160.0)) is expected, "it stays as it was judged"

    assert not pulse.look([seen(2)], 170.0)
    assert pulse.look([away], 171.0) == {vtep(2)}


def test_a_neighbour_that_left_in_good_order_or_never_came_is_not_expected() -> None:
    pulse = Pulse()
    assert not pulse.look([seen(0, SessionState.ACTIVE)], 100.0)
    pulse.look([seen(1)], 101.0)
    assert not pulse.look([seen(2, SessionState.IDLE, 1)], 102.0)

    pulse.look([seen(3)], 105.0)
    assert not pulse.look([replace(seen(3, SessionState.IDLE), reason="shut down")], 106.0)

    pulse.look([seen(4, notifications=1)], 110.0)
    assert pulse.look([seen(4, SessionState.IDLE, 1)], 111.0), "of the session before"


def test_a_notification_counts_before_the_session_has_ended() -> None:
    pulse = Pulse()
    pulse.look([replace(seen(1), since=60.0)], 100.0)
    pulse.look([replace(seen(2, notifications=1), since=61.01)], 101.0)
    assert not pulse.look([seen(2, SessionState.IDLE, 1)], 101.1)


def test_a_session_between_two_looks_has_counts_of_its_own() -> None:
    pulse = Pulse()
    pulse.look([replace(seen(1), since=60.0)], 100.0)
    pulse.look([replace(seen(9, notifications=1), since=0.3)], 102.0)
    assert pulse.look([seen(9, SessionState.IDLE, 1)], 103.0) == {vtep(2)}
