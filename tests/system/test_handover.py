# SPDX-License-Identifier: GPL-2.0-or-later
"""A port changes hands and comes back: all that was configured on it, compared as a whole."""

import fcntl
import json
import os
import socket
from pathlib import Path

import pytest

from hybrid_gateway.devices import tap
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Plane, Port
from tests.lib.configured import (
    DEVICE,
    assert_same,
    everything,
    flat,
    plain,
    settle,
)

SFP = Port("sfp", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={DEVICE}")
ROUTED = [
    f"link set {DEVICE} mtu 1400",
    f"link set {DEVICE} alias uplink",
    f"link set {DEVICE} txqueuelen 77",
    f"link set {DEVICE} group 5",
    f"link property add dev {DEVICE} altname fibre-with-a-name-of-its-own",
    f"addr add 192.0.2.1/24 brd + dev {DEVICE}",
    f"addr add 192.0.2.2/24 dev {DEVICE} label {DEVICE}:two",
    f"addr add 198.51.100.1 peer 198.51.100.2/32 dev {DEVICE} scope link",
    f"addr add 203.0.113.1/28 dev {DEVICE} noprefixroute metric 50",
    f"addr add 10.7.0.1/24 dev {DEVICE} valid_lft 5000 preferred_lft 4000",
    f"addr add 2001:db8:1::1/64 dev {DEVICE} nodad",
    f"addr add 2001:db8:1::3/64 dev {DEVICE}",
    f"addr add 2001:db8:1::2/64 dev {DEVICE} nodad noprefixroute",
    f"addr add 2001:db8:2::1/128 dev {DEVICE} preferred_lft 0",
    f"route add 10.1.0.0/16 via 192.0.2.254 dev {DEVICE} metric 20 mtu 1300 proto 42",
    f"route add 10.2.0.0/16 via 10.99.0.1 dev {DEVICE} onlink table 100",
    f"route add 10.3.0.0/16 dev {DEVICE} scope link src 192.0.2.2 realm 3",
    f"route add 10.4.0.0/16 nexthop via 192.0.2.3 dev {DEVICE} weight 2 "
    "nexthop via 10.50.0.2 dev o0",
    "route add 10.5.0.0/16 via 10.50.0.2 dev o0 src 192.0.2.1",
    f"route add 10.6.0.0/16 via inet6 fe80::7 dev {DEVICE}",
    "route add unreachable 10.8.0.0/16",
    "route add blackhole 10.9.0.0/16",
    "route add throw 10.11.0.0/16 table 100",
    f"route add default via 192.0.2.254 dev {DEVICE} metric 4000",
    f"route add 2001:db8:100::/48 via fe80::1 dev {DEVICE} metric 30 expires 3000",
    f"route add 2001:db8:101::/48 via 2001:db8:1::9 dev {DEVICE} table 200 pref high",
    f"route add 2001:db8:102::/48 nexthop via fe80::2 dev {DEVICE} nexthop via fe80::3 dev o0",
    "route add 2001:db8:103::/48 via fe80::3 dev o0 src 2001:db8:1::1",
    f"neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 nud permanent dev {DEVICE}",
    f"neigh add 2001:db8:1::9 lladdr 02:00:00:00:00:19 nud permanent dev {DEVICE}",
    f"neigh add proxy 192.0.2.77 dev {DEVICE}",
    f"neigh add proxy 2001:db8:1::77 dev {DEVICE}",
    f"nexthop add id 11 via 192.0.2.5 dev {DEVICE}",
    "nexthop add id 12 via 10.50.0.2 dev o0",
    "nexthop add id 13 group 11,3/12",
    "route add 10.20.0.0/16 nhid 13",
    "route add 10.21.0.0/16 nhid 11",
    "rule add iif " + DEVICE + " table 100",
]
SETTINGS = {
    f"net/ipv4/conf/{DEVICE}/rp_filter": "2",
    f"net/ipv4/conf/{DEVICE}/forwarding": "1",
    f"net/ipv4/conf/{DEVICE}/proxy_arp": "1",
    f"net/ipv4/conf/{DEVICE}/arp_announce": "2",
    f"net/ipv6/conf/{DEVICE}/accept_ra": "0",
    f"net/ipv6/conf/{DEVICE}/forwarding": "1",
    f"net/ipv6/conf/{DEVICE}/dad_transmits": "0",
    f"net/ipv6/conf/{DEVICE}/hop_limit": "55",
    f"net/ipv4/neigh/{DEVICE}/gc_stale_time": "33",
    f"net/ipv6/neigh/{DEVICE}/retrans_time_ms": "700",
}
BRIDGED = [
    f"link set {DEVICE} master br0",
    f"link set {DEVICE} type bridge_slave cost 7 learning off isolated on neigh_suppress on",
    f"addr add 2001:db8:7::1/64 dev {DEVICE} nodad",
    "addr add 192.0.2.1/24 dev br0",
    "nexthop add id 9 via 192.0.2.5 dev br0",
]


def configured(how: str) -> None:
    """One of HOW on sfp0."""
    if how == "routed":
        for path, value in SETTINGS.items():
            Path("/proc/sys", path).write_text(value)
        plain(ROUTED)
        run(["ethtool", "-K", DEVICE, "tx", "off", "gro", "on"])
    elif how == "probed":
        Path("/proc/sys/net/ipv6/conf", DEVICE, "accept_dad").write_text("1")
        plain([f"addr add 2001:db8:1::1/64 dev {DEVICE}"])
    elif how == "bridged":
        plain(BRIDGED)
        run(["bridge", "fdb", "add", "02:00:00:00:00:31", "dev", DEVICE, "master", "static"])
        run(["bridge", "fdb", "add", "02:00:00:00:00:32", "dev", DEVICE, "self"])
    elif how == "down":
        plain([f"link set {DEVICE} down", f"addr add 192.0.2.1/24 dev {DEVICE}"])
    elif how == "promiscuous":
        plain([f"link set {DEVICE} promisc on arp off allmulticast on multicast off"])
    settle()


HOW = ("plain", "routed", "probed", "bridged", "down", "promiscuous")


@pytest.mark.parametrize("how", HOW)
def test_there_and_back(place: Path, how: str) -> None:
    configured(how)
    before = everything()
    handover = Handover(place)

    taken = handover.take(SFP)
    assert taken.eal == f"net_af_packet0,iface={DEVICE}-wire"
    assert (taken.kind, taken.tap, taken.iova_pa) == ("wire", DEVICE, False)
    assert handover.taken() == {"sfp": taken}
    handover.give_back("sfp")
    settle()

    assert_same(before)
    assert not place.exists()
    assert handover.taken() == {}


def test_the_tap_has_what_the_device_had(place: Path) -> None:
    configured("routed")
    before = everything()
    handover = Handover(place)

    handover.take(SFP)
    worker = opened(DEVICE)
    settle()
    after = everything()
    os.close(worker)

    # A TAP is another device, whose offloads are its own; the wire's TC rule is a qdisc's.
    assert after["names"] == sorted([*before["names"], f"{DEVICE}-wire"])
    for part in ("rules", "neighbours", "settings"):
        assert after[part] == before[part], part
    # It has no carrier at first, and so no next hop objects.
    assert without_objects(after["routes"]) == without_objects(before["routes"])
    was, now = before["links"][0], after["links"][0]
    for key in ("address", "mtu", "txqlen", "group", "ifalias", "altnames", "addr_info", "flags"):
        assert flat(now[key]) == flat(was[key]), key
    handover.give_back("sfp")


def test_the_wire_is_silent(place: Path) -> None:
    configured("routed")
    handover = Handover(place)
    handover.take(SFP)
    wire = f"{DEVICE}-wire"
    (link,) = json.loads(run(["ip", "-j", "-d", "addr", "show", "dev", wire]))
    assert link["addr_info"] == []
    assert {"NOARP", "UP"} <= set(link["flags"])
    assert Path(f"/proc/sys/net/ipv6/conf/{wire}/disable_ipv6").read_text() == "1\n"
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300) as sniffer:
        sniffer.bind((wire, 0))
        sniffer.settimeout(5)
        frame = bytes.fromhex("ffffffffffff0200000000aa0800") + bytes(50)
        with (
            namespaces.entered(f"gwhand{os.getpid()}-f"),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as far,
        ):
            far.bind(("far0", 0))
            far.send(frame)
        while sniffer.recv(2048) != frame:
            pass  # far0's own multicast

    dropped = json.loads(run(["tc", "-j", "-s", "qdisc", "show", "dev", wire]))
    assert next(one["drops"] for one in dropped if one["kind"] == "clsact") > 0
    handover.give_back("sfp")


