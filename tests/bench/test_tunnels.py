# SPDX-License-Identifier: GPL-2.0-or-later
"""The instrument of the group vxlan: frames between stations, inside VXLAN and outside of it."""

import json
from ipaddress import IPv4Address

import pytest

from tests.bench.generator import Flows, Traffic
from tests.bench.vxlan.contenders import BridgedBaseline, GatewayVxlan, KernelVxlan
from tests.bench.vxlan.mirror import KernelFdb, mirroring
from tests.bench.vxlan.path import (
    BRIDGE,
    DEVICE,
    JUMBO,
    LOCAL,
    REMOTE,
    BridgedPath,
    TunnelSetup,
    mac,
)
from tests.bench.vxlan.transfer import check_transfer

pytestmark = pytest.mark.forward

FRAMES = 5000
STATIONS = 100
ENCAP = Traffic(FRAMES, Flows(STATIONS))
DECAP = Traffic(FRAMES, Flows(STATIONS), backwards=True)
WAYS = pytest.mark.parametrize("traffic", [ENCAP, DECAP], ids=["encap", "decap"])
FAMILIES = pytest.mark.parametrize("family", [4, 6])

SENDERS = """
table ip bench {
    set seen { type ipv4_addr; flags dynamic; }
    chain input {
        type filter hook input priority filter
        udp dport 4789 update @seen { ip saddr }
    }
}
"""


def setup(family: int = 4, size: int = 64, stations: int = STATIONS) -> TunnelSetup:
    return TunnelSetup(family, size, JUMBO, stations)


def checksums_by_software(kernel: KernelVxlan) -> None:
    """A veth has no hardware that would finish what the kernel leaves to it."""
    kernel.path.middle("ethtool", "-K", "wan0", "tx", "off")


@pytest.mark.parametrize(("size", "traffic"), [(64, ENCAP), (64, DECAP), (1514, ENCAP)])
@FAMILIES
def test_every_frame_arrives_with_right_checksums(family: int, size: int, traffic: Traffic) -> None:
    with BridgedBaseline("test", setup(family, size), verify=True) as baseline:
        result = baseline.generator.send(traffic)

    assert (result.received, result.bad_checksum) == (FRAMES, 0)
    assert result.ns > 0


@WAYS
@FAMILIES
def test_kernel_understands_and_is_understood(family: int, traffic: Traffic) -> None:
    with KernelVxlan("test", setup(family), verify=True) as kernel:
        checksums_by_software(kernel)
        before = kernel.evidence()
        result = kernel.generator.send(traffic)
        found = kernel.evidence().since(before)

        assert not list(kernel.complaints(traffic, result, found))
    assert (result.received, result.bad_checksum) == (FRAMES, 0)


def test_sink_sees_unfinished_checksums() -> None:
    with KernelVxlan("test", setup(family=6), verify=True) as kernel:
        result = kernel.generator.send(ENCAP)

    assert (result.received, result.bad_checksum) == (FRAMES, FRAMES)


@pytest.mark.parametrize(
    ("traffic", "first", "device"), [(ENCAP, LOCAL, "lan0"), (DECAP, REMOTE, DEVICE)]
)
def test_stations_are_as_many_as_asked_for(
    traffic: Traffic, first: IPv4Address, device: str
) -> None:
    with KernelVxlan("test", setup(stations=0)) as kernel:
        kernel.generator.send(traffic)
        listed = kernel.path.middle("bridge", "-j", "fdb", "show", "br", BRIDGE, "dynamic")

    learned = {entry["mac"] for entry in json.loads(listed) if entry["ifname"] == device}
    assert learned == {mac(first + n) for n in range(STATIONS)}


def test_vteps_take_turns() -> None:
    with KernelVxlan("test", setup()) as kernel:
        kernel.path.middle("nft", SENDERS)
        kernel.generator.send(Traffic(FRAMES, Flows(STATIONS, destinations=4), backwards=True))
        listed = json.loads(kernel.path.middle("nft", "-j", "list", "set", "ip", "bench", "seen"))
        expected = {kernel.setup.underlay.vtep(n) for n in range(4)}

    (senders,) = (item["set"]["elem"] for item in listed["nftables"] if "set" in item)
    assert set(senders) == expected


@WAYS
@FAMILIES
def test_gateway_without_agent_is_right(family: int, traffic: Traffic) -> None:
    with GatewayVxlan("test", setup(family), verify=True, bare=True) as gateway:
        before = gateway.evidence()
        result = gateway.generator.send(traffic)
        found = gateway.evidence().since(before)

    assert not list(gateway.complaints(traffic, result, found))
    assert (result.received, result.bad_checksum) == (FRAMES, 0)


def test_both_pieces_of_a_cut_frame_are_counted() -> None:
    with GatewayVxlan("test", TunnelSetup(6, 1514, 1500, STATIONS), bare=True) as gateway:
        before = gateway.evidence()
        result = gateway.generator.send(ENCAP)
        found = gateway.evidence().since(before)

    assert not list(gateway.complaints(ENCAP, result, found))
    assert (result.received, result.first_pieces) == (FRAMES, FRAMES)


def test_transfer_tells_what_became_of_it() -> None:
    notes: list[str] = []
    check_transfer(notes.append, bare=True, size=2_000_000)

    assert "2 MB" in notes[0]
    assert "none lost" in notes[0]


def test_mirror_is_compared_with_the_kernel() -> None:
    with BridgedPath("test", TunnelSetup(stations=0)) as path:
        kernel = KernelFdb(path, entries=1000)
        with mirroring(path, bare=True):
            kernel.await_mirrored()
            kernel.change(rate=20_000, seconds=0.1)
            kernel.await_mirrored()
