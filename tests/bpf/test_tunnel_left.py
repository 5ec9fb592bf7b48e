# SPDX-License-Identifier: GPL-2.0-or-later
"""What gw_tunnel leaves to the kernel's VXLAN device."""

from _gw_native import lib
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from .tunnelling import BROADCAST, FITS, LONG, Tunnelling
from .underlay import inner_frame

FRAME = inner_frame(LONG)
FLOODED = inner_frame(LONG, dst=BROADCAST)


def test_it_is_not_left_alone(tunnelling: Tunnelling) -> None:
    """Or the tests below would say nothing."""
    assert not tunnelling.alone(FRAME)
    assert not tunnelling.alone(FLOODED)
    assert not tunnelling.alone(FRAME, received_on="")


def test_what_fits(tunnelling: Tunnelling) -> None:
    for size in (60, 500, 600, FITS[tunnelling.family]):
        assert tunnelling.alone(FRAME[:size])
    assert not tunnelling.alone(FRAME[: FITS[tunnelling.family] + 1])


def test_what_may_not_be_cut(tunnelling: Tunnelling) -> None:
    kept = lib.GW_TUNNEL_IPV6 if tunnelling.family == 6 else 0
    tunnelling.tunnel(flags=kept)
    assert tunnelling.alone(FRAME)
    assert tunnelling.alone(FLOODED)
    tunnelling.tunnel(flags=kept | lib.GW_TUNNEL_FRAGMENT | lib.GW_TUNNEL_DF)
    assert tunnelling.alone(FRAME) == (tunnelling.family == 4)


def test_df_that_is_inherited(tunnelling: Tunnelling) -> None:
    kept = lib.GW_TUNNEL_IPV6 if tunnelling.family == 6 else 0
    tunnelling.tunnel(flags=kept | lib.GW_TUNNEL_FRAGMENT | lib.GW_TUNNEL_DF_INHERIT)
    unwilling = Ether(FRAME)
    unwilling[IP].flags = "DF"
    assert tunnelling.alone(bytes(unwilling)) == (tunnelling.family == 4)
    assert not tunnelling.alone(FRAME)


def test_unfinished_frames(tunnelling: Tunnelling) -> None:
    """GSO, and what another bridge port sent: its checksum may be the device's to do."""
    assert tunnelling.alone(FRAME, gso=1400)
    assert tunnelling.alone(FRAME, received_on="br0")


def test_what_came_off_a_wire_of_the_worker_s(tunnelling: Tunnelling) -> None:
    """Its TAP carries no program of ours, and what comes by it is finished."""
    tunnelling.underlay.set_device("lan0", 0, l3="br0")
    assert tunnelling.alone(FRAME)
    tunnelling.underlay.set_device("lan0", lib.GW_DEV_WORKER, l3="br0")
    assert not tunnelling.alone(FRAME)
    assert tunnelling.alone(FRAME, gso=1400)


def test_what_the_tables_do_not_say(tunnelling: Tunnelling) -> None:
    tunnelling.station(tunnelling.device, 0)
    assert tunnelling.alone(FRAME)
    tunnelling.station("lan0", 1)
    assert tunnelling.alone(FRAME)
    tunnelling.station(tunnelling.device, lib.GW_TUNNELS_MAX + 1)
    assert tunnelling.alone(FRAME)
    tunnelling.flood(1, count=lib.GW_FLOOD_TUNNELS + 1)
    assert tunnelling.alone(FLOODED)
    tunnelling.flood(count=0)
    assert tunnelling.alone(FLOODED)
    tunnelling.flood(1, 0)
    assert tunnelling.alone(FLOODED)


def test_a_tunnel_of_another_device(tunnelling: Tunnelling) -> None:
    tunnelling.tunnel(ifindex=tunnelling.underlay.ifindex["lan0"])
    assert tunnelling.alone(FRAME)
    tunnelling.tunnel(ifindex=0)
    assert tunnelling.alone(FRAME)


def test_no_next_hop(tunnelling: Tunnelling) -> None:
    for remote in ("203.0.113.77", "192.0.2.77"):
        if tunnelling.family == 6:
            remote = "2001:db8:1::77" if remote.startswith("192") else "2001:db8:77::1"
        tunnelling.tunnel(**tunnelling.underlay.remote(remote))
        assert tunnelling.alone(FRAME)
        assert tunnelling.alone(FLOODED)


def test_a_device_that_is_not_ours(tunnelling: Tunnelling) -> None:
    tunnelling.underlay.set_device(tunnelling.device, 0, l3="br0")
    assert tunnelling.alone(FRAME)


def test_it_is_too_long(tunnelling: Tunnelling) -> None:
    assert tunnelling.alone(inner_frame(3700))
    assert not tunnelling.alone(inner_frame(3400))
