# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent follows what changes on the host, and says what is missing."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import GatewayProcess, Lab
from tests.lib.ctl import gwctl
from tests.lib.gateway import eventually
from tests.lib.packets import SERVER
from tests.lib.programs import pinged
from tests.lib.traces import has_xdp


@pytest.fixture
def site(fresh_lab: Lab) -> Iterator[Lab]:
    """A lab of its own, for a test that turns its devices over."""
    process = GatewayProcess(fresh_lab)
    with ExitStack() as stack:
        stack.callback(process.stop)
        process.start()
        yield fresh_lab


def status(lab: Lab) -> Any:
    return json.loads(gwctl(lab, "--json", "status", check=False).stdout)


def warned(lab: Lab, text: str) -> bool:
    return any(text in str(warning) for warning in status(lab)["warnings"])


def settled(lab: Lab) -> bool:
    return status(lab)["state"] == "forwarding" and not gwctl_plan(lab)


def gwctl_plan(lab: Lab) -> Any:
    return json.loads(gwctl(lab, "--json", "plan").stdout)["steps"]


def test_a_port_leaves_and_comes_back(site: Lab) -> None:
    site.run("gw", ["ip", "link", "set", "lan1", "down"])
    site.run("gw", ["ip", "link", "set", "lan1", "name", "away0"])
    eventually(lambda: warned(site, "lan1 does not exist"), "the missing device is told")
    assert status(site)["state"] == "forwarding"
    assert pinged(site, "lan", SERVER) == 3

    site.run("gw", ["ip", "link", "set", "away0", "name", "lan1"])
    site.run("gw", ["ip", "link", "set", "lan1", "up"])
    eventually(lambda: not status(site)["warnings"], "it is a port again")
    eventually(lambda: has_xdp(site, "lan1"), "with our program on it")
    assert pinged(site, "lan2", SERVER) == 3


def up(lab: Lab) -> dict[str, bool]:
    ports = json.loads(gwctl(lab, "--json", "show", "ports").stdout)["ports"]
    return {port["name"]: port["up"] for port in ports}


def test_a_port_without_a_link_is_told(site: Lab) -> None:
    assert up(site) == {"lan0": True, "lan1": True, "wan0": True}
    site.run("gw", ["ip", "link", "set", "wan0", "down"])
    eventually(lambda: warned(site, "port wan0: wan0 is down"), "somebody took it down")
    assert up(site) == {"lan0": True, "lan1": True, "wan0": False}
    site.run("gw", ["ip", "link", "set", "wan0", "up"])
    eventually(lambda: not status(site)["warnings"], "it is up again")

    site.run("wan", ["ip", "link", "set", "eth0", "down"])
    eventually(lambda: warned(site, "port wan0: wan0 has no carrier"), "the cable is out")
    assert not up(site)["wan0"]
    site.run("wan", ["ip", "link", "set", "eth0", "up"])
    eventually(lambda: not status(site)["warnings"], "it is in again")


def test_a_device_that_was_replaced_while_no_agent_ran(fresh_lab: Lab) -> None:
    """What it left behind under the pin directory goes; the new one is a port."""
    process = GatewayProcess(fresh_lab)
    with stopped(process):
        process.start()
        pins = Instance(fresh_lab.name).pin_dir
        answer = json.loads(gwctl(fresh_lab, "--json", "show", "ports").stdout)
        old = next(port["ifindex"] for port in answer["ports"] if port["name"] == "lan1")
        left = [pins / "links" / str(old), pins / "clsact" / str(old)]
        assert all(path.exists() for path in left)

        process.kill()
        fresh_lab.run("gw", ["ip", "link", "del", "lan1"])
        fresh_lab.run("gw", ["ip", "link", "add", "lan1", "type", "veth", "peer", "name", "far1"])
        fresh_lab.run("gw", ["ip", "link", "set", "lan1", "master", "br-lan", "up"])
        process.start()
        assert not any(path.exists() for path in left)
        assert has_xdp(fresh_lab, "lan1")


def test_a_port_leaves_its_bridge_and_returns(site: Lab) -> None:
    site.run("gw", ["ip", "link", "set", "lan1", "nomaster"])
    eventually(lambda: not has_xdp(site, "lan1"), "a device of no bridge is not a port")
    site.run("gw", ["ip", "link", "set", "lan1", "master", "br-lan"])
    eventually(lambda: has_xdp(site, "lan1"), "in the bridge it is one")
    eventually(lambda: settled(site), "nothing is left to do")


def test_a_new_mac_address(site: Lab) -> None:
    site.run("gw", ["ip", "link", "set", "br-lan", "address", "02:00:00:00:77:01"])
    site.run("lan", ["ip", "neigh", "flush", "all"])
    eventually(lambda: settled(site), "the new address is in the device table")
    assert pinged(site, "lan", SERVER) == 3


