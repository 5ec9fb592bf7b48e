# SPDX-License-Identifier: GPL-2.0-or-later
"""Killed at any step, by what was written before it everything comes back."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway import sysctl
from hybrid_gateway.devices import record
from hybrid_gateway.devices.ethtool import Ethtool
from hybrid_gateway.devices.handback import hand_back
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.errors import GwError, KernelError
from hybrid_gateway.instance import Instance
from hybrid_gateway.model import Plane, Port
from hybrid_gateway.rtnl import Rtnl
from tests.lib.configured import DEVICE, assert_same, everything, plain, settle

SFP = Port("sfp", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={DEVICE}")
ROOT = Path(__file__).resolve().parents[2]
FEW = [
    f"link set {DEVICE} mtu 1400 master br0",
    f"link property add dev {DEVICE} altname fibre",
    f"addr add 192.0.2.1/24 dev {DEVICE}",
    f"addr add 2001:db8:1::1/64 dev {DEVICE}",
    f"route add 10.1.0.0/16 via 192.0.2.254 dev {DEVICE}",
    f"route add 10.4.0.0/16 nexthop via 192.0.2.3 dev {DEVICE} nexthop via 10.50.0.2 dev o0",
    f"route add 2001:db8:100::/48 via fe80::1 dev {DEVICE}",
    f"neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 nud permanent dev {DEVICE}",
]
STEPS_MAX = 200


class Killed(BaseException):
    """No `except Exception` stops it, as none stops SIGKILL."""


class Faults:
    """Lets so many changes happen; the next does not, and nothing after it.

    Every change that the package makes goes through one of these.
    """

    PLACES: tuple[tuple[Any, str], ...] = (
        (Rtnl, "request_raw"),
        (sysctl, "write"),
        (Ethtool, "switch"),
        (record, "write_atomically"),
        (Path, "unlink"),
        (fcntl, "ioctl"),
    )

    def __init__(self, patch: pytest.MonkeyPatch, allowed: int, error: BaseException) -> None:
        self._left = allowed
        self._error = error
        self.struck = False
        for owner, name in self.PLACES:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._left == 0:
                self.struck = True
                raise self._error
            self._left -= 1
            return function(*arguments, **named)

        return call


@pytest.fixture
def instance(place: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setattr("hybrid_gateway.instance.RUN_DIR", place.parent)
    return Instance("killed")


def configured() -> dict[str, Any]:
    Path("/proc/sys/net/ipv4/conf", DEVICE, "rp_filter").write_text("2")
    plain(FEW)
    settle()
    return everything()


def attempts(instance: Instance, error: BaseException, act: Callable[[Handover], object]) -> int:
    """Interrupts `act` at its first change, then at its second, and so on; until it comes to its
    end. Whatever it leaves is handed back and compared. Returns how many changes it makes."""
    before = configured()
    for allowed in range(STEPS_MAX):
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, allowed, error)
            try:
                act(Handover(instance.taken_file))
            except type(error):
                assert faults.struck
        assert hand_back(instance) == []
        assert hand_back(instance) == []
        settle()
        assert_same(before)
        assert not instance.taken_file.exists()
        if not faults.struck:
            return allowed
    pytest.fail(f"it makes more than {STEPS_MAX} changes")


def test_killed_while_it_takes(instance: Instance) -> None:
    assert attempts(instance, Killed(), lambda handover: handover.take(SFP)) > 20


def test_killed_while_it_gives_back(instance: Instance) -> None:
    handover = Handover(instance.taken_file)
    before = configured()
    for allowed in range(STEPS_MAX):
        handover.take(SFP)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, allowed, Killed())
            try:
                Handover(instance.taken_file).give_back("sfp")
            except Killed:
                assert faults.struck
        assert hand_back(instance) == []
        settle()
        assert_same(before)
        if not faults.struck:
            break
    assert allowed > 15


def test_refused_while_it_takes(instance: Instance) -> None:
    """By the kernel, once: it undoes by itself what it has done."""
    before = configured()
    handover = Handover(instance.taken_file)
    error = KernelError("refused on purpose", 5)
    for allowed in range(STEPS_MAX):
        with pytest.MonkeyPatch.context() as patch:
            faults = Once(patch, allowed, error)
            try:
                handover.take(SFP)
            except GwError:
                assert faults.struck
        if not faults.struck:
            break
        if handover.taken():  # a setting or a route less, which is in the log
            handover.give_back("sfp")
        assert hand_back(instance) == []
        assert everything()["names"] == before["names"]
        assert not instance.taken_file.exists()
    assert allowed > 15
    handover.give_back("sfp")


class Once(Faults):
    """One change is refused, those after it are not; of the kernel's alone."""

    PLACES = ((Rtnl, "request_raw"), (sysctl, "write"), (Ethtool, "switch"))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == -1:
                self.struck = True
                raise self._error
            return function(*arguments, **named)

        return call


@pytest.mark.usefixtures("place")
def test_the_program_after_a_kill() -> None:
    """Both processes are real, and the first one's end is, too."""
    before = configured()
    name = f"killed{os.getpid()}"
    path = Path("/run/gw", name, "taken.json")
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from hybrid_gateway.devices.handover import Handover\n"
        "from hybrid_gateway.model import Plane, Port\n"
        f"Handover(Path({str(path)!r})).take(Port('sfp', plane=Plane.DPDK, vdev={SFP.vdev!r}))\n"
        "print('taken', flush=True)\n"
        "time.sleep(600)\n"
    )
    try:
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"taken\n"
            process.send_signal(signal.SIGKILL)
        assert f"{DEVICE}-wire" in everything()["names"]
        for _ in range(2):
            program = [sys.executable, "-m", "hybrid_gateway.devices.handback", "--instance", name]
            done = subprocess.run(program, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        settle()
        assert_same(before)
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
        if path.parent.exists():
            path.parent.rmdir()
