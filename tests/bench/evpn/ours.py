# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker as a VTEP: the bridge, its stations and the VXLAN device are the kernel's."""

import json
import time
from collections.abc import Iterator, Sequence

from hybrid_gateway.worker_client import WorkerOptions
from hybrid_gateway.worker_values import SegmentStatus, WorkerSegment
from tests.bench.dpdk.frames import SENDER_MAC
from tests.bench.dpdk.ours import BUFFERS_BESIDE, IN, OUT, OurWorker
from tests.bench.dpdk.replay import Replay
from tests.bench.dpdk.worker import await_routes
from tests.bench.evpn.cases import MTU, Case
from tests.bench.evpn.frames import VTEPS
from tests.bench.generator import CPU
from tests.bench.measure import MeasurementError
from tests.bench.path import run
from tests.bench.vxlan.path import LOCAL, PORT, REMOTE, STATIONS, UNDERLAYS, VNI, mac

BRIDGE, DEVICE = "br0", "vni550"
TUNNELS = 64
MEMORY_MB = 256
SETTLE_SECONDS = 20.0
POLL_SECONDS = 0.05


class OurTunnels(OurWorker):
    """Counts inner frames, whatever number of outer ones they came or go in."""

    def __init__(self, label: str, replay: Replay, case: Case) -> None:
        options = WorkerOptions(
            cores=(CPU,),
            memory_mb=MEMORY_MB,
            mbufs=replay.frames + BUFFERS_BESIDE,
            tunnels=TUNNELS,
            no_pci=True,
        )
        super().__init__(label, replay, options)
        self._case = case
        self._access, self._underlay = (OUT, IN) if case.inwards else (IN, OUT)

    def furnish(self) -> None:
        underlay = UNDERLAYS[self._case.family]
        nodad = "nodad" if self._case.family == 6 else ""
        self._ip(
            f"link set {self._underlay} mtu {self._case.underlay_mtu}",
            f"link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0",
            f"address add {underlay.local}/{underlay.length} dev {self._underlay} {nodad}",
            f"neighbour add {underlay.next_hop} lladdr {SENDER_MAC}"
            f" dev {self._underlay} nud permanent",
            f"route add {underlay.vteps} via {underlay.next_hop}",
            f"link add {DEVICE} mtu {MTU} type vxlan id {VNI} dstport {PORT}"
            f" local {underlay.local} nolearning",
            *(f"link set {device} master {BRIDGE}" for device in (DEVICE, self._access)),
            f"link set {DEVICE} up",
            f"link set {BRIDGE} up",
        )
        run(["bridge", "-n", self.netns, "-batch", "-"], stdin="\n".join(self._stations()))
        await_routes(self.worker.client, self._case.family, 1)
        self.worker.client.set_segments([self._segment()])

    def forwarded(self) -> int:
        counters = self.worker.counters(IN)
        return counters["VXLAN_DECAP" if self._case.inwards else "VXLAN_ENCAP"]

    def _stations(self) -> Iterator[str]:
        underlay = UNDERLAYS[self._case.family]
        # As with EVPN: who is where is told, and not learned from what arrives.
        yield f"link set dev {DEVICE} learning off"
        for number in range(VTEPS):
            yield f"fdb append 00:00:00:00:00:00 dev {DEVICE} dst {underlay.vtep(number)} self"
        for number in range(STATIONS):
            vtep, station = underlay.vtep(number % VTEPS), mac(REMOTE + number)
            yield f"fdb add {mac(LOCAL + number)} dev {self._access} master static"
            yield f"fdb add {station} dev {DEVICE} dst {vtep} self static"
            yield f"fdb add {station} dev {DEVICE} master static"

    def _segment(self) -> WorkerSegment:
        underlay = UNDERLAYS[self._case.family]
        return WorkerSegment(
            ifindex=self._ifindex(DEVICE),
            bridge=self._ifindex(BRIDGE),
            vni=VNI,
            family=self._case.family,
            port=PORT,
            first_port=49152,
            last_port=65535,
            mtu=MTU,
            ttl=64,
            local=underlay.local,
            arrivals=(underlay.local,),
            fragment=True,
            checksum=self._case.family == 6,
        )

    def settle(self) -> None:
        """A bridge has a part in it once a port of its own is the worker's."""
        super().settle()
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._settled():
            if time.monotonic() > deadline:
                raise MeasurementError(f"the worker's segment: {self._segments()}")
            time.sleep(POLL_SECONDS)

    def _settled(self) -> bool:
        """All stations are known, and nothing is left to the kernel any more."""
        segments, before = self._segments(), self._others()
        if not segments or not segments[0].active or segments[0].stations < STATIONS:
            return False
        time.sleep(POLL_SECONDS)
        return self._others() == before

    def _segments(self) -> Sequence[SegmentStatus]:
        return self.worker.client.status().segments

    def _ip(self, *lines: str) -> None:
        run(["ip", "-n", self.netns, "-batch", "-"], stdin="\n".join(lines))

    def _ifindex(self, device: str) -> int:
        listed = json.loads(run(["ip", "-n", self.netns, "-j", "link", "show", "dev", device]))
        return int(listed[0]["ifindex"])
