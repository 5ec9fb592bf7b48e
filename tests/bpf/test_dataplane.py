# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading over what is pinned, attaching beside what is not ours, and leaving nothing behind."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address

import pytest
from _gw_native import lib

from hybrid_gateway import abi
from hybrid_gateway.bpf import DEV_PORT, DataPlane, DeviceRecord, LoadReport, MapSizes
from hybrid_gateway.bpf.attach import TC_HANDLE, TC_PRIORITY, query
from hybrid_gateway.errors import GwError, RefusedError
from hybrid_gateway.instance import Instance
from hybrid_gateway.model import VniEntry
from tests.lib.packets import LAN, SERVER, WAN, udp

from .fixtures import CAPACITY
from .plane import Plane, object_dir
from .site import PORTS, Site

SIZES = MapSizes(64)
LOADED: list[DataPlane] = []
"""By the test that runs: each holds some seventy file descriptors."""


@pytest.fixture
def entered(site: Site) -> Iterator[Site]:
    with site.entered():
        yield site


@pytest.fixture
def instance(entered: Site) -> Iterator[Instance]:
    """A name of one test's own, and nothing of that name afterwards."""
    name = Instance(f"{entered.name}y")
    yield name
    while LOADED:
        LOADED.pop().close()
    DataPlane(name.name, object_dir()).remove()
    assert not name.pin_dir.exists()


def _load(instance: Instance, sizes: MapSizes = SIZES) -> tuple[DataPlane, LoadReport]:
    """What a starting agent does."""
    dataplane = DataPlane(instance.name, object_dir())
    LOADED.append(dataplane)
    dataplane.verify()
    return dataplane, dataplane.load(sizes)


class TestLoading:
    """Whether sessions live on, and the reason when they do not."""

    def test_for_the_first_time(self, instance: Instance) -> None:
        _, report = _load(instance)

        assert report == LoadReport(False, "nothing was loaded before")

    def test_again(self, instance: Instance) -> None:
        first, _ = _load(instance)
        first.set_addresses([IPv4Address(WAN.ip)])
        first.close()
        second, report = _load(instance)

        assert report == LoadReport(True, "")
        assert len(second.table("gw_addresses").every_key()) == 1

    def test_with_another_size(self, instance: Instance) -> None:
        _load(instance)
        second, report = _load(instance, MapSizes(128))

        assert not report.reused
        assert report.reason == "room for sessions: 64 before, 128 now"
        assert _load(instance)[1].reused  # until the new maps are in force
        second, _ = _load(instance, MapSizes(128))
        second.commit()
        assert _load(instance, MapSizes(128))[1].reused

    def test_of_another_abi(self, instance: Instance) -> None:
        first, _ = _load(instance)
        first.table("gw_settings").set(0, abi.new("gw_settings", abi_version=abi.VERSION + 1))
        first.close()
        _, report = _load(instance)

        assert not report.reused
        assert f"ABI version {abi.VERSION + 1}" in report.reason

    def test_with_a_map_missing(self, instance: Instance) -> None:
        _load(instance)
        (instance.pinned_maps / "gw_hosts").unlink()
        _, report = _load(instance)

        assert not report.reused
        assert "gw_hosts" in report.reason

    def test_is_asked_for(self, instance: Instance) -> None:
        with pytest.raises(GwError, match="not loaded"):
            DataPlane(instance.name, object_dir()).session_count()

    def test_a_restarted_agent_finds_the_sessions(self, plane: Plane) -> None:
        port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet["UDP"].sport
        again = DataPlane(plane.instance.name, object_dir())

        assert again.load(MapSizes(CAPACITY, pool=2)).reused
        assert [session.outside[1] for session in again.sessions(0, 10)[0]] == [port]
        assert again.session_count() == 1
        again.close()
        assert plane.wan(udp(SERVER, WAN.ip, 53, port)).counted == {"FORWARD": 1}


