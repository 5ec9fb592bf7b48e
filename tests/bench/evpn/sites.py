# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sites of one segment, the real agent and gobgpd at each; a station is a source of frames."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

from hybrid_gateway.evpn import daemon
from hybrid_gateway.instance import Instance
from hybrid_gateway.lab.sniff import PacketSocket
from tests.bench.dpdk.worker import make_netns, remove_netns, unique
from tests.bench.gateway import Gateway
from tests.bench.measure import MeasurementError
from tests.bench.path import inside_netns, run

ASN, HOLD_SECONDS = 64512, 9
VNI, DEVICE, BRIDGE, ACCESS, UPLINK = 550, "vni550", "br50", "lan0", "up0"
BROADCAST = b"\xff" * 6
ETHERTYPE = b"\x88\xb5"
"""For experiments (IEEE 802)."""
FRAME = 60
AGEING_S = 3600
POLL_SECONDS = 0.002
CONFIG = """\
version: 1
ports:
  {access}: {{device: {access}, plane: xdp}}
  {uplink}: {{device: {uplink}, plane: xdp}}
vxlan:
  - {{device: {device}, vni: {vni}}}
evpn:
  daemon: gobgp
  asn: {asn}
  router-id: 192.0.2.{number}
  hold-time: {hold}
  neighbors: [{{address: "{peer}"}}]
"""


def vtep(number: int) -> str:
    return f"2001:db8:9::{number}"


def station(number: int) -> bytes:
    return b"\x02\x57" + number.to_bytes(4, "big")


class Fdb:
    """What the kernel says of remote stations as it happens, from when it is made."""

    def __init__(self, netns: str, stack: ExitStack) -> None:
        argv = inside_netns(netns, ["bridge", "monitor", "fdb"])
        # A pipe that is not read holds 64 kB, and thousands of lines are more than that.
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        stack.callback(self._process.wait)
        stack.callback(self._process.kill)

    def lines(self) -> Iterator[str]:
        assert self._process.stdout
        yield from self._process.stdout


class Site:
    """One of two; leaves nothing behind."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.netns = unique(f"site{number}")
        self._instance = Instance(self.netns)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # gobgpd's socket is there, which nobody else removes.
        self._stack.callback(shutil.rmtree, self._instance.run_dir, ignore_errors=True)
        self._stack.callback(remove_netns, self.netns)
        make_netns(self.netns)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def furnish(self) -> None:
        """The bridge, its VXLAN device, and a port whose other end is in the same namespace."""
        self.ip(
            f"link add {ACCESS} type veth peer name host0",
            f"link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0"
            f" ageing_time {AGEING_S * 100}",
            f"link add {DEVICE} type vxlan id {VNI} dstport 4789 local {vtep(self.number)}"
            " nolearning",
            f"link set {DEVICE} master {BRIDGE} mtu 1400",
            f"link set {ACCESS} master {BRIDGE}",
            *(f"link set {device} up" for device in ("host0", ACCESS, DEVICE, BRIDGE)),
        )
        self.bridge(f"link set dev {DEVICE} learning off")

    def start(self, peer: int) -> None:
        self._bgp = daemon.start(
            self._instance.bgp_socket,
            prefix=inside_netns(self.netns, []),
            output=subprocess.DEVNULL,
        )
        self._stack.callback(self._end_bgp)
        config = CONFIG.format(
            access=ACCESS,
            uplink=UPLINK,
            device=DEVICE,
            vni=VNI,
            asn=ASN,
            number=self.number,
            hold=HOLD_SECONDS,
            peer=vtep(peer),
        )
        self.gateway = self._stack.enter_context(Gateway(self.netns, config))
        self._host = PacketSocket(self.netns, "host0")
        self._stack.callback(self._host.close)

    def ip(self, *lines: str) -> None:
        run(["ip", "-n", self.netns, "-batch", "-"], stdin="\n".join(lines))

    def bridge(self, *lines: str) -> None:
        run(["bridge", "-n", self.netns, "-batch", "-"], stdin="\n".join(lines))

    def uplink(self, up: bool) -> None:
        """A link that is taken down loses its IPv6 addresses."""
        if up:
            self.ip(
                f"link set {UPLINK} up",
                f"address replace {vtep(self.number)}/64 dev {UPLINK} nodad",
            )
        else:
            self.ip(f"link set {UPLINK} down")

    def speak(self, stations: range) -> None:
        """A frame from each, to all."""
        for number in stations:
            self._host.send((BROADCAST + station(number) + ETHERTYPE).ljust(FRAME, b"\0"))

    def remote(self) -> int:
        """Stations behind the other site, in the kernel's bridge."""
        listed = run(["bridge", "-n", self.netns, "fdb", "show", "dev", DEVICE])
        return sum(
            " dst " in line and "00:00:00:00:00:00" not in line for line in listed.split("\n")
        )

    def floods(self) -> bool:
        return "00:00:00:00:00:00" in run(
            ["bridge", "-n", self.netns, "fdb", "show", "dev", DEVICE]
        )

    def watch(self, stack: ExitStack) -> Fdb:
        return Fdb(self.netns, stack)

    def freeze(self) -> None:
        """As a box without power: nobody is told anything."""
        for pid in (self._bgp.pid, self.gateway.pid):
            os.kill(pid, signal.SIGSTOP)
            self._stack.callback(_resume, pid)

    def _end_bgp(self) -> None:
        self._bgp.terminate()
        self._bgp.wait()


def _resume(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


class TwoSites:
    """Joined by a cable of IPv6; both daemons have met when it is entered."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        try:
            self.here, self.there = (self._stack.enter_context(Site(n)) for n in (1, 2))
            here, there = self.here, self.there
            here.ip(f"link add {UPLINK} type veth peer name {UPLINK} netns {there.netns}")
            for site in (here, there):
                site.uplink(True)
                site.furnish()
            here.start(there.number)
            there.start(here.number)
            await_until(lambda: here.floods() and there.floods(), 30.0, "the sites do not meet")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def await_until(reached: Callable[[], bool], seconds: float, otherwise: str) -> float:
    """Seconds that it took; MeasurementError when it took too many."""
    began = time.monotonic()
    asked = began
    while not reached():
        now = time.monotonic()
        if now - began > seconds:
            raise MeasurementError(otherwise)
        # Ten thousand entries take a core 30 ms, and the sites run on the same machine.
        time.sleep(max(POLL_SECONDS, now - asked))
        asked = time.monotonic()
    return time.monotonic() - began
