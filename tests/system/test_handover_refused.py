# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports that cannot be taken, or should not; and records that are none."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from hybrid_gateway.devices import drivers
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.errors import DeviceError, RefusedError
from hybrid_gateway.instance import RUN_DIR
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Plane, Port
from tests.lib.configured import DEVICE, assert_same, everything, plain, settle

SFP = Port("sfp", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={DEVICE}")
PEER = ip_address("192.0.2.50")


def port(device: str = "", pci: str | None = None, vdev: str | None = None) -> Port:
    return Port("sfp", device, Plane.DPDK, pci=pci, vdev=vdev)


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ({"device": "nosuch0"}, "device.absent", "there is no device nosuch0"),
        ({"device": DEVICE}, "device.not-pci", f"{DEVICE} is no PCI device"),
        ({"pci": "0000:99:1f.7"}, "device.absent", "there is no PCI device 0000:99:1f.7"),
        ({"pci": "4.0"}, "device.address", "'4.0' is no PCI address"),
        ({"vdev": "net_af_packet0,iface=nosuch0"}, "device.absent", "there is no device nosuch0"),
        ({"vdev": "net_af_packet0,iface=lo"}, "device.kind", "lo is no port"),
        ({"vdev": "net_af_packet0,iface=br0"}, "device.kind", "of kind bridge"),
        ({"vdev": "net_af_xdp0,iface=tap7"}, "device.kind", "tap7 is no port"),
        ({"vdev": "net_af_packet0,iface=o0"}, "device.upper", "vxlan7 is on top of o0"),
    ],
)
def test_what_cannot_be_taken(place: Path, where: dict[str, str], code: str, said: str) -> None:
    plain(["tuntap add tap7 mode tap", "link add vxlan7 type vxlan id 7 dev o0 dstport 4789"])
    before = everything()
    handover = Handover(place)

    for attempt in (handover.check, handover.take):
        with pytest.raises(DeviceError, match=said) as caught:
            attempt(port(**where))
        assert caught.value.code == code
    assert_same(before)
    assert not place.exists()


def test_a_name_that_is_taken(place: Path) -> None:
    with pytest.raises(DeviceError, match="its TAP would be called o0") as caught:
        Handover(place).take(Port("o0", plane=Plane.DPDK, vdev="net_null0"))
    assert caught.value.code == "device.name"


@pytest.mark.skipif(not drivers.drivers(), reason="without DPDK nothing is known of its drivers")
def test_a_driver_that_is_not_there(place: Path) -> None:
    with pytest.raises(DeviceError, match="package would be librte-net-nosuch") as caught:
        Handover(place).check(port(vdev="net_nosuch0,iface=sfp0"))
    assert caught.value.code == "device.driver"


def test_a_device_that_another_port_has(place: Path) -> None:
    handover = Handover(place)
    handover.take(SFP)
    for name in (DEVICE, f"{DEVICE}-wire"):
        with pytest.raises(DeviceError, match=f"{name} is port sfp's"):
            handover.check(Port("two", plane=Plane.DPDK, vdev=f"net_af_packet1,iface={name}"))
    handover.check(SFP)
    handover.check(port(vdev=f"net_af_xdp0,iface={DEVICE}"))
    assert handover.take(port(vdev=f"net_af_xdp0,iface={DEVICE}")).eal.startswith("net_af_xdp0")
    handover.give_back("sfp")


def test_the_port_of_an_ssh_session(place: Path) -> None:
    plain([f"addr add 192.0.2.1/24 dev {DEVICE}", "addr add 192.0.2.1/32 dev lo"])
    handover = Handover(place)

    handover.check(SFP)
    handover.check(SFP, sessions=[ip_address("10.50.0.9"), ip_address("192.0.2.1")])
    with pytest.raises(RefusedError, match=f"session from {PEER} comes by {DEVICE}") as caught:
        handover.check(SFP, sessions=[PEER])
    assert caught.value.code == "device.session"
    handover.check(SFP, sessions=[PEER], force=True)


def test_an_ssh_session_from_a_link_local_address(place: Path) -> None:
    """To which a route alone says nothing: each device has one."""
    peer = ip_address("fe80::50")
    handover = Handover(place)
    for device, refused in (("o0", False), (DEVICE, True)):
        run(["ip", "neigh", "add", str(peer), "lladdr", "02:00:00:00:00:50", "dev", device])
        if refused:
            with pytest.raises(RefusedError, match=f"session from {peer} comes by {DEVICE}"):
                handover.check(SFP, sessions=[peer])
        else:
            handover.check(SFP, sessions=[peer])
        run(["ip", "neigh", "del", str(peer), "dev", device])


def test_an_ssh_session_over_a_bridge(place: Path) -> None:
    """Whose port is known is let go; where nobody knows, it might be this one."""
    plain(
        [
            f"link set {DEVICE} master br0",
            "link set o0 master br0",
            "addr add 192.0.2.1/24 dev br0",
            f"neigh add {PEER} lladdr 02:00:00:00:00:50 dev br0",
        ]
    )
    handover = Handover(place)

    with pytest.raises(RefusedError):
        handover.check(SFP, sessions=[PEER])
    run(["bridge", "fdb", "add", "02:00:00:00:00:50", "dev", "o0", "master", "static"])
    handover.check(SFP, sessions=[PEER])
    run(["bridge", "fdb", "replace", "02:00:00:00:00:50", "dev", DEVICE, "master", "static"])
    with pytest.raises(RefusedError):
        handover.check(SFP, sessions=[PEER])


