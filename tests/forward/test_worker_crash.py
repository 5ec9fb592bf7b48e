# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever dies, the ports do not: the worker takes them again, or the kernel has them back."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from hybrid_gateway.errors import WorkerError
from hybrid_gateway.lab import EAST, SFP0, SFP1, WEST, namespaces
from hybrid_gateway.lab.extension import PLAIN
from hybrid_gateway.lab.namespaces import LabError
from hybrid_gateway.lab.sfp import SFP_IPV6
from tests.forward.fibre import PORTS, Fibre
from tests.forward.test_worker_follow import forwarded
from tests.lib.fibre import datagram, from_east, is_marked
from tests.lib.gateway import eventually
from tests.lib.packets import SERVER
from tests.lib.programs import pinged

BACK_SECONDS = 15.0
"""Five are promised; the machine of the tests is busy."""
ROUTE = "198.19.0.0/24"


def device(fibre: Fibre, name: str) -> dict[str, Any]:
    """As `ip` has it, with its addresses; empty when there is none."""
    listed = json.loads(fibre.lab.run("gw", ["ip", "-d", "-j", "addr", "show"]))
    return next((dict(link) for link in listed if link["ifname"] == name), {})


def is_tap(fibre: Fibre, name: str) -> bool:
    return bool(device(fibre, name).get("linkinfo", {}).get("info_kind") == "tun")


def addresses(fibre: Fibre, name: str) -> set[str]:
    return {
        f"{address['local']}/{address['prefixlen']}"
        for address in device(fibre, name).get("addr_info", [])
        if address["scope"] == "global"
    }


OURS = {port.device: {str(port.network), f"{SFP_IPV6[port]}/64"} for port in (SFP0, SFP1)}


def in_the_kernel(fibre: Fibre) -> bool:
    """The devices are themselves again, with all that they had."""
    there = all(device(fibre, name) and not is_tap(fibre, name) for name in PORTS)
    return (
        there
        and not any(device(fibre, f"{name}-wire") for name in PORTS)
        and all(addresses(fibre, name) == OURS[name] for name in PORTS)
        and all("LOWER_UP" in device(fibre, name)["flags"] for name in PORTS)
        and ROUTE in fibre.lab.run("gw", ["ip", "route"])
    )


def given_back(fibre: Fibre) -> None:
    """They are, in a while; or what there is instead, and what the agent says of it."""
    try:
        eventually(lambda: in_the_kernel(fibre), "the kernel has its devices", BACK_SECONDS)
    except AssertionError as error:
        seen = [fibre.lab.run("gw", ["ip", *what]) for what in (["addr"], ["route"])]
        raise AssertionError(
            "\n".join([str(error), *seen, fibre.gateway.process.log_end()])
        ) from None


def gets_through(fibre: Fibre) -> bool:
    """Whichever plane it is that forwards."""
    fibre.wires.forget("west")
    fibre.wires.send(from_east(datagram()), at="east")
    return any(True for _ in fibre.wires.arriving("west", is_marked, 0.2))


def routed(fibre: Fibre) -> None:
    """A route by hand, which nothing but the kernel remembers."""
    fibre.lab.run("gw", ["ip", "route", "replace", ROUTE, "via", "198.18.1.10", "proto", "zebra"])


def crashed(fibre: Fibre) -> None:
    """The worker dies, and another one has its ports."""
    started_anew(fibre, fibre.worker.crash)


def started_anew(fibre: Fibre, end: Callable[[], int]) -> None:
    """However slow the machine is, the agent finds the next one in time."""
    with fibre.gateway.frozen():
        before = end()
        eventually(lambda: _listens(fibre, not_by=before), "another one listens", BACK_SECONDS)
    eventually(lambda: takes(fibre), "it has its ports", BACK_SECONDS)


def _listens(fibre: Fibre, *, not_by: int) -> bool:
    try:
        return fibre.status().pid != not_by
    except WorkerError:
        return False