class TestAttaching:
    """Links and filters on devices."""

    def test_the_mode_is_told(self, plane: Plane) -> None:
        assert plane.dataplane.attached() == dict.fromkeys(map(plane.site.ifindex, PORTS), "native")

    def test_again_keeps_the_link(self, plane: Plane) -> None:
        ifindex = plane.site.ifindex("lan0")

        assert plane.dataplane.attach(ifindex, "lan0", False) == "native"
        assert len(plane.dataplane.attached()) == len(PORTS)

    def test_a_foreign_program_is_left_alone(
        self, plane: Plane, entered: Site, instance: Instance
    ) -> None:
        theirs, _ = _load(instance)
        ours = plane.dataplane
        free, taken = entered.ifindex("mgmt0"), entered.ifindex("lan0")
        program = query(taken)

        with pytest.raises(RefusedError, match="gw_xdp") as caught:
            theirs.attach(taken, "lan0", False)
        assert caught.value.code == "bpf.foreign-program"
        assert "lan0" in str(caught.value)
        assert query(taken) == program
        assert theirs.attach(free, "mgmt0", False) == "native"
        with pytest.raises(RefusedError):
            ours.attach(free, "mgmt0", False)

    def test_detaching_leaves_nothing(self, entered: Site, instance: Instance) -> None:
        dataplane, _ = _load(instance)
        ifindex = entered.ifindex("mgmt0")
        dataplane.attach(ifindex, "mgmt0", True)
        assert query(ifindex)[1] == "native"

        dataplane.detach(ifindex, "mgmt0")
        assert query(ifindex)[0] == 0
        assert dataplane.attached() == {}
        assert lib.gw_tc_prepare(ifindex) == 1, "clsact was left behind"
        lib.gw_tc_remove(ifindex)
        dataplane.detach(ifindex, "mgmt0")

    def test_the_owner_s_clsact_stays(self, entered: Site, instance: Instance) -> None:
        dataplane, _ = _load(instance)
        ifindex = entered.ifindex("mgmt0")
        assert lib.gw_tc_prepare(ifindex) == 1
        dataplane.attach(ifindex, "mgmt0", True)
        dataplane.detach(ifindex, "mgmt0")

        assert lib.gw_tc_prepare(ifindex) == 0, "clsact was not ours to take away"
        lib.gw_tc_remove(ifindex)

    def test_a_filter_counts_that_runs_our_program(self, entered: Site, instance: Instance) -> None:
        dataplane, _ = _load(instance)
        ifindex = entered.ifindex("mgmt0")

        def filters() -> tuple[bool, bool]:
            ingress = dataplane.with_filter([ifindex], egress=False)
            return bool(ingress), bool(dataplane.with_filter([ifindex], egress=True))

        assert filters() == (False, False)
        dataplane.attach(ifindex, "mgmt0", True)
        assert filters() == (True, True)
        other = dataplane._program("gw_handover")
        assert lib.gw_tc_attach(ifindex, True, other, TC_HANDLE, TC_PRIORITY) == 0
        assert filters() == (True, False)
        lib.gw_tc_remove(ifindex)
        assert filters() == (False, False)
        dataplane.attach(ifindex, "mgmt0", True)
        assert filters() == (True, True)

    def test_a_program_on_a_vxlan_device(self, entered: Site, instance: Instance) -> None:
        """Nothing but a mark tells a later agent that it is ours: there is no link."""
        dataplane, _ = _load(instance)
        ifindex = entered.ifindex("mgmt0")
        dataplane.attach_tunnel(ifindex, "mgmt0")
        assert dataplane.tunnels() == dataplane.tunnels(current=False) == {ifindex}
        assert dataplane.attached() == {}
        dataplane.close()

        later = DataPlane(instance.name, object_dir())
        assert later.tunnels(current=False) == {ifindex}
        assert later.tunnels() == frozenset()
        later.load(SIZES)
        assert later.tunnels() == frozenset()
        later.attach_tunnel(ifindex, "mgmt0")
        assert later.tunnels() == {ifindex}
        later.detach(ifindex, "mgmt0")
        assert later.tunnels(current=False) == frozenset()
        assert lib.gw_tc_prepare(ifindex) == 1, "clsact was left behind"
        lib.gw_tc_remove(ifindex)
        later.remove()
        assert not instance.pin_dir.exists()

    def test_new_maps_take_vxlan_devices_along(self, entered: Site, instance: Instance) -> None:
        dataplane, _ = _load(instance)
        ifindex = entered.ifindex("mgmt0")
        dataplane.attach_tunnel(ifindex, "mgmt0")
        tunnels = dataplane.table("gw_tunnels").id()
        dataplane.load(MapSizes(SIZES.sessions * 2))
        assert dataplane.tunnels() == frozenset()
        dataplane.carry()
        assert dataplane.tunnels() == {ifindex}
        assert dataplane.table("gw_tunnels").id() == tunnels
        dataplane.rollback()
        assert dataplane.tunnels() == {ifindex}
        dataplane.remove()

    def test_removing_leaves_nothing(self, entered: Site, instance: Instance) -> None:
        dataplane, _ = _load(instance)
        dataplane.attach(entered.ifindex("mgmt0"), "mgmt0", False)
        dataplane.close()

        DataPlane(instance.name, object_dir()).remove()
        assert query(entered.ifindex("mgmt0"))[0] == 0
        assert not instance.pin_dir.exists()