def test_what_changed_meanwhile_stays_changed(place: Path) -> None:
    """The kernel's tools are in charge of the TAP, and their word holds for the device."""
    configured("routed")
    handover = Handover(place)
    handover.take(SFP)
    worker = opened(DEVICE)
    plain(
        [
            f"addr del 192.0.2.1/24 dev {DEVICE}",
            f"addr add 192.0.2.100/24 dev {DEVICE}",
            f"route add 10.30.0.0/16 via 192.0.2.254 dev {DEVICE}",
            f"link set {DEVICE} mtu 1350",
        ]
    )
    Path(f"/proc/sys/net/ipv4/conf/{DEVICE}/rp_filter").write_text("1")
    settle()
    meanwhile = everything()
    os.close(worker)

    handover.give_back("sfp")
    settle()
    after = everything()

    for part in ("rules", "neighbours", "settings"):
        assert after[part] == meanwhile[part], part
    assert without_objects(after["routes"]) == without_objects(meanwhile["routes"])
    assert flat(after["links"][0]["addr_info"]) == flat(meanwhile["links"][0]["addr_info"])
    assert after["links"][0]["mtu"] == 1350


def test_a_tap_that_somebody_removed(place: Path) -> None:
    """Then what the device had before is all that is known of it."""
    configured("routed")
    before = everything()
    handover = Handover(place)
    handover.take(SFP)

    run(["ip", "link", "del", DEVICE])
    handover.give_back("sfp")
    settle()

    assert_same(before)