def test_a_restarted_worker_takes_its_ports_again(fibre: Fibre) -> None:
    """Addresses, routes and the devices' indices stay: nobody but the worker was away."""
    routed(fibre)
    indices = [device(fibre, name)["ifindex"] for name in PORTS]
    crashed(fibre)
    assert [device(fibre, name)["ifindex"] for name in PORTS] == indices
    assert all(addresses(fibre, name) == OURS[name] for name in PORTS)
    assert ROUTE in fibre.lab.run("gw", ["ip", "route"])
    fibre.mirrored()
    counts = fibre.counting()
    forwarded(fibre)
    forwarded(fibre, 6)
    counts.expect(FORWARD_IP4=1, FORWARD_IP6=1)
    assert fibre.gateway.call("status")["state"] == "forwarding"


def takes(fibre: Fibre) -> bool:
    try:
        return fibre.taken()
    except WorkerError:
        return False


def test_a_worker_that_stays_away(fresh_fibre: Fibre) -> None:
    """Its ports are the kernel's again, which forwards; and the worker's when it is back."""
    fibre = fresh_fibre
    routed(fibre)
    fibre.worker.leave()
    fibre.worker.crash()
    given_back(fibre)
    eventually(lambda: gets_through(fibre), "the kernel forwards", BACK_SECONDS)
    status = json.dumps(fibre.gateway.call("status"))
    assert "worker" in status
    fibre.worker.keep()
    eventually(lambda: takes(fibre), "the worker has its ports", BACK_SECONDS)
    assert all(is_tap(fibre, name) for name in PORTS)
    assert all(addresses(fibre, name) == OURS[name] for name in PORTS)
    fibre.meet()
    forwarded(fibre)


def test_three_crashes(fresh_fibre: Fibre) -> None:
    """Given back and left alone, which `gwctl status` says, until `gwctl apply`."""
    fibre = fresh_fibre
    routed(fibre)
    for _ in range(2):
        crashed(fibre)
    fibre.worker.crash()
    given_back(fibre)
    eventually(lambda: gets_through(fibre), "the kernel forwards", BACK_SECONDS)
    said = fibre.gateway.ctl("status", check=False).stdout
    assert "three times" in said or "3 times" in said, said
    graph = fibre.gateway.ctl("show", "graph", check=False).stderr
    assert "no graph while the worker is given back: it died 3 times" in graph
    fibre.gateway.process.stop()
    fibre.gateway.start()
    said = fibre.gateway.ctl("status", check=False).stdout
    assert "3 times" in said, f"forgotten by the next agent:\n{said}"
    assert "tried again by gwctl apply" in said
    assert in_the_kernel(fibre)
    fibre.gateway.ctl("apply", "--config", str(fibre.gateway.config))
    eventually(lambda: takes(fibre), "the worker has its ports", BACK_SECONDS)
    fibre.meet()
    forwarded(fibre)


def test_restarts_are_no_crashes(fibre: Fibre) -> None:
    """`systemctl restart gw-worker`, more often than a worker may crash."""
    indices = [device(fibre, name)["ifindex"] for name in PORTS]
    crashes = fibre.gateway.call("status")["worker"]["crashes"]
    for _ in range(3):
        started_anew(fibre, fibre.worker.end)
    worker = fibre.gateway.call("status")["worker"]
    assert worker["state"] == "running"
    assert worker["crashes"] <= crashes, "those of other tests"
    assert [device(fibre, name)["ifindex"] for name in PORTS] == indices
    fibre.meet()
    forwarded(fibre)


def test_the_agent_is_not_needed(fibre: Fibre) -> None:
    """Forwarding goes on without it, and follows the kernel; another one finds all in place."""
    fibre.gateway.process.kill()
    forwarded(fibre)
    with fibre.given("route add blackhole 198.18.1.10"):
        fibre.wires.send_and_expect_nothing(
            from_east(datagram()), at="east", to="west", wanted=is_marked
        )
    pid = fibre.worker.worker
    fibre.gateway.start()
    assert fibre.worker.worker == pid
    assert fibre.taken()
    counts = fibre.counting()
    forwarded(fibre)
    counts.expect(FORWARD_IP4=1)


def test_both_die(fresh_fibre: Fibre) -> None:
    """What systemd runs after the worker gives back what the agent's record says."""
    fibre = fresh_fibre
    routed(fibre)
    fibre.gateway.process.kill()
    fibre.worker.crash()
    given_back(fibre)
    eventually(lambda: gets_through(fibre), "the kernel forwards", BACK_SECONDS)
    fibre.gateway.start()
    eventually(lambda: takes(fibre), "the worker has its ports", BACK_SECONDS)
    fibre.meet()
    forwarded(fibre)


