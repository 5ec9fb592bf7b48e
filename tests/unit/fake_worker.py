# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker and its devices that are only told of: each call that changes something is noted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

from hybrid_gateway.devices.handover import Handover, Taken
from hybrid_gateway.devices.hugepages import Hugepages
from hybrid_gateway.errors import DeviceError, GwError, NoSuchDeviceError, WorkerAbsentError
from hybrid_gateway.model import Polling, Port
from hybrid_gateway.worker_client import (
    WorkerClient,
    WorkerOptions,
    WorkerPort,
    WorkerStatus,
)
from hybrid_gateway.worker_values import PortStatus, SegmentStatus, WorkerSegment
from hybrid_gateway.worker_view import WorkerView

PHYSICAL = "0000:00:01.0"
"""The one device without an IOMMU."""


def port_status(port: WorkerPort, figure: int = 0) -> PortStatus:
    """What a worker says of such a port, each of whose counters stands at `figure`."""
    numbers = dict.fromkeys(
        (
            *("rx_packets", "rx_bytes", "rx_missed", "rx_errors", "rx_no_buffer"),
            *("tx_packets", "tx_bytes", "tx_errors", "to_kernel", "from_kernel"),
        ),
        figure,
    )
    return PortStatus(
        name=port.name,
        tap=port.tap,
        driver="net_null",
        device=port.device,
        problem="",
        mac="02:00:00:00:00:01",
        mtu=1500,
        ifindex=7,
        speed=0,
        link_up=True,
        admin_up=True,
        polling=port.polling,
        rx_interrupts=False,
        sleeping=False,
        lcore=3,
        **numbers,
    )


@dataclass
class FakeWorker:
    """Everything outside of the agent; `view` is what the agent has of it."""

    calls: list[str] = field(default_factory=list)
    fails: dict[str, GwError] = field(default_factory=dict)
    """By call: what it raises, once."""
    pid: int = 100
    runs: bool = True
    comes_back: bool = True
    """Somebody starts it again when it ends."""
    options: WorkerOptions | None = None
    ports: dict[str, PortStatus] = field(default_factory=dict)
    segments: tuple[WorkerSegment, ...] = ()
    devices: dict[str, Taken] = field(default_factory=dict)
    pages: int = 0
    refused: dict[str, GwError] = field(default_factory=dict)
    """By port: why it cannot be taken."""
    same: dict[str, str] = field(default_factory=dict)
    """The device behind another name of it."""

    def note(self, call: str) -> None:
        self.calls.append(call)
        if error := self.fails.pop(call, None):
            raise error

    @property
    def view(self) -> WorkerView:
        return FakeView(self)

    def die(self) -> None:
        self.pid += 1
        self.runs, self.options, self.ports = self.comes_back, None, {}
        self.segments = ()

    # ---- devices.Handover and devices.Hugepages ----------------------------------------

    def check(
        self,
        port: Port,
        *,
        force: bool,
        sessions: Any = (),  # noqa: ARG002
        beside: Any = (),  # noqa: ARG002
    ) -> None:
        if not force and (error := self.refused.get(port.name)):
            raise error

    def planned(self, port: Port) -> Taken:
        if isinstance(self.refused.get(port.name), DeviceError):
            raise DeviceError("no such device")
        device = self.same.get(port.where, port.where)
        mac = "02:00:00:00:00:01"
        return Taken(port.name, port.name, device, mac, "virtual", device == PHYSICAL, port.where)

    def take(self, port: Port) -> Taken:
        self.note(f"take {port.name}")
        self.devices[port.name] = self.planned(port)
        return self.devices[port.name]

    def give_back(self, name: str) -> None:
        self.note(f"give back {name}")
        self.devices.pop(name, None)

    def taken(self) -> dict[str, Taken]:
        return dict(self.devices)

    def recorded(self) -> tuple[str, ...]:
        return tuple(self.devices)

    def reserve(self, size: int) -> None:
        self.note(f"reserve {size}")
        self.pages = size

    def release(self) -> None:
        self.note("release")
        self.pages = 0

    def status(self) -> Any:
        return replace(_PAGES, reserved=self.pages)


@dataclass(frozen=True)
class _Pages:
    reserved: int = 0


_PAGES = _Pages()


class FakeView(WorkerView):
    def __init__(self, worker: FakeWorker) -> None:
        super().__init__(Path("/nowhere"), Path("/"), Path("/nowhere/verdict"))
        self.handover = cast(Handover, worker)
        self.hugepages = cast(Hugepages, worker)
        self._worker = worker

    def client(self) -> WorkerClient:
        return cast(WorkerClient, FakeClient(self._worker))

    def wait(self, seconds: float, *, fresh: bool = False) -> None:
        if not self._worker.runs or (fresh and self._worker.options):
            raise WorkerAbsentError(f"nobody within {seconds:g} s")

    def end(self) -> None:
        self._worker.note("end")
        self.leaving.add(self._worker.pid)
        self._worker.die()


class FakeClient:
    def __init__(self, worker: FakeWorker) -> None:
        self._worker = worker
        self.has_started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def peer(self) -> int:
        return self._there().pid

    def _there(self) -> FakeWorker:
        if not self._worker.runs:
            raise WorkerAbsentError("the worker does not run")
        return self._worker

    def status(self) -> WorkerStatus:
        worker = self._there()
        if error := worker.fails.pop("status", None):
            raise error
        segments = tuple(
            SegmentStatus(one.ifindex, one.vni, 0, 0, 0, True, "") for one in worker.segments
        )
        started = worker.options is not None
        ports = dict(worker.ports)
        return WorkerStatus(worker.pid, started, worker.options, ports=ports, segments=segments)

    def start(self, options: WorkerOptions) -> None:
        self._there().note("start")
        self._worker.options = options
        self.has_started = True

    def add_port(self, port: WorkerPort) -> PortStatus:
        self._there().note(f"add {port.name}")
        self._worker.ports[port.name] = port_status(port)
        return self._worker.ports[port.name]

    def remove_port(self, name: str) -> None:
        self._there().note(f"remove {name}")
        if self._worker.ports.pop(name, None) is None:
            raise NoSuchDeviceError(name)

    def set_segments(self, segments: Sequence[WorkerSegment]) -> None:
        self._there().note(f"segments {' '.join(str(one.vni) for one in segments)}".strip())
        self._worker.segments = tuple(segments)

    def wait_for_mirror(self, seconds: float) -> None:
        self._there().note(f"wait {seconds:g}")


__all__ = ["FakeWorker", "Polling", "port_status"]