def test_a_tap_that_is_open(place: Path) -> None:
    """As it is while the worker lives, or hangs."""
    configured("plain")
    before = everything()
    handover = Handover(place)
    handover.take(SFP)
    worker = opened(DEVICE)
    try:
        handover.give_back("sfp")
    finally:
        os.close(worker)
    settle()

    assert_same(before)


def test_taking_twice_and_giving_back_twice(place: Path) -> None:
    configured("routed")
    before = everything()
    first, second = Handover(place), Handover(place)

    taken = first.take(SFP)
    names = everything()["names"]
    assert second.take(SFP) == taken
    assert everything()["names"] == names
    second.give_back("sfp")
    first.give_back("sfp")
    first.give_back("never was one")
    settle()

    assert_same(before)


def test_a_tap_that_went_is_made_again(place: Path) -> None:
    configured("plain")
    before = everything()
    handover = Handover(place)
    taken = handover.take(SFP)
    run(["ip", "link", "del", DEVICE])

    assert handover.take(SFP) == taken
    handover.give_back("sfp")
    settle()

    assert_same(before)


def test_lifetimes_go_on(place: Path) -> None:
    plain([f"addr add 10.7.0.1/24 dev {DEVICE} valid_lft 500 preferred_lft 400"])
    handover = Handover(place)
    handover.take(SFP)
    handover.give_back("sfp")

    (link,) = json.loads(run(["ip", "-j", "-4", "addr", "show", "dev", DEVICE]))
    (address,) = link["addr_info"]
    assert 480 < address["valid_life_time"] <= 500
    assert 380 < address["preferred_life_time"] <= 400


@pytest.mark.parametrize(
    ("vdev", "mac"),
    [
        ("net_null0", None),
        ("net_memif0,role=client,mac=02:00:00:00:00:77", "02:00:00:00:00:77"),
        ("net_pcap0,rx_pcap=/tmp/some.pcap,infinite_rx=1", None),
    ],
)
def test_a_port_that_no_device_is_behind(place: Path, vdev: str, mac: str | None) -> None:
    handover = Handover(place)
    before = everything()

    taken = handover.take(Port("replay", plane=Plane.DPDK, vdev=vdev))
    assert (taken.kind, taken.tap, taken.eal) == ("virtual", "replay", vdev)
    (link,) = json.loads(run(["ip", "-j", "link", "show", "dev", "replay"]))
    assert link["address"] == taken.mac
    assert mac in (None, taken.mac)
    assert int(taken.mac[:2], 16) & 3 == 2
    assert "UP" in link["flags"]
    handover.give_back("replay")

    assert_same(before)


def test_two_ports_with_routes_by_both(place: Path) -> None:
    """One is taken after the other, and the first comes back first."""
    configured("routed")
    for id_ in ("13", "12", "11"):  # a group whose members are never there at once stays as it is
        run(["ip", "nexthop", "del", "id", id_])
    before = everything()
    other = Port("other", plane=Plane.DPDK, vdev="net_af_packet1,iface=o0")
    handover = Handover(place)

    handover.take(SFP)
    handover.take(other)
    assert routed_over("10.4.0.0/16") == {DEVICE, "o0"}
    assert routed_over("2001:db8:102::/48") == {DEVICE, "o0"}
    handover.give_back("sfp")
    handover.give_back("other")
    settle()

    assert_same(before)


@pytest.mark.parametrize(
    ("name", "taken", "wire"),
    [
        ("enp0s31f6d1v0xy", (), "enp0s31f6d-wire"),
        ("enp0s31f6d1v0xy", ("enp0s31f6d-wire",), "enp0s31f6-wire2"),
        ("x0", ("x0-wire", "x0-wire2"), "x0-wire3"),
    ],
)
def test_names_of_wires(place: Path, name: str, taken: tuple[str, ...], wire: str) -> None:
    plain(
        [
            f"link add {name} type veth peer name n1",
            *(f"link add {one} type bridge" for one in taken),
            f"link set {name} up",
        ]
    )
    before = everything()
    handover = Handover(place)

    port = Port("long", plane=Plane.DPDK, vdev=f"net_af_xdp0,iface={name},queue_count=1")
    assert handover.take(port).eal == f"net_af_xdp0,iface={wire},queue_count=1"
    handover.give_back("long")

    assert everything()["names"] == before["names"]


def without_objects(routes: list[str]) -> list[str]:
    """Routes that say themselves where they go."""
    loaded = [json.loads(route) for route in routes]
    return sorted(json.dumps({**route, "nhid": None}, sort_keys=True) for route in loaded)


def routed_over(prefix: str) -> set[str]:
    """Devices of the next hops."""
    family = "-6" if ":" in prefix else "-4"
    (route,) = json.loads(run(["ip", "-j", family, "route", "show", prefix]))
    return {hop["dev"] for hop in route["nexthops"]}


def opened(name: str) -> int:
    """A TAP as the worker has it."""
    handle = os.open(tap.DEVICE, os.O_RDWR)
    request = tap.REQUEST.pack(name.encode(), tap.IFF_TAP | tap.IFF_NO_PI)
    fcntl.ioctl(handle, tap.TUNSETIFF, request)
    return handle
