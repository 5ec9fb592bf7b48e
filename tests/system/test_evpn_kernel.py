# SPDX-License-Identifier: GPL-2.0-or-later
"""What EVPN writes into the kernel, by what the kernel's own tools show of it."""

import errno
import json
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from hybrid_gateway.evpn.entries import (
    Binding,
    EntryRefused,
    FloodEntry,
    KernelEntry,
    PrefixEntry,
    RemoteMac,
)
from hybrid_gateway.model import Segment
from tests.system.evpn_site import (
    FAR,
    OTHER,
    ROUTED,
    VNI,
    VNI6,
    Follower,
    Site,
    eventually,
    mac,
)

STATION = "02:00:00:00:00:99"
ROUTER, ROUTER2 = "02:00:00:00:0a:01", "02:00:00:00:0a:02"
ROUTER_LL = "fe80::ff:fe00:a01"
"""Link-local, of that MAC address."""
REMOTE = RemoteMac(VNI, mac(STATION), FAR[4])
HOST, HOST6 = ip_address("10.55.0.9"), ip_address("2001:db8:55::9")
BINDING = Binding(VNI, HOST, mac(STATION))
PREFIX = PrefixEntry(ip_network("10.77.0.0/16"), ROUTED, FAR[4], mac(ROUTER))


@pytest.fixture
def site(stack: ExitStack) -> Site:
    return Site(stack)


@pytest.fixture
def follower(site: Site, stack: ExitStack, tmp_path: Path) -> Follower:
    opened = Follower(stack, tmp_path / "floods")
    opened.follow(site.segments())
    return opened


def both(device: str, bridge: str, vtep: str) -> list[dict[str, object]]:
    """A remote station as `bridge fdb` shows what zebra writes."""
    assert device
    return [
        {"mac": STATION, "flags": ["extern_learn"], "master": bridge, "state": ""},
        {"mac": STATION, "dst": vtep, "flags": ["self", "extern_learn"], "state": ""},
    ]


# ---- stations behind VTEPs --------------------------------------------------------------


def test_a_remote_station_is_in_both_fdbs(site: Site, follower: Follower) -> None:
    far6 = RemoteMac(VNI6, mac(STATION), FAR[6])
    assert follower.kernel.put([REMOTE, far6]) == []
    assert site.macs("vx550", STATION) == both("vx550", "br550", "192.0.2.2")
    assert site.macs("vx660", STATION) == both("vx660", "br660", "2001:db8:0:2::11")

    assert follower.kernel.delete([REMOTE, far6]) == []
    assert not site.macs("vx550", STATION)
    assert not site.macs("vx660", STATION)
    # What is not there is no error.
    assert follower.kernel.delete([REMOTE]) == []


def test_a_station_moves_to_another_vtep(site: Site, follower: Follower) -> None:
    follower.kernel.put([REMOTE])
    assert follower.kernel.put([RemoteMac(VNI, REMOTE.mac, OTHER[4])]) == []
    assert site.macs("vx550", STATION) == both("vx550", "br550", "192.0.2.3")


def test_a_sticky_station_does_not_move_here(site: Site, follower: Follower) -> None:
    follower.kernel.put([RemoteMac(VNI, REMOTE.mac, FAR[4], sticky=True)])
    bridge, device = site.macs("vx550", STATION)
    assert (bridge["flags"], bridge["state"]) == (["extern_learn", "sticky"], "static")
    assert (device["flags"], device["state"]) == (["self", "extern_learn"], "")

    # The same one, free to move.
    assert follower.kernel.put([REMOTE]) == []
    assert site.macs("vx550", STATION) == both("vx550", "br550", "192.0.2.2")
    assert follower.refused == []


