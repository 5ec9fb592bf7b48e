# SPDX-License-Identifier: GPL-2.0-or-later
"""gateway.yaml: ports of the worker, and what it runs with."""

from pathlib import Path

import pytest

from hybrid_gateway import config
from hybrid_gateway.errors import ConfigError
from hybrid_gateway.model import Plane, Polling, Port, RouteLimits, Worker

SFP = "version: 1\nports: {sfp0: {device: enp4s0, plane: dpdk}}\n"


def test_everything_given() -> None:
    path = Path(__file__).parent / "config_cases" / "good_worker.yaml"

    found = config.load(path)

    assert found.ports == (
        Port("lan0", "enp1s0", line=3),
        Port("sfp0", "enp4s0", Plane.DPDK, 4),
        Port("sfp1", "", Plane.DPDK, 5, pci="0000:05:00.1", polling=Polling.INTERRUPT),
        Port("sfp2", "", Plane.DPDK, 6, vdev="net_af_packet0,iface=veth1,qpairs=1"),
    )
    assert found.ports[3].iface == "veth1"
    assert found.ports_of(Plane.XDP) == found.ports[:1]
    assert found.worker == Worker(
        (2, 3), 1 << 30, Polling.BUSY, RouteLimits(500_000, 250_000), line=7
    )
    assert found.warnings == ()


def test_defaults() -> None:
    assert config.parse(SFP, "x").worker == Worker((), 256 << 20, Polling.ADAPTIVE)


def test_no_port_no_worker() -> None:
    found = config.parse("version: 1\nports: {lan0: {device: enp1s0}}\n", "x")

    assert (found.worker, found.warnings) == (None, ())


def test_a_worker_without_ports_is_pointed_out() -> None:
    found = config.parse("version: 1\nworker: {cores: [1]}\n", "x")

    assert found.worker is None
    assert [str(warning.message) for warning in found.warnings] == [
        "has no effect: no port has plane: dpdk"
    ]


@pytest.mark.parametrize(
    ("text", "size"),
    [("256M", 256 << 20), ("1G", 1 << 30), ("128", 128 << 20), ('"64M"', 64 << 20)],
)
def test_memory_in_several_spellings(text: str, size: int) -> None:
    found = config.parse(f"{SFP}worker: {{hugepages: {text}}}\n", "x").worker

    assert found
    assert found.hugepages == size


@pytest.mark.parametrize("text", ["255M", "0M", "255", "9999999G", "2.5", "256m", "[1]"])
def test_wrong_memory_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x:3: worker\.hugepages: "):
        config.parse(f"{SFP}worker: {{hugepages: {text}}}\n", "x")


def test_too_many_ports() -> None:
    ports = "".join(f"  p{n}: {{vdev: net_null{n}, plane: dpdk}}\n" for n in range(33))

    with pytest.raises(ConfigError, match=r"^x:35: ports\.p32: the worker has at most 32 ports$"):
        config.parse(f"version: 1\nports:\n{ports}", "x")


@pytest.mark.parametrize(
    ("vdev", "device"),
    [
        ("net_af_packet0,iface=veth1", "veth1"),
        ("net_af_xdp1,start_queue=0,iface=veth1", "veth1"),
        ("net_af_xdp1,iface=veth1,start_queue=0,queue_count=1", "veth1"),
        ("net_tap0,iface=made", None),
        ("net_memif0,role=client", None),
    ],
)
def test_the_device_below_a_virtual_port(vdev: str, device: str | None) -> None:
    port = Port("p", vdev=vdev)
    assert port.iface == device
    if device:
        assert port.on("veth1-wire") == vdev.replace(device, "veth1-wire")
        assert Port("p", vdev=port.on("x0")).iface == "x0"
