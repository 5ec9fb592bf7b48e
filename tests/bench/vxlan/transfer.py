# SPDX-License-Identifier: GPL-2.0-or-later
"""200 MB of TCP in 1500-byte frames over a 1500-byte IPv6 underlay, to the kernel's VXLAN device.

What is sent is cut in two by the gateway and put together by the kernel of the other site.
"""

import hashlib
import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from hybrid_gateway.lab.namespaces import entered
from tests.bench.measure import MeasurementError, Note
from tests.bench.path import inside_netns, run
from tests.bench.vxlan.contenders import plane_for
from tests.bench.vxlan.path import (
    DEVICE,
    LOCAL,
    PORT,
    REMOTE,
    VNI,
    BridgedPath,
    TunnelSetup,
    mac,
    packets,
)

SIZE = 200_000_000
SETUP = TunnelSetup(family=6, size=1514, mtu=1500, stations=1)
NEAR, FAR, LENGTH = "203.0.113.10", "203.0.113.20", 24
BLOCK = 1 << 18
WINDOW = 1 << 17
"""Bytes under way at most: veth queues 256 packets, and each segment becomes two."""
MEMORY = 1 << 23
"""That the receiver may take for them: what came in two pieces takes several times its size."""
STALLED_SECONDS = 10.0
SO_RCVBUFFORCE = 33
TOTAL_RETRANS = 100
"""Where tcpi_total_retrans is in struct tcp_info."""


class TwoSites(BridgedPath):
    """A host behind lan0, and another whose own VXLAN device is the only VTEP."""

    def __init__(self, label: str) -> None:
        super().__init__(label, SETUP)

    def furnish(self) -> None:
        super().furnish()
        near, far, underlay = self.names.generator, self.names.sink, self.setup.underlay
        vtep = underlay.vtep(0)
        tunnel = ["id", str(VNI), "dstport", str(PORT), "local", vtep, "remote", underlay.local]
        end = ["address", mac(REMOTE), "mtu", "1500"]
        for words in (
            ["address", "add", f"{vtep}/128", "dev", "sink0", "nodad"],
            ["link", "add", DEVICE, *end, "type", "vxlan", *tunnel],
            ["address", "add", f"{FAR}/{LENGTH}", "dev", DEVICE],
            ["link", "set", DEVICE, "up"],
            ["neighbour", "add", NEAR, "lladdr", mac(LOCAL), "dev", DEVICE],
        ):
            run(["ip", "-n", far, *words])
        for words in (
            ["link", "set", "gen0", "address", mac(LOCAL)],
            ["address", "add", f"{NEAR}/{LENGTH}", "dev", "gen0"],
            ["neighbour", "add", FAR, "lladdr", mac(REMOTE), "dev", "gen0"],
        ):
            run(["ip", "-n", near, *words])
        for netns, device in ((near, "gen0"), (far, "sink0")):
            # What XDP redirects arrives with GRO only, and it takes single frames with checksums.
            offloads = ["gro", "on", "tso", "off", "gso", "off", "tx", "off"]
            run(inside_netns(netns, ["ethtool", "-K", device, *offloads]))

    def counted(self) -> dict[str, int]:
        """What left the near host, what came to the far one, and what its kernel says of it."""
        nstat = ["nstat", "--json", "--ignore", "--noupdate", "--zeros"]
        answer = json.loads(run(inside_netns(self.names.sink, nstat)))
        counters: dict[str, int] = answer["kernel"]
        _, counters["left"] = packets(self.names.generator, "gen0")
        counters["came"], _ = packets(self.names.sink, DEVICE)
        return counters


@dataclass(frozen=True)
class Transferred:
    seconds: float
    received: int
    equal: bool  # the digests of what was sent and of what came
    retransmitted: int  # segments


def transfer(near: str, far: str, size: int) -> Transferred:
    """From one namespace to the other; MeasurementError when nothing moves any more."""
    with ExitStack() as stack:
        with entered(far):
            listener = stack.enter_context(socket.create_server((FAR, 0)))
        with entered(near):
            sender = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, MEMORY)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, WINDOW)
        sender.settimeout(STALLED_SECONDS)
        sender.connect(listener.getsockname())
        receiver, _ = listener.accept()
        with receiver:
            return _Exchange(sender, receiver, size).run()


