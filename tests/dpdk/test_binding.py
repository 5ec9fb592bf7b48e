# SPDX-License-Identifier: GPL-2.0-or-later
"""The C library through its binding: opaque handles, values, and ports that are refused."""

import dataclasses
import re
from pathlib import Path

import pytest
from _gw_worker import ffi, lib

from hybrid_gateway.errors import (
    BadDeviceError,
    DeviceBusyError,
    NoSuchDeviceError,
    NoSuchPortError,
    WorkerError,
)
from hybrid_gateway.model import Polling
from hybrid_gateway.worker_values import (
    LcoreStatus,
    MemoryStatus,
    MirrorStatus,
    PortStatus,
    WorkerOptions,
    WorkerPort,
)
from tests.dpdk.harness import SMALL, Bench
from tests.dpdk.wires import Cable
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk

HEADER = Path(__file__).parents[2] / "dpdk" / "include" / "gw_worker.h"


def test_handles_are_opaque() -> None:
    for handle in ("struct gw_worker", "struct gw_worker_port"):
        with pytest.raises(ffi.error):
            ffi.sizeof(handle)


def test_every_declared_call_is_there() -> None:
    declared = set(re.findall(r"\b(gw_[a-z_]+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text())))

    assert declared
    assert {name for name in declared if not hasattr(lib, name)} == set()


def test_no_call_takes_a_callback() -> None:
    assert "(*" not in HEADER.read_text()


@pytest.mark.parametrize(
    ("kind", "struct"),
    [
        (PortStatus, "struct gw_port_status"),
        (MemoryStatus, "struct gw_memory_status"),
        (MirrorStatus, "struct gw_mirror_status"),
        (LcoreStatus, "struct gw_lcore_status"),
    ],
)
def test_values_have_the_fields_of_their_structures(kind: type, struct: str) -> None:
    fields = {name for name, _ in ffi.typeof(struct).fields} - {"pad"}

    assert {field.name for field in dataclasses.fields(kind)} == fields


def test_options_have_the_fields_of_their_structure() -> None:
    fields = {name for name, _ in ffi.typeof("struct gw_worker_options").fields}
    own = {field.name for field in dataclasses.fields(WorkerOptions)}

    assert fields - own == {"core_count", "flags"}
    assert own - fields == {"no_huge", "no_pci", "iova_pa"}


def test_minimum_grows_with_what_is_asked_for() -> None:
    def minimum(ports: int, **asked: int) -> int:
        fields = {name: getattr(SMALL, name) for name in ("mbufs", "routes4", "routes6")} | asked
        return int(lib.gw_worker_minimum(ffi.new("struct gw_worker_options *", fields), ports))

    least = minimum(1)
    assert 64 << 20 < least < SMALL.memory_mb << 20
    assert minimum(8) > least
    for more in (
        {"mbufs": 65535},
        {"mbufs": (1 << 32) - 1},
        {"routes4": 1 << 20},
        {"routes6": 1 << 20},
    ):
        assert minimum(1, **more) > least


# ---- ports that cannot be had ----------------------------------------------------------------


@pytest.fixture(scope="module")
def cable(bench: Bench) -> Cable:
    """Plugged, and not the worker's."""
    return bench.cable("spare")


@pytest.mark.parametrize(
    ("device", "error"),
    [
        ("net_nonsense0", BadDeviceError),
        ("0000:ff:1f.7", NoSuchDeviceError),
        ("0000:zz:00.0", BadDeviceError),
        ("net_af_packet0,iface=nowhere", NoSuchDeviceError),
        ("net_af_packet0,nonsense=1", WorkerError),
        ("net_af_packet0", WorkerError),
        ("net_null0,,=,", WorkerError),
        ("x" * 255, WorkerError),
        ("", WorkerError),
        ("net_null0" + "0" * 300, WorkerError),
    ],
)
def test_a_device_that_eal_refuses(
    bench: Bench, cable: Cable, device: str, error: type[WorkerError]
) -> None:
    with pytest.raises(error) as caught:
        bench.client.add_port(WorkerPort("spare", cable.name, device))

    assert caught.value.code not in ("worker.absent", "worker.timeout", "worker.protocol")
    assert not device or device[:15] in caught.value.message, caught.value.message
    assert "spare" not in bench.client.status().ports


@pytest.mark.parametrize(
    ("tap", "error"),
    [
        ("nosuchtap", NoSuchDeviceError),
        ("spare-wire", BadDeviceError),
        ("lo", BadDeviceError),
        ("a/b", WorkerError),
        ("longer-than-any-device", WorkerError),
    ],
)
def test_a_tap_that_is_none(bench: Bench, cable: Cable, tap: str, error: type[WorkerError]) -> None:
    with pytest.raises(error, match=re.escape(tap)):
        bench.client.add_port(WorkerPort("spare", tap, cable.device))

    assert "spare" not in bench.client.status().ports


def test_what_is_in_use(bench: Bench, cable: Cable) -> None:
    bench.add(cable)
    for again in (
        WorkerPort("spare", cable.name, cable.device),
        WorkerPort("other", cable.name, f"net_af_packet_other,iface={cable.wire}"),
        WorkerPort("other", cable.name, cable.device),
    ):
        with pytest.raises(DeviceBusyError):
            bench.client.add_port(again)
    assert set(bench.client.status().ports) == {"spare"}

    bench.client.remove_port("spare")
    with pytest.raises(NoSuchPortError, match="spare"):
        bench.client.remove_port("spare")


def test_an_lcore_that_is_none(bench: Bench, cable: Cable) -> None:
    port = WorkerPort("spare", cable.name, cable.device, Polling.BUSY, lcore=1)

    with pytest.raises(WorkerError, match="lcore 1"):
        bench.client.add_port(port)


def test_after_all_refusals_a_port_works(bench: Bench, cable: Cable) -> None:
    bench.ip("address replace 198.51.100.1/24 dev spare")
    bench.neighbour(cable, "198.51.100.2")
    bench.add(cable)
    bench.settle()

    packet = udp("198.51.100.2", "198.51.100.1", 4000, 4001)
    frame = (
        bytes.fromhex((cable.mac + cable.far_mac).replace(":", "")) + b"\x08\x00" + bytes(packet)
    )
    assert bytes(bench.send_and_expect(frame, via=cable.far, at=cable.kernel)) == frame
    bench.client.remove_port("spare")