def test_a_single_vxlan_device_knows_its_vnis(site: Site, follower: Follower) -> None:
    site.ip(
        "link add brx type bridge",
        "link add vxx type vxlan external dstport 4790 nolearning local 192.0.2.1",
        "link set vxx master brx addrgenmode none",
        "link set vxx up",
        "link set brx up",
    )
    index = {row["ifname"]: row["ifindex"] for row in json.loads(site.run("ip", "-j", "link"))}
    segment = Segment(index["vxx"], "vxx", 77, index["brx"], "brx", 4790, 4, external=True)
    follower.follow([segment])
    entries: set[KernelEntry] = {RemoteMac(77, mac(STATION), FAR[4]), FloodEntry(77, FAR[4])}

    assert follower.kernel.put(entries) == []
    [own] = [row for row in site.macs("vxx", STATION) if "dst" in row]
    assert (own["src_vni"], own["vni"], own["dst"]) == (77, 77, "192.0.2.2")
    assert "192.0.2.2" in site.floods("vxx")
    site.bridge(f"fdb del {STATION} dev vxx self src_vni 77")
    follower.until(lambda: len(site.macs("vxx", STATION)) == 2, "it is back")
    assert follower.kernel.delete(entries) == []
    assert site.macs("vxx", STATION) == []
    assert site.floods("vxx") == set()


# ---- flood lists ------------------------------------------------------------------------


def test_a_flood_list_is_a_set(site: Site, follower: Follower) -> None:
    far, other = FloodEntry(VNI6, FAR[6]), FloodEntry(VNI6, OTHER[6])
    assert follower.kernel.put([far, other, far]) == []
    assert site.floods("vx660") == {str(FAR[6]), str(OTHER[6])}
    assert follower.kernel.delete([far]) == []
    assert site.floods("vx660") == {str(OTHER[6])}


def test_what_the_owner_floods_to_stays(site: Site, follower: Follower) -> None:
    """Also after a restart, when the kernel cannot tell one from the other."""
    site.bridge(f"fdb append 00:00:00:00:00:00 dev vx550 dst {FAR[4]}")
    entries = [FloodEntry(VNI, FAR[4]), FloodEntry(VNI, OTHER[4])]
    follower.until(lambda: len(follower.kernel.floods) == 1, "it was heard of")
    assert follower.kernel.put(entries) == []
    assert site.floods("vx550") == {str(FAR[4]), str(OTHER[4])}
    follower.kernel.delete(entries)
    assert site.floods("vx550") == {str(FAR[4])}


