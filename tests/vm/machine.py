# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts a guest and gives it orders."""

from __future__ import annotations

import base64
import json
import os
import select
import shlex
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType

from tests.vm.image import CHECKOUT, Image

# Limits for what hangs: a host that is busy or slow takes several times as long as usual.
BOOT_SECONDS = 480
ORDER_SECONDS = 180
CONSOLE_LINES = 40


class GuestError(Exception):
    """The guest did not answer in time, stopped, or an order failed."""


@dataclass(frozen=True)
class Result:
    """What an order did; `code` 124 means that its time was up."""

    code: int
    stdout: str
    stderr: str


# XDP on virtio takes one more transmit queue for each CPU: with fewer queues the driver shares
# them behind a lock. 2 CPUs: 2 pairs for the stack, 2 for XDP, and 2 vectors for each pair
# besides those of configuration and control.
CPUS = 2
QUEUES = 2 * CPUS
VECTORS = 2 * QUEUES + 2


class Model(Enum):
    """What a NIC is, as QEMU's -device has it."""

    XDP = f"virtio-net-pci,mq=on,vectors={VECTORS}"
    """Its driver addresses memory as the kernel does: the IOMMU does not concern it."""
    VIRTIO = "virtio-net-pci,disable-legacy=on,iommu_platform=on"
    E1000E = "e1000e"


class Bus(Enum):
    """Where a NIC is plugged in; the name that the guest gives it begins so."""

    MAPPED = "enp0s"
    """Behind the IOMMU."""
    BARE = "enp65s"
    """Of a second host bridge, which the IOMMU does not cover, as if the box had none. One port."""


@dataclass(frozen=True)
class Nic:
    """A NIC of the guest: `tap` is the host's end, `slot` the number of the device on its bus."""

    tap: str
    slot: int
    mac: str
    model: Model = Model.XDP
    bus: Bus = Bus.MAPPED

    @property
    def device(self) -> str:
        """The netdev in the guest."""
        return f"{self.bus.value}{self.slot}"

    @property
    def pci(self) -> str:
        """The PCI address in the guest."""
        return f"0000:{BUS_NUMBERS[self.bus]:02x}:{self.slot:02x}.0"


BUS_NUMBERS = {Bus.MAPPED: 0, Bus.BARE: 0x41}


class Guest:
    """A running guest. With `systemd` the whole system runs, else the command server alone."""

    def __init__(self, image: Image, *, systemd: bool = False, nics: tuple[Nic, ...] = ()) -> None:
        self._stack = ExitStack()
        self._pending = b""
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            self._start(image, systemd, nics)
            self.release = str(self._answer(BOOT_SECONDS)["release"])
            undo.pop_all()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it at once; its disk was a snapshot."""
        self._stack.close()

    def run(self, *argv: str, seconds: float = ORDER_SECONDS) -> Result:
        """Run a command, whatever it exits with."""
        return self.shell(shlex.join(argv), seconds=seconds)

    def shell(self, script: str, seconds: float = ORDER_SECONDS) -> Result:
        """Run a shell script, whatever it exits with."""
        answer = self._order({"shell": script, "seconds": seconds}, seconds)
        return Result(int(str(answer["code"])), str(answer["stdout"]), str(answer["stderr"]))

    def check(self, *argv: str, seconds: float = ORDER_SECONDS) -> str:
        """Run a command that has to succeed, and return what it printed."""
        result = self.run(*argv, seconds=seconds)
        if result.code:
            raise GuestError(
                f"{shlex.join(argv)}: exit {result.code}\n{result.stdout}{result.stderr}"
            )
        return result.stdout

    def write(self, path: str, content: bytes) -> None:
        """Write a file in the guest, with its folders."""
        encoded = base64.b64encode(content).decode()
        self._order({"path": path, "content": encoded}, ORDER_SECONDS)

    def reboot(self) -> None:
        """Shut the system down and start it again; of what was written, disks keep theirs."""
        self._order({"shell": "systemctl --no-block reboot", "seconds": ORDER_SECONDS}, 0)
        self._pending = b""
        self.release = str(self._answer(2 * BOOT_SECONDS)["release"])

    def console(self) -> str:
        """The last lines of the serial console."""
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-CONSOLE_LINES:])

    def _start(self, image: Image, systemd: bool, nics: tuple[Nic, ...]) -> None:
        place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-vm-")))
        self._console = place / "console"
        # We listen and QEMU connects, so there is nothing to wait for before the guest speaks.
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(place / "orders"))
        listener.listen(1)
        command = _qemu(image, place, systemd, nics)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._stack.callback(self._stop)
        ended = os.pidfd_open(self._process.pid)
        self._stack.callback(os.close, ended)
        calling = listener.fileno()
        if calling not in select.select([calling, ended], [], [], BOOT_SECONDS)[0]:
            raise GuestError(f"QEMU does not start: {shlex.join(command)}")
        self._socket, _ = listener.accept()
        self._stack.callback(self._socket.close)

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _order(self, order: dict[str, object], seconds: float) -> dict[str, object]:
        # The guest keeps the time of the command; ours only notices that the guest is stuck.
        self._socket.settimeout(ORDER_SECONDS)
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        return self._answer(seconds + ORDER_SECONDS)

    def _answer(self, seconds: float) -> dict[str, object]:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestError(f"no answer in {seconds} s\n{self.console()}")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                raise GuestError(f"the guest has stopped\n{self.console()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, object] = json.loads(line)
        return answer


def _qemu(image: Image, place: Path, systemd: bool, nics: tuple[Nic, ...]) -> list[str]:
    init = "" if systemd else "init=/usr/local/sbin/gw-vm-boot"
    # On a busy host too few of the ticks come that the kernel counts at first, and it panics.
    append = "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check "
    append += f"intel_iommu=on iommu=pt {init}"
    # Without systemd nobody asks for a reboot, and a panic is the end.
    reboots = "" if systemd else "-no-reboot"
    share = f"local,path={CHECKOUT},mount_tag=checkout,security_model=none,readonly=on"
    # No guest outlives the process that started it, however that one ends.
    command = f"""setpriv --pdeathsig KILL
        qemu-system-x86_64 -nodefaults -display none {reboots}
        -accel tcg,thread=multi -cpu max -machine q35,kernel-irqchip=split -smp {CPUS} -m 2048
        -device intel-iommu,intremap=on,caching-mode=on
        -kernel {image.kernel} -initrd {image.initrd} -append '{append}'
        -drive if=none,id=root,format=raw,snapshot=on,file={image.disk}
        -device virtio-blk-pci,drive=root
        -serial file:{place}/console
        -device virtio-serial-pci -chardev socket,id=orders,path={place}/orders
        -device virtserialport,chardev=orders,name=gw
        -virtfs {share},multidevs=remap -device virtio-rng-pci"""
    if any(nic.bus is Bus.BARE for nic in nics):
        # Last, for what says nothing about its bus is plugged into the latest one.
        command += f"""
        -device pxb-pcie,id=host,bus_nr={BUS_NUMBERS[Bus.BARE] - 1},bypass_iommu=on
        -device pcie-root-port,id=bare,bus=host,chassis=1"""
    for number, nic in enumerate(nics):
        queues = f",queues={QUEUES}" if nic.model is Model.XDP else ""
        bus = "pcie.0" if nic.bus is Bus.MAPPED else "bare"
        command += f"""
        -netdev tap,id=n{number},ifname={nic.tap}{queues},script=no,downscript=no
        -device {nic.model.value},netdev=n{number},mac={nic.mac}"""
        command += f",bus={bus},addr={nic.slot:#x},romfile="
    return shlex.split(command)