def test_the_agent_dies_before_the_worker_is_back(fresh_fibre: Fibre) -> None:
    """A new agent finds the TAPs of a dead worker, and a worker that has no ports."""
    fibre = fresh_fibre
    fibre.gateway.process.kill()
    os.kill(fibre.worker.pid, signal.SIGSTOP)  # the keeper sleeps: nobody hands anything back
    try:
        fibre.worker.crash()
    finally:
        fibre.gateway.start()
        os.kill(fibre.worker.pid, signal.SIGCONT)
    eventually(lambda: takes(fibre), "the worker has its ports", BACK_SECONDS)
    fibre.meet()
    forwarded(fibre)


def test_an_agent_that_cannot_start_keeps_no_port_from_the_kernel(fresh_fibre: Fibre) -> None:
    """Unless a worker serves it: that one goes on."""
    fibre = fresh_fibre
    routed(fibre)
    fibre.gateway.process.kill()
    fibre.gateway.config.write_text("ports: [this is no configuration")
    with pytest.raises(LabError, match="worker goes on with the ports") as caught:
        fibre.gateway.start()
    assert "[config" in str(caught.value)
    forwarded(fibre)

    # The keeper sleeps: nobody hands anything back, or is started.
    os.kill(fibre.worker.pid, signal.SIGSTOP)
    try:
        fibre.worker.crash()
        with pytest.raises(LabError, match="the kernel gets them back"):
            fibre.gateway.start()
    finally:
        os.kill(fibre.worker.pid, signal.SIGCONT)
    assert in_the_kernel(fibre)
    assert not fibre.gateway.instance.taken_file.exists()


def test_the_device_itself_goes(fresh_fibre: Fibre) -> None:
    """That is said, and the other port goes on; when it is there again it is taken again."""
    fibre = fresh_fibre
    fibre.lab.run("west", ["ip", "link", "del", "eth0"])
    eventually(lambda: not fibre.taken("sfp1"), "the worker has let go of it", BACK_SECONDS)
    eventually(lambda: _missed(fibre, "sfp1"), "it is said that it is missing", BACK_SECONDS)
    counts = fibre.counting()
    fibre.wires.send(from_east(datagram(EAST.ip, SFP0.ip)), at="east")
    counts.expect(PUNT_LOCAL=1)
    assert pinged(fibre.lab, "east", SERVER) == 3

    _plug_again(fibre)
    eventually(lambda: fibre.taken("sfp1"), "the worker has it again", BACK_SECONDS)
    fibre.meet()
    counts = fibre.counting()
    assert pinged(fibre.lab, "east", WEST.ip) == 3
    counts.expect_some(FORWARD_IP4=6)


def _missed(fibre: Fibre, name: str) -> bool:
    warnings = fibre.gateway.call("status")["warnings"]
    return any(name in text and "does not exist" in text for text in warnings)


def _plug_again(fibre: Fibre) -> None:
    """What `Extension` has made, once more."""
    gateway, west = (fibre.lab.namespace(host) for host in ("gw", "west"))
    end = ["netns", west]
    make = ["ip", "link", "add", "sfp1", "netns", gateway, "type", "veth", "peer", "name", "eth0"]
    namespaces.run([*make, *end])
    for host, device in (("gw", "sfp1"), ("west", "eth0")):
        fibre.lab.run(host, ["ethtool", "-K", device, *PLAIN.split()])
    for name, port, via in ((gateway, SFP1, None), (west, WEST, SFP1)):
        lines = [
            f"link set {port.device} address {port.mac} up",
            f"addr add {port.network} dev {port.device}",
            f"addr add {SFP_IPV6[port]}/64 dev {port.device} nodad",
        ]
        namespaces.ip_batch(name, [*lines, *([f"route add default via {via.ip}"] if via else [])])


@pytest.mark.parametrize("end", ["detach", "stop of the worker"])
def test_given_back_in_good_order(fresh_fibre: Fibre, end: str) -> None:
    fibre = fresh_fibre
    routed(fibre)
    if end == "detach":
        fibre.gateway.ctl("detach", "--stay")
        assert in_the_kernel(fibre)
    else:
        fibre.worker.stop()
        given_back(fibre)
    eventually(lambda: gets_through(fibre), "the kernel forwards", BACK_SECONDS)