def test_floods_are_written_without_a_record(
    site: Site, stack: ExitStack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk keeps nobody from forwarding."""
    follower = Follower(stack, tmp_path / "missing" / "floods")
    follower.follow(site.segments())
    assert follower.kernel.put([FloodEntry(VNI, FAR[4])]) == []
    assert site.floods("vx550") == {str(FAR[4])}
    assert "No such file" in caplog.text
    follower.kernel.delete([FloodEntry(VNI, FAR[4])])
    assert site.floods("vx550") == set()


# ---- the owner's ------------------------------------------------------------------------


def test_the_bridges_own_address_cannot_be_taken(site: Site, follower: Follower) -> None:
    [link] = json.loads(site.run("ip", "-j", "link", "show", "br550"))
    entries: list[KernelEntry] = [
        RemoteMac(VNI, mac(link["address"]), FAR[4]),
        Binding(VNI, ip_address("10.55.0.1"), mac(STATION)),
    ]
    before = site.fdb("vx550"), site.neighbours("br550")
    assert follower.kernel.put(entries) == [EntryRefused(e, errno.EEXIST) for e in entries]
    assert (site.fdb("vx550"), site.neighbours("br550")) == before
    follower.kernel.delete(entries)
    assert (site.fdb("vx550"), site.neighbours("br550")) == before


def test_a_binding_makes_way_for_the_bridges_new_address(site: Site, follower: Follower) -> None:
    follower.kernel.put([BINDING])
    assert len(site.neighbours("br550")) == 1
    site.ip(f"addr add {HOST}/24 dev br550")
    follower.until(lambda: not site.neighbours("br550"), "it is gone")
    site.ip(f"addr del {HOST}/24 dev br550")
    follower.until(lambda: site.neighbours("br550"), "it is back")
    assert follower.refused == []


def test_what_the_owner_made_to_stay_is_left_alone(site: Site, follower: Follower) -> None:
    site.bridge(
        f"fdb add {STATION} dev vx550 dst {OTHER[4]} self",
        f"fdb add {ROUTER} dev p0 master static",
    )
    site.ip(f"neigh add {HOST} lladdr {ROUTER} dev br550 nud permanent")
    before = site.fdb("vx550"), site.fdb("p0"), site.neighbours("br550")
    entries: list[KernelEntry] = [REMOTE, RemoteMac(VNI, mac(ROUTER), FAR[4]), BINDING]
    follower.until(lambda: follower.facts(), "they were heard of")
    follower.kernel.read()

    assert follower.kernel.put(entries) == [EntryRefused(e, errno.EEXIST) for e in entries]
    follower.kernel.delete(entries)
    assert (site.fdb("vx550"), site.fdb("p0"), site.neighbours("br550")) == before


def test_entries_come_once_the_owner_makes_way(site: Site, follower: Follower) -> None:
    site.bridge(f"fdb add {STATION} dev vx550 dst {OTHER[4]} self")
    follower.kernel.read()
    assert [one.errno for one in follower.kernel.put([REMOTE])] == [errno.EEXIST]
    site.bridge(f"fdb del {STATION} dev vx550 self")
    wanted = both("vx550", "br550", "192.0.2.2")
    follower.until(lambda: site.macs("vx550", STATION) == wanted, "it is there")


# ---- bindings and prefixes --------------------------------------------------------------


def test_bindings_are_neighbours_that_stay(site: Site, follower: Follower) -> None:
    router = Binding(VNI, HOST6, mac(ROUTER), router=True)
    assert follower.kernel.put([BINDING, router]) == []
    rest = {"extern_learn": None, "state": ["NOARP"], "protocol": "179"}
    assert site.neighbours("br550") == [
        {"dst": str(HOST), "lladdr": STATION, **rest},
        {"dst": str(HOST6), "lladdr": ROUTER, "router": None, **rest},
    ]
    assert follower.kernel.delete([BINDING, router]) == []
    assert site.neighbours("br550") == []


def test_prefixes_share_the_way_to_their_router(site: Site, follower: Follower) -> None:
    second = PrefixEntry(ip_network("2001:db8:77::/48"), ROUTED, FAR[4], mac(ROUTER))
    assert follower.kernel.put([PREFIX, second]) == []
    rest = {"type": "unicast", "dev": "br5000", "protocol": "179", "scope": "global"}
    more = {"metric": 2000, "flags": ["onlink"]}
    assert site.routes() == [
        {"dst": "10.77.0.0/16", "gateway": "192.0.2.2", **rest, **more},
        {
            "dst": "2001:db8:77::/48",
            "gateway": ROUTER_LL,
            "pref": "medium",
            **rest,
            "metric": 2000,
            "flags": [],
        },
    ]
    assert {row["dst"] for row in site.neighbours("br5000")} == {"192.0.2.2", ROUTER_LL}
    assert len(site.macs("vx5000", ROUTER)) == 2

    follower.kernel.delete([PREFIX])
    assert [row["dst"] for row in site.routes()] == ["2001:db8:77::/48"]
    assert [row["dst"] for row in site.neighbours("br5000")] == [ROUTER_LL]
    assert len(site.macs("vx5000", ROUTER)) == 2
    follower.kernel.delete([second])
    assert (site.routes(), site.neighbours("br5000")) == ([], [])
    assert not site.macs("vx5000", ROUTER)


def test_a_prefix_of_ipv4_goes_over_ipv6(site: Site, follower: Follower) -> None:
    entry = PrefixEntry(ip_network("10.78.0.0/16"), VNI6, FAR[6], mac(ROUTER))
    assert follower.kernel.put([entry]) == []
    [route] = site.routes()
    assert route["via"] == {"family": "inet6", "host": ROUTER_LL}
    [neighbour] = site.neighbours("br660")
    assert (neighbour["dst"], neighbour["lladdr"]) == (ROUTER_LL, ROUTER)


def test_a_router_gets_another_mac_address(site: Site, follower: Follower) -> None:
    prefix6 = ip_network("2001:db8:77::/48")
    follower.kernel.put([PREFIX, PrefixEntry(prefix6, ROUTED, FAR[4], mac(ROUTER))])
    entries = [PrefixEntry(one, ROUTED, FAR[4], mac(ROUTER2)) for one in (PREFIX.prefix, prefix6)]
    assert follower.kernel.put(entries) == []
    assert {row["lladdr"] for row in site.neighbours("br5000")} == {ROUTER2}
    assert len(site.neighbours("br5000")) == 2
    assert not site.macs("vx5000", ROUTER)
    assert len(site.macs("vx5000", ROUTER2)) == 2


def test_a_router_moves_with_its_mac_address(site: Site, follower: Follower) -> None:
    prefix6 = ip_network("2001:db8:77::/48")
    follower.kernel.put([PrefixEntry(prefix6, ROUTED, FAR[4], mac(ROUTER))])
    assert follower.kernel.put([PrefixEntry(prefix6, ROUTED, OTHER[4], mac(ROUTER))]) == []
    assert [row["dst"] for row in site.macs("vx5000", ROUTER) if "dst" in row] == [str(OTHER[4])]
    assert len(site.neighbours("br5000")) == 1


def test_a_prefix_moves_to_another_router(site: Site, follower: Follower) -> None:
    follower.kernel.put([PREFIX])
    follower.kernel.put([PrefixEntry(PREFIX.prefix, ROUTED, OTHER[4], mac(ROUTER2))])
    assert [row["gateway"] for row in site.routes()] == [str(OTHER[4])]
    assert [row["dst"] for row in site.neighbours("br5000")] == [str(OTHER[4])]
    assert not site.macs("vx5000", ROUTER)


def test_a_table_of_its_own(site: Site, follower: Follower) -> None:
    entry = PrefixEntry(PREFIX.prefix, ROUTED, FAR[4], mac(ROUTER), table=1077)
    follower.kernel.put([entry])
    assert (site.routes(), len(site.routes("1077"))) == ([], 1)
    follower.kernel.delete([entry])
    assert site.routes("1077") == []


def test_the_owners_route_is_not_replaced(site: Site, follower: Follower) -> None:
    site.ip("route add 10.77.0.0/16 via 10.55.0.77")
    follower.kernel.put([PREFIX])
    assert len(site.routes()) == 1
    assert "via 10.55.0.77" in site.run("ip", "route", "get", "10.77.1.1")
    follower.kernel.delete([PREFIX])
    assert "via 10.55.0.77" in site.run("ip", "route", "get", "10.77.1.1")


# ---- what cannot be ---------------------------------------------------------------------


def test_each_refusal_is_named(site: Site, follower: Follower) -> None:
    wrong: list[KernelEntry] = [
        RemoteMac(VNI, mac("01:00:00:00:00:01"), FAR[4]),
        RemoteMac(VNI, mac(ROUTER), FAR[6]),
        FloodEntry(999, FAR[4]),
        PrefixEntry(ip_network("10.79.0.0/16"), ROUTED, ip_address("192.0.2.1"), mac(ROUTER)),
    ]
    refused = follower.kernel.put([wrong[0], REMOTE, *wrong[1:]])
    assert {one.entry: one.errno for one in refused} == {
        wrong[0]: errno.EINVAL,
        wrong[1]: errno.EAFNOSUPPORT,
        wrong[2]: errno.ENODEV,
        wrong[3]: errno.EINVAL,
    }
    # Nothing of them stays behind, and the others are there.
    assert site.macs("vx550", STATION) == both("vx550", "br550", "192.0.2.2")
    assert not site.macs("vx550", ROUTER)
    assert not site.macs("vx550", "01:00:00:00:00:01")
    follower.kernel.delete(wrong)
    assert not site.macs("vx5000", ROUTER)


def test_entries_wait_for_their_segment(site: Site, follower: Follower) -> None:
    follower.follow(site.segments(ROUTED))
    assert [one.errno for one in follower.kernel.put([REMOTE, BINDING])] == [errno.ENODEV] * 2
    follower.follow(site.segments())
    eventually(lambda: site.macs("vx550", STATION), "it is there")
    assert site.macs("vx550", STATION) == both("vx550", "br550", "192.0.2.2")
    assert len(site.neighbours("br550")) == 1
    # And go with it.
    follower.follow(site.segments(ROUTED))
    assert not site.macs("vx550", STATION)
    assert site.neighbours("br550") == []
