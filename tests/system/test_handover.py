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
    configured,
    everything,
    flat,
    plain,
    settle,
)

SFP = Port("sfp", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={DEVICE}")
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
