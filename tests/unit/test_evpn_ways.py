# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to routers behind VTEPs, by the routes that need them."""

from ipaddress import ip_address, ip_network
from time import process_time

from hypothesis import given
from hypothesis import strategies as some

from hybrid_gateway.evpn.entries import PrefixEntry
from hybrid_gateway.evpn.kernel_ways import Ways, place_of
from hybrid_gateway.model import IPAddress

VNI = 900


def entry(number: int, router: int, vtep: str = "2001:db8:0:2::11") -> PrefixEntry:
    prefix = ip_network((0x0A000000 + number * 256, 24))
    return PrefixEntry(prefix, VNI, ip_address(vtep), b"\2\0" + router.to_bytes(4))


def test_many_ways_take_no_time() -> None:
    """With each that was released all the others were looked at: of ten thousand, for 3 s."""
    ways = Ways()
    entries = [entry(number, number) for number in range(20_000)]
    began = process_time()

    for one in entries:
        assert len(ways.take(one).put) == 2
    for one in entries:
        assert len(ways.release(one).delete) == 2

    assert process_time() - began < 4.0


VTEPS = ["2001:db8:0:2::11", "2001:db8:0:3::11", "192.0.2.2", "192.0.2.3"]
ENTRIES = some.builds(entry, some.integers(0, 5), some.integers(0, 3), some.sampled_from(VTEPS))


@given(some.lists(some.tuples(some.booleans(), ENTRIES), max_size=30))
def test_a_router_is_known_as_long_as_a_way_leads_to_it(
    happened: list[tuple[bool, PrefixEntry]],
) -> None:
    """The one that said so last, of each next hop."""
    ways = Ways()
    users: dict[tuple[int, IPAddress], set[object]] = {}
    macs: dict[tuple[int, IPAddress], bytes] = {}

    for taken, one in happened:
        place = place_of(one)
        if taken:
            ways.take(one)
            users.setdefault(place, set()).add(one.key)
            macs[place] = one.router_mac
        elif place in users:
            ways.release(one)
            users[place].discard(one.key)
            if not users[place]:
                del users[place], macs[place]

        for router in range(4):
            mac = entry(0, router).router_mac
            assert ways.has_mac(VNI, mac) == (mac in macs.values())
            assert not ways.has_mac(VNI + 1, mac)
        assert all(ways.has_address(*where) for where in users)
