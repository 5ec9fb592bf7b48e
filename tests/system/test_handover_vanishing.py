# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's device goes at any moment, while it is taken or given back."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway import sysctl
from hybrid_gateway.devices.ethtool import Ethtool
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.errors import GwError
from hybrid_gateway.lab.namespaces import LabError, run
from hybrid_gateway.model import Plane, Port
from hybrid_gateway.rtnl import Rtnl
from tests.lib.configured import plain

NAME = "usb0"
USB = Port("usb", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={NAME}")
REQUESTS: tuple[tuple[Any, str], ...] = (
    (Rtnl, "request_raw"),
    (Rtnl, "dump_body"),
    (Ethtool, "_ioctl"),
    (sysctl, "write"),
)
REQUESTS_MAX = 200


class Unplugged:
    """So many requests reach the kernel before the device goes, by whatever name it has."""

    def __init__(self, patch: pytest.MonkeyPatch, requests: int) -> None:
        self.left = requests
        for owner, name in REQUESTS:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real: Any) -> Any:
        def called(*given: Any, **named: Any) -> Any:
            if self.left == 0:
                unplug()
            self.left -= 1
            return real(*given, **named)

        return called

    @property
    def happened(self) -> bool:
        return self.left < 0


def unplug() -> None:
    """With its other end all that is left of it goes."""
    with suppress(LabError):
        run(["ip", "link", "delete", "usb1"])


@pytest.mark.parametrize("step", ["take", "give_back"])
def test_at_any_moment(place: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An error that says so, or none; and nothing of the port is left."""
    for requests in range(REQUESTS_MAX):
        plain([f"link add {NAME} type veth peer name usb1", f"addr add 192.0.2.77/24 dev {NAME}"])
        handover = Handover(place)
        if step == "give_back":
            handover.take(USB)
        with monkeypatch.context() as patch, suppress(GwError):
            unplugged = Unplugged(patch, requests)
            handover.take(USB) if step == "take" else handover.give_back(USB.name)
        handover.give_back(USB.name)
        assert handover.recorded() == (), f"after {requests} requests"
        unplug()
        assert NAME not in run(["ip", "-o", "link"]), f"after {requests} requests"
        if not unplugged.happened:
            return
    raise AssertionError("it never comes to an end")