@pytest.fixture
def _ssh_server(place: Path) -> Iterator[None]:  # noqa: ARG001 - the namespace
    """A connection to port 22, over the device that is to be taken."""
    plain([f"addr add 192.0.2.1/24 dev {DEVICE}"])
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("192.0.2.1", 22)))
        with namespaces.entered(f"gwhand{os.getpid()}-f"):
            run(["ip", "addr", "add", f"{PEER}/24", "dev", "far0"])
            client = stack.enter_context(socket.create_connection(("192.0.2.1", 22), timeout=10))
        assert client
        stack.enter_context(listener.accept()[0])
        yield


@pytest.mark.usefixtures("_ssh_server")
def test_sessions_that_nobody_named(place: Path) -> None:
    with pytest.raises(RefusedError, match=f"session from {PEER}"):
        Handover(place).check(SFP)


@pytest.mark.parametrize("family", ["4", "6"])
def test_the_last_default_route(place: Path, family: str) -> None:
    gateways = {"4": ("192.0.2.254", "10.50.0.254"), "6": ("fe80::254", "fe80::254")}[family]
    plain([f"addr add 192.0.2.1/24 dev {DEVICE}"])
    run(["ip", f"-{family}", "route", "add", "default", "via", gateways[0], "dev", DEVICE])
    handover = Handover(place)

    with pytest.raises(RefusedError, match=f"last default route of IPv{family} leaves") as caught:
        handover.check(SFP)
    assert caught.value.code == "device.last-default"
    handover.check(SFP, force=True)
    another = ["default", "via", gateways[1], "dev", "o0", "metric", "5000"]
    run(["ip", f"-{family}", "route", "add", *another])
    handover.check(SFP)


def test_the_last_default_routes(place: Path) -> None:
    """By two ports, of which neither has the last one: both would go, now or one by one."""
    plain(
        [
            f"addr add 192.0.2.1/24 dev {DEVICE}",
            f"route add default via 192.0.2.254 dev {DEVICE}",
            "route add default via 10.50.0.254 dev o0 metric 5000",
        ]
    )
    handover = Handover(place)
    other = Port("other", plane=Plane.DPDK, vdev="net_af_packet1,iface=o0")
    absent = Port("absent", "nosuch0", Plane.DPDK)

    handover.check(SFP, beside=[SFP, absent])
    for one in (SFP, other):
        with pytest.raises(RefusedError, match="last default route of IPv4 leaves by") as caught:
            handover.check(one, beside=[SFP, other])
        assert caught.value.code == "device.last-default"
        handover.check(one, beside=[SFP, other], force=True)
    handover.take(SFP)
    with pytest.raises(RefusedError, match="leaves by o0, or by other ports of the worker"):
        handover.check(other)
    plain(["route add default via 10.50.0.253 dev br0 onlink metric 6000"])
    handover.check(other)
    handover.give_back("sfp")


def damaged(record: bytes) -> dict[str, bytes]:
    place = record.replace(b'"sysctls": {', b'"sysctls": {"net/ipv4/../../kernel/panic": "1", ')
    return {
        "empty": b"",
        "cut short": record[: len(record) // 2],
        "zeros": bytes(len(record)),
        "another format": b"[]",
        "another version": record.replace(b'"version": 1', b'"version": 2'),
        "deep": b"[" * 100_000,
        "no field": record.replace(b'"wire"', b'"wired"'),
        "a path": record.replace(b'"tap": "sfp0"', b'"tap": "../sfp0"'),
        "a setting elsewhere": place,
        "binary": os.urandom(2000),
        "no message": record.replace(b'"addresses": [', b'"addresses": ["zz", '),
        "a short message": record.replace(b'"routes": [', b'"routes": [7, '),
    }


@pytest.mark.usefixtures("place")
def test_a_record_that_is_none() -> None:
    """Is named, touched by nobody, and what there is to see of taken ports is said."""
    plain([f"addr add 192.0.2.1/24 dev {DEVICE}"])
    settle()
    before = everything()
    instance = f"damaged{os.getpid()}"
    path = RUN_DIR / instance / "taken.json"
    program = [sys.executable, "-m", "hybrid_gateway.devices.handback", "--instance", instance]
    handover = Handover(path)
    handover.take(SFP)
    sound = path.read_bytes()
    taken = everything()
    try:
        for what, data in damaged(sound).items():
            assert data != sound, what
            path.write_bytes(data)
            for attempt in (handover.taken, handover.recorded, lambda: handover.take(SFP)):
                with pytest.raises(DeviceError, match="not a record") as caught:
                    attempt()
                assert caught.value.code == "device.record", what
            assert path.read_bytes() == data
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"{path}: not a record" in done.stderr
        assert f"{DEVICE}-wire is {DEVICE}" in done.stderr
        assert f"{DEVICE} is a TAP" in done.stderr
        assert_same(taken)
        path.write_bytes(sound)
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        settle()
        assert_same(before)
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def test_a_record_of_another_namespace(place: Path) -> None:
    handover = Handover(place)
    handover.take(SFP)
    with namespaces.entered(f"gwhand{os.getpid()}-f"):
        assert Handover(place).taken() == {}
    assert list(Handover(place).taken()) == ["sfp"]
    handover.give_back("sfp")