def test_the_outside_address_changes(site: Lab) -> None:
    assert pinged(site, "lan", SERVER) == 3
    assert json.loads(gwctl(site, "--json", "show", "sessions").stdout)["sessions"]
    site.run("gw", ["ip", "addr", "flush", "dev", "wan0"])
    eventually(lambda: warned(site, "no IPv4 address"), "without an address there is no NAT")
    assert status(site)["state"] == "kernel"
    assert not json.loads(gwctl(site, "--json", "show", "sessions").stdout)["sessions"]

    site.run("gw", ["ip", "addr", "add", "203.0.113.77/24", "dev", "wan0"])
    site.run("gw", ["ip", "route", "replace", "default", "via", "203.0.113.1"])
    eventually(lambda: status(site)["state"] == "forwarding", "with another one there is")
    assert json.loads(gwctl(site, "--json", "show", "nat").stdout)["addresses"] == ["203.0.113.77"]
    assert pinged(site, "lan", SERVER) == 3


def test_a_flushed_rule_set(site: Lab) -> None:
    site.run("gw", ["nft", "flush", "ruleset"])
    eventually(
        lambda: "table inet gw" in site.run("gw", ["nft", "list", "tables"]),
        "the agent puts its table back by itself",
    )


def test_a_firewall_that_appears_later_is_told(site: Lab) -> None:
    site.run("gw", ["nft", "add table inet mine"])
    site.run("gw", ["nft", "add chain inet mine f { type filter hook forward priority 0; }"])
    site.run("gw", ["nft", "add rule inet mine f drop"])
    eventually(lambda: warned(site, "nft inet mine f"), "the chain is named")
    refused = gwctl(site, "check", check=False)
    assert refused.returncode == 1
    assert "nft inet mine f" in refused.stdout + refused.stderr

    site.run("gw", ["nft", "delete table inet mine"])
    eventually(lambda: not status(site)["warnings"], "without it nothing is told")
    gwctl(site, "check")


def test_a_new_inside_prefix_is_guarded(site: Lab) -> None:
    site.run("gw", ["ip", "route", "add", "10.77.0.0/16", "via", "192.168.110.10"])

    def listed() -> bool:
        nat = json.loads(gwctl(site, "--json", "show", "nat").stdout)
        return "10.77.0.0/16" in nat["prefixes"]

    eventually(listed, "what is routed inwards is inside")


def test_the_next_hop_is_managed(site: Lab) -> None:
    def managed(address: str) -> bool:
        return "managed" in site.run("gw", ["ip", "neigh", "show", address])

    assert managed("203.0.113.1")
    site.run("gw", ["ip", "neigh", "del", "203.0.113.1", "dev", "wan0"])
    eventually(lambda: managed("203.0.113.1"), "also after somebody deleted it")
    site.run("gw", ["ip", "route", "replace", "default", "via", "203.0.113.9"])
    eventually(lambda: managed("203.0.113.9"), "the new gateway is watched")
    eventually(lambda: not managed("203.0.113.1"), "and the old one is not")


def test_sighup_reads_the_file_again(fresh_lab: Lab) -> None:
    process = GatewayProcess(fresh_lab)
    with stopped(process):
        process.start()
        text = fresh_lab.config.read_text()
        fresh_lab.config.write_text(
            text.replace("outside: wan0", "outside: wan0\n  sessions: 4096")
        )
        process.send_signal(signal.SIGHUP)
        eventually(lambda: status(fresh_lab)["sessions"]["limit"] == 4096, "the file was read")
        assert pinged(fresh_lab, "lan", SERVER) == 3


@contextmanager
def stopped(process: GatewayProcess) -> Iterator[None]:
    try:
        yield
    finally:
        process.stop()


def test_the_agent_is_small(fresh_lab: Lab) -> None:
    process = GatewayProcess(fresh_lab)
    with stopped(process):
        process.start()
        eventually(lambda: settled(fresh_lab), "the start is over")
        assert resident_megabytes(process.pid) <= 60


def resident_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_a_firewall_that_belongs_to_a_running_nft(site: Lab) -> None:
    """`nft -i` keeps its tables to itself: libnftables 1.0.6 lists such tables wrongly."""
    commands = (
        "add table inet held { flags owner; }",
        "add chain inet held f { type filter hook forward priority 0; }",
        "add rule inet held f drop",
    )
    argv = site.argv("gw", ["nft", "-i"])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as holder:
        try:
            assert holder.stdin
            holder.stdin.write("\n".join((*commands, "")).encode())
            holder.stdin.flush()
            eventually(lambda: warned(site, "nft inet held f"), "the chain is named")
            refused = gwctl(site, "check", check=False)
            assert "nft inet held f" in refused.stderr
        finally:
            holder.kill()
    # The kernel reports nothing when a table goes with its owner; the next look sees it.
    gwctl(site, "apply")
    assert not warned(site, "held")
