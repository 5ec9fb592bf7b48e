# SPDX-License-Identifier: GPL-2.0-or-later
"""MAC mobility, sticky stations and duplicates, between gateways that hear each other's routes."""

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_gateway.evpn.mobility import FREEZE_SECONDS, MOVES_MAX, MOVES_SECONDS, SEQUENCE_MAX

from .evpn_mesh import Mesh
from .evpn_site import Gateway, mac, mac_route, vtep

STATIONS = 3
GATEWAYS = 3
actions = st.lists(
    st.one_of(
        st.tuples(st.just("learn"), st.integers(0, GATEWAYS - 1), st.integers(0, STATIONS - 1)),
        st.tuples(st.just("age"), st.integers(0, GATEWAYS - 1), st.integers(0, STATIONS - 1)),
        st.tuples(st.just("deliver"), st.integers(0, GATEWAYS - 1), st.integers(0, GATEWAYS - 1)),
        st.tuples(st.just("bind"), st.integers(0, GATEWAYS - 1), st.integers(0, STATIONS - 1)),
        st.tuples(st.just("restart"), st.integers(0, GATEWAYS - 1), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(actions)
def test_all_agree_in_the_end(steps: list[tuple[str, int, int]]) -> None:
    mesh = Mesh(GATEWAYS)
    for what, one, other in steps:
        # Too slow for duplicates.
        mesh.wait(MOVES_SECONDS)
        if what == "learn":
            mesh.gateways[one].learn(other)
        elif what == "age":
            mesh.gateways[one].age(other)
        elif what == "bind":
            mesh.gateways[one].bind(f"10.0.0.{100 + other}", other)
        elif what == "restart":
            mesh.restart_daemon(one)
        elif one != other:
            mesh.deliver(one, other)
    mesh.settle()

    for station in range(STATIONS):
        places = {gateway.where(station) for gateway in mesh.gateways}
        assert len(places) == 1, f"station {station} is at {places}"
        claims = [g.number for g in mesh.gateways if mac(station) in g.macs()]
        assert [vtep(number) for number in claims] == [place for place in places if place]
        address = ip_address(f"10.0.0.{100 + station}")
        telling = [g.number for g in mesh.gateways if address in g.addresses()]
        assert telling in ([], claims), "only who has the station tells of its address"
        for gateway in mesh.gateways:
            told = bool(telling) and gateway.number not in telling
            assert (gateway.bindings().get(address) == mac(station)) is told


def test_a_move_raises_the_sequence() -> None:
    mesh = Mesh(2)
    first, second = mesh.gateways
    first.learn(1)
    mesh.deliver_all()
    assert second.where(1) == vtep(1)

    second.learn(1)
    mesh.deliver_all()

    assert second.macs()[mac(1)].sequence == 1
    assert first.where(1) == vtep(2)
    assert mac(1) not in first.macs()


def test_a_tie_goes_to_the_lowest_vtep() -> None:
    mesh = Mesh(2)
    first, second = mesh.gateways
    second.learn(1)
    first.learn(1)
    assert first.macs()[mac(1)].sequence == second.macs()[mac(1)].sequence == 0

    mesh.deliver_all()

    assert first.where(1) == second.where(1) == vtep(1)


def test_a_higher_sequence_beats_a_lower_vtep() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)

    gateway.hear_routes(mac_route(2, 1, sequence=1), peer=2)

    assert gateway.where(1) == vtep(2)
    assert not gateway.macs()


def test_of_two_routes_the_latest_move_counts() -> None:
    gateway = Gateway(1).start()

    gateway.hear_routes(mac_route(2, 1, sequence=4), mac_route(3, 1, sequence=5))
    assert gateway.where(1) == vtep(3)

    gateway.hear_routes(mac_route(3, 1), withdrawn=True)
    assert gateway.where(1) == vtep(2)


def test_what_is_sticky_never_moves_here() -> None:
    gateway = Gateway(1).start()
    gateway.hear_routes(mac_route(2, 1, sticky=True), peer=2)
    gateway.learn(1)

    entry = gateway.kernel["mac", 550, mac(1)]
    assert (gateway.where(1), getattr(entry, "sticky", None)) == (vtep(2), True)
    assert not gateway.macs()
    assert any("belongs to" in alert for alert in gateway.mind.alerts)


def test_what_is_static_here_is_announced_sticky_and_stays() -> None:
    gateway = Gateway(2).start()
    gateway.learn(1, static=True)
    assert gateway.macs()[mac(1)].sticky

    gateway.hear_routes(mac_route(1, 1, sequence=9), peer=1)

    assert gateway.where(1) == vtep(2)
    assert mac(1) in gateway.macs()


def test_what_is_static_here_and_sticky_there_belongs_to_the_lowest_vtep() -> None:
    gateway = Gateway(2).start()
    gateway.learn(1, static=True)

    gateway.hear_routes(mac_route(1, 1, sticky=True), peer=1)

    assert not gateway.macs()
    assert not gateway.kernel, "the owner's own entry is not written over"
    assert any("belongs to" in alert for alert in gateway.mind.alerts)


def test_no_sequence_is_beyond_the_last() -> None:
    gateway = Gateway(1).start()
    gateway.hear_routes(mac_route(2, 1, sequence=SEQUENCE_MAX), peer=2)

    gateway.learn(1)

    assert gateway.macs()[mac(1)].sequence == SEQUENCE_MAX
    assert gateway.where(1) == vtep(1)


# ---- duplicates ------------------------------------------------------------------------


def flap(mesh: Mesh, station: int, times: int, first: int = 0) -> None:
    """It is heard at the first two gateways by turns, beginning with that one."""
    for turn in range(first, first + times):
        mesh.gateways[turn % 2].learn(station)
        mesh.deliver_all()


def duplicates(mesh: Mesh) -> list[str]:
    alerts = [alert for gateway in mesh.gateways for alert in gateway.mind.alerts]
    return [alert for alert in alerts if "duplicate" in alert]


def test_five_moves_make_a_duplicate() -> None:
    mesh = Mesh(3)
    flap(mesh, 1, MOVES_MAX)
    assert not duplicates(mesh)

    flap(mesh, 1, 1, first=1)

    # The one that saw the fifth move says nothing of it, which leaves it to the other.
    assert len(duplicates(mesh)) == 1
    assert mac(1) not in mesh.gateways[1].macs()
    assert mesh.gateways[1].where(1) == vtep(2)
    assert mesh.gateways[2].where(1) == vtep(1)

    sequences = [route.sequence for g in mesh.gateways for route in g.macs().values()]
    flap(mesh, 1, 20)
    assert len(duplicates(mesh)) == 1
    assert [mac(1) in gateway.macs() for gateway in mesh.gateways] == [True, False, False]
    assert max(sequences, default=0) <= MOVES_MAX


def test_others_are_not_concerned_by_a_duplicate() -> None:
    mesh = Mesh(2)
    flap(mesh, 1, MOVES_MAX + 2)

    mesh.gateways[0].learn(2)
    mesh.deliver_all()

    assert mesh.gateways[1].where(2) == vtep(1)


def test_a_duplicate_is_left_alone_until_its_time_is_over() -> None:
    mesh = Mesh(2)
    flap(mesh, 1, MOVES_MAX + 2)
    frozen = mesh.gateways[1]
    writes = frozen.writes
    flap(mesh, 1, 10)
    assert (frozen.writes, frozen.macs()) == (writes, {})
    assert frozen.where(1) == vtep(2)
    mesh.gateways[0].age(1)
    mesh.deliver_all()

    mesh.wait(FREEZE_SECONDS)
    mesh.deliver_all()

    assert {gateway.where(1) for gateway in mesh.gateways} == {vtep(2)}


def test_the_owner_releases_a_duplicate() -> None:
    mesh = Mesh(2)
    flap(mesh, 1, MOVES_MAX + 2)
    first, second = mesh.gateways
    first.age(1)
    mesh.deliver_all()

    assert second.mind.clear(551, mac(1)) == 0
    assert second.mind.clear(None, mac(1)) == 1
    assert second.mind.clear(550, None) == 0
    second.flush()
    mesh.deliver_all()

    assert mac(1) in second.macs()
    assert first.where(1) == vtep(2)


def test_moves_that_are_far_apart_make_no_duplicate() -> None:
    mesh = Mesh(2)
    for turn in range(MOVES_MAX * 3):
        mesh.gateways[turn % 2].learn(1)
        mesh.deliver_all()
        mesh.wait(MOVES_SECONDS / MOVES_MAX + 10)

    assert sum(mac(1) in gateway.macs() for gateway in mesh.gateways) == 1


def test_nothing_is_kept_of_stations_that_left() -> None:
    mesh = Mesh(2)
    flap(mesh, 1, 4)
    for gateway in mesh.gateways:
        gateway.age(1)
    mesh.deliver_all()
    mesh.wait(MOVES_SECONDS + 1)

    assert [list(gateway.mind.domains[550].stations) for gateway in mesh.gateways] == [[], []]