def test_the_device_table_is_replaced_whole(plane: Plane) -> None:
    row = plane.row("lan1")
    assert row
    plane.dataplane.set_devices([r for r in plane.site.records() if r.name != "lan0"])

    assert plane.row("lan0") == 0
    assert plane.row("lan1") == row
    assert plane.site.ifindex("lan0") not in plane.dataplane.counters()


def test_two_devices_of_one_slot_are_refused(plane: Plane) -> None:
    mac = bytes(6)
    twins = [DeviceRecord(n, DEV_PORT, n, mac, "twin") for n in (5000, 5000 + lib.GW_DEVICES_MAX)]

    with pytest.raises(GwError, match="slot"):
        plane.dataplane.set_devices(twins)


PLACES = [(ip_address("192.0.2.1"), 4789), (ip_address("2001:db8::1"), 4789)]


def _vnis(plane: Plane) -> dict[tuple[int, int, bytes], tuple[int, int]]:
    table = plane.dataplane.table("gw_vnis")
    found = {}
    for key in table.every_key():
        value = table.get(key)
        assert value
        assert key.port == socket.htons(4789)
        place = bytes(key.local.bytes)
        found[key.vni, key.family, place] = (value.ifindex, value.flags)
    return found


def test_the_table_of_vnis(plane: Plane) -> None:
    """Each address and port that has any also says that it has no others."""
    entries = [
        VniEntry(100, 4789, PLACES[0][0], 7, 9, learns=True),
        VniEntry(200, 4789, PLACES[0][0], 8, kernel=True),
        VniEntry(100, 4789, PLACES[1][0], 6, 9, any_source=True),
    ]
    assert plane.dataplane.set_vnis(entries) == []
    four, six = (place.packed.ljust(16, b"\0") for place, _ in PLACES)
    assert _vnis(plane) == {
        (100, 4, four): (7, lib.GW_VNI_LEARNS),
        (200, 4, four): (8, lib.GW_VNI_KERNEL),
        (lib.GW_VNI_OTHER, 4, four): (0, 0),
        (100, 6, six): (6, lib.GW_VNI_ANY_SOURCE),
        (lib.GW_VNI_OTHER, 6, six): (0, 0),
    }
    assert plane.dataplane.set_vnis(entries[2:]) == []
    assert set(_vnis(plane)) == {(100, 6, six), (lib.GW_VNI_OTHER, 6, six)}
    plane.dataplane.set_vnis([])
    assert _vnis(plane) == {}


def test_an_address_with_too_many_vnis_is_the_kernels(plane: Plane) -> None:
    """A part of them would have XDP drop the others."""
    many = [VniEntry(vni, 4789, PLACES[0][0], 7) for vni in range(1, lib.GW_VNIS_MAX + 1)]
    assert plane.dataplane.set_vnis([*many, VniEntry(1, 4789, PLACES[1][0], 8)]) == [PLACES[0]]
    assert {family for _, family, _ in _vnis(plane)} == {6}
    plane.dataplane.set_vnis([])
