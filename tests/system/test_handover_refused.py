# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports that cannot be taken; and records that are none."""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_gateway.devices import capture, drivers
from hybrid_gateway.devices.capture import DeviceLink
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.devices.record import Record
from hybrid_gateway.errors import DeviceError, GwError
from hybrid_gateway.instance import RUN_DIR
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Plane, Port
from hybrid_gateway.rtnl import Rtnl
from tests.lib.configured import DEVICE, assert_same, everything, plain, settle

SFP = Port("sfp", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={DEVICE}")


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


@pytest.mark.parametrize("kind", ["bond", "team"])
def test_a_part_of_something_else(place: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Not every kernel has these kinds: what netlink says of a part is made up."""

    def parts(rtnl: Rtnl) -> dict[int, DeviceLink]:
        every = capture.links(rtnl)
        (master,) = (one.ifindex for one in every.values() if one.name == "o0")
        return {
            index: replace(one, master=master, port_kind=kind) if one.name == DEVICE else one
            for index, one in every.items()
        }

    before = everything()
    monkeypatch.setattr("hybrid_gateway.devices.prepare.links", parts)
    for attempt in (Handover(place).check, Handover(place).take):
        with pytest.raises(DeviceError, match=rf"{DEVICE} is part of o0 \({kind}\)") as caught:
            attempt(SFP)
        assert caught.value.code == "device.master"
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
        assert f"{DEVICE}-wire is {DEVICE}; " in done.stderr
        assert f"{DEVICE} is a TAP; " in done.stderr
        assert_same(taken)
        path.write_bytes(sound)
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        settle()
        assert_same(before)
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def test_the_way_back_by_hand(place: Path) -> None:
    """The commands that are said do it; addresses and features are for others to configure."""
    before = everything()
    handover = Handover(place)
    handover.take(SFP)
    place.write_bytes(b"")

    for line in handover.leftovers():
        subprocess.run(["sh", "-ec", line.partition(": ")[2]], check=True)

    after = everything()
    assert handover.leftovers() == ()
    assert after["names"] == before["names"]
    for key in ("address", "flags", "ifalias", "linkinfo"):
        assert after["links"][0].get(key) == before["links"][0].get(key), key
    assert not run(["tc", "qdisc", "show", "dev", DEVICE, "clsact"])
    assert Path(f"/proc/sys/net/ipv6/conf/{DEVICE}/disable_ipv6").read_text() == "0\n"


def test_a_record_of_another_namespace(place: Path) -> None:
    handover = Handover(place)
    handover.take(SFP)
    with namespaces.entered(f"gwhand{os.getpid()}-f"):
        assert Handover(place).taken() == {}
    assert list(Handover(place).taken()) == ["sfp"]
    handover.give_back("sfp")


def test_nobody_else_can_hold_the_record(place: Path) -> None:
    """Whoever may open a file may lock it, and everybody may open the folder."""
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        with Record(place).locked():
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (lock,) = place.parent.iterdir()
            assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert not list(place.parent.iterdir())
    finally:
        os.close(folder)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """What is in the folder stays, and nothing more goes in."""
    fill = folder / "fill"
    with fill.open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        fill.unlink()


def test_a_full_disk(place: Path) -> None:
    """What cannot be noted is not done; what was is there to be given back when there is room."""
    small = place.parent / "small"
    small.mkdir()
    before = everything()
    with ExitStack() as stack:
        run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)])
        stack.callback(run, ["umount", str(small)])
        handover = Handover(small / "taken.json")
        with full(small), pytest.raises(GwError, match=r"taken\.json cannot be written: No space"):
            handover.take(SFP)
        assert_same(before)
        assert not list(small.iterdir())

        handover.take(SFP)
        taken = everything()
        with full(small), pytest.raises(GwError, match="No space left"):
            handover.give_back("sfp")
        assert_same(taken)
        handover.give_back("sfp")
        settle()
        assert_same(before)
