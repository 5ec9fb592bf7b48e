# SPDX-License-Identifier: GPL-2.0-or-later
"""A PCI function changes hands in a made-up /sys: what goes wrong on the way is not forgotten."""

import json
import shutil
from pathlib import Path

import pytest

from hybrid_gateway.devices import drivers
from hybrid_gateway.devices.handback import hand_back
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.devices.pci import Pci
from hybrid_gateway.errors import DeviceError
from hybrid_gateway.instance import Instance
from hybrid_gateway.model import Plane, Port
from tests.lib.configured import assert_same, everything
from tests.lib.sysfs import Sysfs

pytestmark = pytest.mark.skipif(
    not drivers.drivers(), reason="without DPDK nothing is known of its drivers"
)
ADDRESS = "0000:04:00.0"
SFP = Port("sfp", plane=Plane.DPDK, pci=ADDRESS)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    """With vfio-pci, igb, and a function of igb's behind an IOMMU that has no netdev."""
    made = Sysfs(tmp_path / "sys")
    made.behave(monkeypatch)
    made.driver("vfio-pci")
    made.function(ADDRESS, driver="igb", group="7")
    return made


def stage(record: Path) -> str:
    (entry,) = json.loads(record.read_bytes())["ports"]
    return str(entry["stage"])


def test_a_driver_that_does_not_take_it_back(place: Path, sysfs: Sysfs) -> None:
    """It is tried again as often as somebody asks, until the driver is there."""
    before, names = Pci(sysfs.root).device(ADDRESS), everything()
    handover = Handover(place, sysfs.root)
    assert handover.take(SFP).eal == ADDRESS
    igb = sysfs.bus / "drivers" / "igb"
    shutil.rmtree(igb)

    for attempt in (handover.give_back, handover.give_back, lambda _: handover.take(SFP)):
        with pytest.raises(DeviceError, match=r"igb did not take .* \(modprobe igb\)") as caught:
            attempt("sfp")
        assert caught.value.code == "device.bind"
        assert stage(place) == "returning"
        assert handover.recorded() == ("sfp",)
        assert handover.taken() == {}
    sysfs.driver("igb")
    handover.give_back("sfp")

    assert Pci(sysfs.root).device(ADDRESS) == before
    assert_same(names)
    assert not place.exists()


def test_the_program_says_it_and_keeps_it(
    place: Path, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid_gateway.instance.RUN_DIR", place.parent)
    monkeypatch.setattr(Handover.__init__, "__defaults__", (sysfs.root,))
    instance = Instance("returning")
    Handover(instance.taken_file).take(SFP)
    shutil.rmtree(sysfs.bus / "drivers" / "igb")

    (problem,) = hand_back(instance)
    assert problem.startswith(f"port sfp: igb did not take {ADDRESS}")
    assert stage(instance.taken_file) == "returning"
    sysfs.driver("igb")
    assert hand_back(instance) == []
    assert not instance.taken_file.exists()


def test_one_that_was_pulled_is_forgotten(place: Path, sysfs: Sysfs) -> None:
    before = everything()
    handover = Handover(place, sysfs.root)
    handover.take(SFP)
    shutil.rmtree(sysfs.bus / "devices" / ADDRESS)

    handover.give_back("sfp")

    assert_same(before)
    assert not place.exists()


def test_one_that_nothing_drove(place: Path, sysfs: Sysfs) -> None:
    """Neither before nor after."""
    shutil.rmtree(sysfs.bus / "devices" / ADDRESS)
    sysfs.function(ADDRESS, group="8")
    before, names = Pci(sysfs.root).device(ADDRESS), everything()
    handover = Handover(place, sysfs.root)

    handover.check(SFP)
    handover.take(SFP)
    assert Pci(sysfs.root).device(ADDRESS).driver == "vfio-pci"
    handover.give_back("sfp")

    assert Pci(sysfs.root).device(ADDRESS) == before
    assert_same(names)
    assert not place.exists()


def test_one_that_vanishes_before_it_is_taken(place: Path, sysfs: Sysfs) -> None:
    before = everything()
    handover = Handover(place, sysfs.root)
    handover.check(SFP)
    shutil.rmtree(sysfs.bus / "devices" / ADDRESS)

    with pytest.raises(DeviceError, match=f"there is no PCI device {ADDRESS}") as caught:
        handover.take(SFP)

    assert caught.value.code == "device.absent"
    assert_same(before)
    assert not place.exists()


def test_one_that_vanishes_while_it_is_taken(
    place: Path, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = Pci.bind

    def pulled(self: Pci, address: str, driver: str) -> None:
        shutil.rmtree(sysfs.bus / "devices" / ADDRESS)
        bind(self, address, driver)

    before = everything()
    monkeypatch.setattr(Pci, "bind", pulled)
    with pytest.raises(DeviceError, match=f"PCI device {ADDRESS} is gone") as caught:
        Handover(place, sysfs.root).take(SFP)

    assert caught.value.code == "device.absent"
    assert_same(before)
    assert not place.exists()


def test_one_that_neither_driver_takes(
    place: Path, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both reasons are said, and what is left is in the record."""
    before, names = Pci(sysfs.root).device(ADDRESS), everything()
    handover = Handover(place, sysfs.root)
    monkeypatch.setattr(Sysfs, "_probe", lambda *_: None)

    with pytest.raises(
        DeviceError,
        match=r"^vfio-pci did .*; and it could not be given back: igb did not .*: no driver has",
    ):
        handover.take(SFP)
    assert stage(place) == "returning"
    monkeypatch.undo()
    sysfs.behave(monkeypatch)
    handover.give_back("sfp")

    assert Pci(sysfs.root).device(ADDRESS) == before
    assert_same(names)
    assert not place.exists()


def test_two_ports_of_one_function(place: Path, sysfs: Sysfs) -> None:
    """They come and go together, so that neither can be taken; and nobody gets another's."""
    handover = Handover(place, sysfs.root)
    handover.take(SFP)
    other = Port("other", plane=Plane.DPDK, pci="04:00.0")
    for attempt in (handover.check, handover.take):
        with pytest.raises(DeviceError, match=f"{ADDRESS} is port sfp's") as caught:
            attempt(other)
        assert caught.value.code == "device.taken"
    handover.give_back("sfp")
    before = everything()

    device = sysfs.bus / "devices" / ADDRESS
    for name in ("enp4s0", "enp4s0d1"):
        (device / "net" / name).mkdir(parents=True)
    for attempt in (handover.check, handover.take):
        with pytest.raises(DeviceError, match=r"several devices \(enp4s0, enp4s0d1\)") as caught:
            attempt(SFP)
        assert caught.value.code == "device.several"
    (device / "net" / "enp4s0d1").rmdir()
    for attempt in (handover.check, handover.take):
        with pytest.raises(DeviceError, match="is enp4s0 in another network namespace") as caught:
            attempt(SFP)
        assert caught.value.code == "device.elsewhere"
    assert_same(before)
    assert not place.exists()


def test_what_there_is_to_see(place: Path, sysfs: Sysfs) -> None:
    """Also without a record, with the way back."""
    handover = Handover(place, sysfs.root)
    handover.take(SFP)
    place.unlink()

    tap, function = handover.leftovers()

    assert tap == "sfp is a TAP; to remove it: ip link del sfp"
    device = sysfs.bus / "devices" / ADDRESS
    assert function == (
        f"{ADDRESS} has the driver vfio-pci; to have the kernel's back: echo > "
        f"{device}/driver_override; echo {ADDRESS} > {device}/driver/unbind; "
        f"echo {ADDRESS} > {sysfs.bus}/drivers_probe"
    )
