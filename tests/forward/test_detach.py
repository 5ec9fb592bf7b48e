# SPDX-License-Identifier: GPL-2.0-or-later
"""`gwctl detach` leaves nothing: compared with a lab in which no agent ever ran."""

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import GatewayProcess, Lab
from hybrid_gateway.lab.leftovers import agent_pids
from hybrid_gateway.lab.places import program
from hybrid_gateway.lab.services import servers
from tests.lib.ctl import gwctl
from tests.lib.gateway import Gateway, eventually
from tests.lib.packets import SERVER
from tests.lib.programs import curl, pinged
from tests.lib.traces import Traces, alive, has_xdp, held_by


def test_detach_leaves_nothing_behind(fresh_lab: Lab) -> None:
    before = Traces.of(fresh_lab)
    process = GatewayProcess(fresh_lab)
    process.start()
    held = held_by(process.pid)
    assert held["prog"]
    assert held["map"]
    attached = Traces.of(fresh_lab)
    assert attached.pins
    assert attached.xdp == (True, True, True, False)
    assert attached != before

    gwctl(fresh_lab, "detach", "--stay")
    assert Traces.of(fresh_lab) == before
    assert gwctl(fresh_lab, "--json", "status", check=False).stdout.count("detached") == 1
    gwctl(fresh_lab, "detach")
    assert not agent_pids(fresh_lab.name)
    process.stop()
    assert Traces.of(fresh_lab) == before
    for kind, ids in held.items():
        # The kernel frees programs and maps after a grace period of RCU.
        eventually(
            lambda kind=kind, ids=ids: not ids & alive(kind),  # type: ignore[misc]
            f"no {kind} of the instance is left",
            seconds=5.0,
        )
    assert not Instance(fresh_lab.name).socket.exists()


def test_stopping_leaves_forwarding_on(fresh_lab: Lab) -> None:
    process = GatewayProcess(fresh_lab)
    process.start()
    process.stop()
    with servers(fresh_lab, "wan", http=[f"{SERVER}:80"]):
        assert len(curl(fresh_lab, "lan", f"http://{SERVER}/blob/5000")) == 5000
    assert has_xdp(fresh_lab, "wan0")
    # A second life finds what the first one pinned, and can still take all of it away.
    process.start()
    gwctl(fresh_lab, "detach")
    process.stop()
    assert not has_xdp(fresh_lab, "wan0")
    assert not Traces.of(fresh_lab).pins


def test_detach_without_an_agent(fresh_lab: Lab) -> None:
    """What a killed agent left goes without another one having to forward first."""
    before = Traces.of(fresh_lab)
    process = GatewayProcess(fresh_lab)
    process.start()
    process.kill()
    assert Traces.of(fresh_lab) != before
    command = [str(program("gw-agent")), "--instance", fresh_lab.name, "--detach"]
    assert "wan0" in fresh_lab.run("gw", command)
    assert Traces.of(fresh_lab) == before


def test_what_changes_along_with_ip_forward_comes_back(fresh_lab: Lab) -> None:
    """The kernel sets forwarding of every device, and accept_redirects, when ip_forward changes."""
    for setting in (
        "ip_forward=0",
        "conf.lan0.forwarding=1",
        "conf.default.forwarding=1",
        "conf.all.accept_redirects=0",
        "conf.default.accept_redirects=0",
    ):
        fresh_lab.run("gw", ["sysctl", "-q", "-w", f"net.ipv4.{setting}"])
    fresh_lab.run("gw", ["ip", "link", "add", "wan0.5", "type", "bridge"])
    fresh_lab.run("gw", ["sysctl", "-q", "-w", "net/ipv4/conf/wan0.5/forwarding=1"])
    before = _conf(fresh_lab)
    process = GatewayProcess(fresh_lab)
    process.start()
    assert pinged(fresh_lab, "lan", SERVER) == 3
    assert _conf(fresh_lab) != before
    # The record outlives the agent, and a second one makes none of its own.
    process.kill()
    process.start()
    fresh_lab.run("gw", ["ip", "link", "add", "later0", "type", "bridge"])
    fresh_lab.run("gw", ["sysctl", "-q", "-w", "net.ipv4.conf.lan1.forwarding=0"])
    gwctl(fresh_lab, "detach")
    process.stop()
    later = "net.ipv4.conf.later0."
    after = _conf(fresh_lab)
    assert f"{later}forwarding = 1" in after  # as the default was
    assert [line for line in after if not line.startswith(later)] == before


def test_two_gateways_on_one_host(gateway: Gateway, fresh_lab: Lab) -> None:
    """Both forward, and taking one away does not touch the other."""
    process = GatewayProcess(fresh_lab)
    process.start()
    assert pinged(fresh_lab, "lan", SERVER) == 3
    assert pinged(gateway.lab, "lan", SERVER) == 3
    gwctl(fresh_lab, "detach")
    process.stop()
    assert pinged(gateway.lab, "lan", SERVER) == 3
    assert gateway.call("status")["state"] == "forwarding"


def test_a_lab_goes_down_with_everything(fresh_lab: Lab) -> None:
    """`gwctl lab down` cleans up after an agent that was killed, too."""
    from hybrid_gateway.lab import leftovers

    process = GatewayProcess(fresh_lab)
    process.start()
    process.kill()
    leftovers.remove(fresh_lab)
    assert not Instance(fresh_lab.name).pin_dir.exists()
    assert not Instance(fresh_lab.name).state_dir.exists()
    assert not fresh_lab.state().namespaces


def _conf(lab: Lab) -> list[str]:
    settings = r"^net\.ipv4\.(ip_forward$|conf\..*\.(forwarding|accept_redirects)$)"
    return lab.run("gw", ["sysctl", "-a", "-r", settings]).splitlines()
