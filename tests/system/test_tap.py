# SPDX-License-Identifier: GPL-2.0-or-later
"""A TAP keeps its MAC address, whatever udev does to it meanwhile."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_gateway.devices import networkd, tap
from hybrid_gateway.devices.capture import DeviceLink, link_named
from hybrid_gateway.lab import namespaces
from hybrid_gateway.rtnl import Rtnl
from tests.lib.gateway import eventually

NAME = "gw-tap0"
OURS, UDEVS = "02:00:00:00:00:01", "02:00:00:00:00:99"


@pytest.fixture
def rtnl(place: Path) -> Iterator[Rtnl]:  # noqa: ARG001 - the namespace
    opened = Rtnl()
    yield opened
    opened.close()


@pytest.fixture
def udev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where one that sees this namespace would have its files."""
    monkeypatch.setattr(networkd, "_is_first", lambda: True)
    monkeypatch.setattr(networkd, "UDEV", tmp_path)
    (tmp_path / "control").touch()
    (tmp_path / "data").mkdir()
    return tmp_path


def found(rtnl: Rtnl) -> DeviceLink:
    one = link_named(rtnl, NAME)
    assert one is not None
    return one


def create() -> None:
    own = Rtnl()
    tap.create(own, NAME, OURS)
    own.close()


def test_udev_is_waited_for_and_has_not_the_last_word(rtnl: Rtnl, udev: Path) -> None:
    made = threading.Thread(target=create)
    made.start()
    eventually(lambda: link_named(rtnl, NAME) is not None, "there is a TAP")
    namespaces.run(["ip", "link", "set", NAME, "address", UDEVS])
    assert made.is_alive(), "udev was not waited for"
    (udev / "data" / f"n{found(rtnl).ifindex}").touch()
    made.join()

    assert found(rtnl).mac == OURS


def test_without_udev_nothing_is_waited_for(
    rtnl: Rtnl, monkeypatch: pytest.MonkeyPatch, udev: Path
) -> None:
    (udev / "control").unlink()
    monkeypatch.setattr(networkd, "_wait", pytest.fail)
    tap.create(rtnl, NAME, OURS)
    assert found(rtnl).mac == OURS