class _Exchange:
    """Both ends in one thread: whichever can go on does."""

    def __init__(self, sender: socket.socket, receiver: socket.socket, size: int) -> None:
        self._sender, self._receiver = sender, receiver
        self._left, self._received = size, 0
        self._pending = memoryview(b"")
        self._sent_digest, self._received_digest = hashlib.blake2b(), hashlib.blake2b()
        self._selector = selectors.DefaultSelector()

    def run(self) -> Transferred:
        began = time.monotonic()
        with self._selector as selector:
            for end, event, act in (
                (self._sender, selectors.EVENT_WRITE, self._send),
                (self._receiver, selectors.EVENT_READ, self._receive),
            ):
                end.setblocking(False)
                selector.register(end, event, act)
            while self._receiver in selector.get_map():
                self._go_on(selector)
        info = self._sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANS + 4)
        return Transferred(
            seconds=time.monotonic() - began,
            received=self._received,
            equal=self._sent_digest.digest() == self._received_digest.digest(),
            retransmitted=int.from_bytes(info[TOTAL_RETRANS:], "little"),
        )

    def _go_on(self, selector: selectors.BaseSelector) -> None:
        ready = selector.select(STALLED_SECONDS)
        if not ready:
            raise MeasurementError(f"the transfer stalled after {self._received} bytes")
        for key, _ in ready:
            act: Callable[[], None] = key.data
            act()

    def _send(self) -> None:
        if not self._pending:
            if not self._left:
                self._selector.unregister(self._sender)
                self._sender.shutdown(socket.SHUT_WR)
                return
            block = os.urandom(min(BLOCK, self._left))
            self._left -= len(block)
            self._sent_digest.update(block)
            self._pending = memoryview(block)
        self._pending = self._pending[self._sender.send(self._pending) :]

    def _receive(self) -> None:
        block = self._receiver.recv(BLOCK)
        if not block:
            self._selector.unregister(self._receiver)
        self._received += len(block)
        self._received_digest.update(block)


def check_transfer(note: Note, *, bare: bool = False, size: int = SIZE) -> None:
    """MeasurementError unless all of it arrives, cut on its way, and no packet is lost."""
    with TwoSites("transfer") as path, plane_for(path, bare=bare) as plane:
        path.resolve_next_hop()
        before = path.counted() | plane.counters()
        done = transfer(path.names.generator, path.names.sink, size)
        after = path.counted() | plane.counters()
    moved = {name: n - before.get(name, 0) for name, n in after.items()}
    if complaints := list(_complaints(done, moved, size)):
        raise MeasurementError(f"vxlan.transfer: {', '.join(complaints)}")
    note(
        f"vxlan.transfer: {size / 1e6:.0f} MB in {done.seconds:.1f} s, digests equal; "
        f"{moved['left']:,} frames, {moved['Ip6ReasmOKs']:,} cut and put together, none lost; "
        f"{moved['TcpExtTCPOFOQueue']} were overtaken, {done.retransmitted} segments sent twice"
    )


def _complaints(done: Transferred, moved: dict[str, int], size: int) -> Iterator[str]:
    """Segments that are sent again without a loss were overtaken by others: TCP copes."""
    if done.received != size or not done.equal:
        yield f"{done.received} bytes came, digests {'equal' if done.equal else 'differ'}"
    if moved["left"] != moved["came"]:
        yield f"{moved['came']} of {moved['left']} frames came"
    if moved["Ip6ReasmOKs"] != moved["VXLAN_CUT"] or moved["VXLAN_CUT"] < size // 1500:
        yield f"{moved['VXLAN_CUT']} were cut and {moved['Ip6ReasmOKs']} put together"
    failures = ("Ip6ReasmFails", "Udp6InErrors")
    for name, count in moved.items():
        if count and (name.startswith("DROP_") or name in failures):
            yield f"{name} {count}"
