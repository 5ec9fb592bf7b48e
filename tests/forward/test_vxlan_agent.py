# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent with VXLAN: it may end and begin again, mends what others break, and leaves nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_gateway.lab.places import program
from hybrid_gateway.lab.second import (
    ACCESS,
    ACCESS2,
    BRIDGE,
    LEFT,
    NEAR_CONFIGURATION,
    RIGHT,
    UPLINK,
    VXLAN,
    Underlay,
)
from hybrid_gateway.lab.services import servers
from tests.forward.sites import Sites, two_sites
from tests.lib.gateway import Gateway, eventually
from tests.lib.packets import same
from tests.lib.programs import blob_digest, digest, downloading, pinged
from tests.lib.traces import Traces
from tests.lib.vxlan import arriving, is_marked, leaving, segment

SIZE, RATE = 6_000_000, "4M"
DEVICES = (ACCESS, ACCESS2, UPLINK, BRIDGE, VXLAN)


def run(sites: Sites, line: str) -> str:
    return sites.lab.run("gw", line.split())


def settled(sites: Sites) -> bool:
    return not sites.agent.ctl_json("plan")["steps"]


def forwarding(sites: Sites) -> str:
    """The setting without which the FIB tells XDP no way to a VTEP."""
    family = {Underlay.IPV4: "ipv4", Underlay.IPV6: "ipv6"}[sites.underlay]
    return f"net.{family}.conf.lo.forwarding"


def test_nothing_is_left_to_do(sites: Sites) -> None:
    status = sites.agent.ctl_json("status")
    assert status["state"] == "forwarding"
    eventually(lambda: settled(sites), "the plan is empty")
    assert run(sites, f"sysctl -n {forwarding(sites)}").strip() == "1"
    (hop,) = [line for line in run(sites, "ip neigh").splitlines() if "managed" in line]
    assert UPLINK in hop


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_frames_pass_without_the_agent(sites: Sites, end: str) -> None:
    """By XDP, as the counters tell that the next one finds; it has every station as it was."""
    counts = sites.agent.counting()
    getattr(sites.agent.process, end)()
    frame, answer = segment(), segment(RIGHT, LEFT)
    seen = sites.wires.send_and_expect(frame, at="left", to="router", wanted=is_marked)
    same(seen, leaving(sites.underlay, frame, seen))
    sent = arriving(sites.underlay, answer)
    same(sites.wires.send_and_expect(sent, at="router", to="left", wanted=is_marked), answer)

    sites.agent.start()
    same(sites.wires.send_and_expect(sent, at="router", to="left", wanted=is_marked), answer)
    counts.expect_some(BRIDGE=3, VXLAN_ENCAP=1, VXLAN_DECAP=2)
    assert not {"PUNT_LEARN", "PUNT_UNDERLAY", "PUNT_BRIDGE_PORT"} & set(counts.now())
    eventually(lambda: settled(sites), "the plan is empty")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_transfer_survives_the_agent(sites: Sites, end: str) -> None:
    with servers(sites.lab, "right", http=[f"{RIGHT.ip}:80"]):
        url = f"http://{RIGHT.ip}/blob/{SIZE}"
        with downloading(sites.lab, "left", url, RATE) as download:
            assert download.stdout
            got = download.stdout.read(1_000_000)
            getattr(sites.agent.process, end)()
            got += download.stdout.read(2_000_000)
            sites.agent.start()
            got += download.stdout.read()
            assert download.wait(10) == 0
    assert digest(got) == blob_digest(SIZE)


@pytest.mark.parametrize(
    ("harm", "there"),
    [
        (f"tc qdisc del dev {VXLAN} clsact", f"tc filter show dev {VXLAN} egress"),
        (f"tc filter del dev {VXLAN} egress", f"tc filter show dev {VXLAN} egress"),
        ("nft flush chain inet gw input", "nft list chain inet gw input"),
        ("nft flush ruleset", "nft list chain inet gw input"),
        ("sysctl -w FORWARDING=0", "sysctl FORWARDING"),
    ],
)
def test_what_somebody_breaks_is_mended(sites: Sites, harm: str, there: str) -> None:
    harm, there = (line.replace("FORWARDING", forwarding(sites)) for line in (harm, there))
    before = run(sites, there)
    (mark,) = [mark for mark in ("gw_tunnel", "vmap", "= 1") if mark in before]
    run(sites, harm)
    eventually(lambda: mark in sites.lab.run("gw", there.split(), check=False), "it is there again")
    assert pinged(sites.lab, "left", RIGHT.ip, count=3) == 3


def test_a_vtep_that_comes_and_goes_is_in_the_set(sites: Sites) -> None:
    """In the kernel's eyes, too: fragments are its own to judge."""
    other = {Underlay.IPV4: "198.51.100.7", Underlay.IPV6: "2001:db8:2::7"}[sites.underlay]
    entry = f"00:00:00:00:00:00 dev {VXLAN} self dst {other}"

    def allowed() -> bool:
        return f" {other} " in run(sites, "nft list table inet gw").replace(",", " ")

    assert not allowed()
    run(sites, f"bridge fdb append {entry} permanent")
    eventually(allowed, "it may send")
    run(sites, f"bridge fdb delete {entry}")
    eventually(lambda: not allowed(), "it may not any more")
    eventually(lambda: settled(sites), "the plan is empty")


@pytest.fixture(params=list(Underlay), ids=lambda underlay: underlay.name.lower())
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sites]:
    """Two sites without an agent, for one that begins and ends."""
    with two_sites("kernel", request.param, tmp_path) as sites:
        yield sites


@pytest.mark.parametrize("end", ["detach", "kill, and detach without an agent"])
def test_detach_leaves_nothing_behind(bare: Sites, end: str) -> None:
    assert pinged(bare.lab, "right", LEFT.ip, count=2) > 0
    before = Traces.of(bare.lab, DEVICES)
    gateway = Gateway(bare.lab, NEAR_CONFIGURATION)
    gateway.start()
    try:
        assert pinged(bare.lab, "left", RIGHT.ip, count=2) == 2
        attached = Traces.of(bare.lab, DEVICES)
        assert attached.xdp == (True, True, True, False, False)
        assert "gw_tunnel" in attached.filters[4]
        assert "managed" in attached.neighbours
        if end == "detach":
            gateway.ctl("detach")
        else:
            gateway.process.kill()
            bare.lab.run("gw", [str(program("gw-agent")), "--instance", bare.lab.name, "--detach"])
        assert Traces.of(bare.lab, DEVICES) == before
    finally:
        gateway.process.stop()
    assert pinged(bare.lab, "left", RIGHT.ip, count=2) == 2
