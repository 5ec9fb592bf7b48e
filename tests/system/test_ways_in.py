# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports that should not be taken: the owner's way in goes through them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.errors import RefusedError
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Plane, Port
from tests.lib.configured import DEVICE, plain

SFP = Port("sfp", plane=Plane.DPDK, vdev=f"net_af_packet0,iface={DEVICE}")
PEER = ip_address("192.0.2.50")
UNIT = Path(__file__).resolve().parents[2] / "systemd" / "gw-agent.service"


def test_the_port_of_an_ssh_session(place: Path) -> None:
    plain([f"addr add 192.0.2.1/24 dev {DEVICE}", "addr add 192.0.2.1/32 dev lo"])
    handover = Handover(place)

    handover.check(SFP)
    handover.check(SFP, sessions=[ip_address("10.50.0.9"), ip_address("192.0.2.1")])
    with pytest.raises(RefusedError, match=f"session from {PEER} comes by {DEVICE}") as caught:
        handover.check(SFP, sessions=[PEER])
    assert caught.value.code == "device.session"
    handover.check(SFP, sessions=[PEER], force=True)


def test_an_ssh_session_from_a_link_local_address(place: Path) -> None:
    """To which a route alone says nothing: each device has one."""
    peer = ip_address("fe80::50")
    handover = Handover(place)
    for device, refused in (("o0", False), (DEVICE, True)):
        run(["ip", "neigh", "add", str(peer), "lladdr", "02:00:00:00:00:50", "dev", device])
        if refused:
            with pytest.raises(RefusedError, match=f"session from {peer} comes by {DEVICE}"):
                handover.check(SFP, sessions=[peer])
        else:
            handover.check(SFP, sessions=[peer])
        run(["ip", "neigh", "del", str(peer), "dev", device])


def test_an_ssh_session_over_a_bridge(place: Path) -> None:
    """Whose port is known is let go; where nobody knows, it might be this one."""
    plain(
        [
            f"link set {DEVICE} master br0",
            "link set o0 master br0",
            "addr add 192.0.2.1/24 dev br0",
            f"neigh add {PEER} lladdr 02:00:00:00:00:50 dev br0",
        ]
    )
    handover = Handover(place)

    with pytest.raises(RefusedError):
        handover.check(SFP, sessions=[PEER])
    run(["bridge", "fdb", "add", "02:00:00:00:00:50", "dev", "o0", "master", "static"])
    handover.check(SFP, sessions=[PEER])
    run(["bridge", "fdb", "replace", "02:00:00:00:00:50", "dev", DEVICE, "master", "static"])
    with pytest.raises(RefusedError):
        handover.check(SFP, sessions=[PEER])


# sshd as the kernel sees it: a name, all capabilities, and a connection.
SSHD = """
import os, socket, sys
open("/proc/self/comm", "wb").write(os.fsencode(sys.argv[1]))
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
listener = socket.create_server((sys.argv[2], int(sys.argv[3])), family=family)
print("listens", flush=True)
session = listener.accept()[0]
listener.close()
print("has a session", flush=True)
sys.stdin.read()
"""
CHECK = """
import sys
from pathlib import Path
from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.errors import RefusedError
from hybrid_gateway.model import Port
try:
    Handover(Path(sys.argv[1])).check(Port("sfp", vdev=sys.argv[2]))
except RefusedError as error:
    print(error)
"""


@contextmanager
def ssh_session(
    name: str, port: int, here: str = "192.0.2.1", peer: str = str(PEER)
) -> Iterator[None]:
    """A process of that name with a connection that comes by the device that is to be taken."""
    bits, nodad = ("64", ["nodad"]) if ":" in here else ("24", [])
    run(["ip", "addr", "add", f"{here}/{bits}", "dev", DEVICE, *nodad])
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", SSHD, name, here, str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        assert server.stdout.readline() == "listens\n"
        with namespaces.entered(f"gwhand{os.getpid()}-f"):
            run(["ip", "addr", "add", f"{peer}/{bits}", "dev", "far0", *nodad])
            stack.enter_context(socket.create_connection((here, port), timeout=30))
        assert server.stdout.readline() == "has a session\n"
        yield


def said_by_the_unit(place: Path) -> str:
    """What is refused to a process with the capabilities of the agent's unit."""
    unit = UNIT.read_text()
    (line,) = (one for one in unit.splitlines() if one.startswith("CapabilityBoundingSet="))
    names = line.partition("=")[2].lower().replace("cap_", "+").split()
    command = ["setpriv", f"--bounding-set=-all,{','.join(names)}", sys.executable, "-c", CHECK]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*command, str(place), f"{SFP.vdev}"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


@pytest.mark.parametrize(
    ("name", "port"), [("sshd", 22), ("sshd", 2222), ("sshd-session", 443), ("dropbear", 2022)]
)
def test_sessions_that_nobody_named(place: Path, name: str, port: int) -> None:
    """At whatever port the server listens, also by what the unit lets the agent see."""
    with ssh_session(name, port):
        with pytest.raises(RefusedError, match=f"session from {PEER}"):
            Handover(place).check(SFP)
        assert said_by_the_unit(place).startswith(f"the SSH session from {PEER} comes by {DEVICE}")
        Handover(place).check(SFP, force=True)


def test_sessions_over_ipv6(place: Path) -> None:
    here, peer = "2001:db8:5::1", "2001:db8:5::50"
    with ssh_session("sshd", 2222, here, peer):
        assert said_by_the_unit(place).startswith(f"the SSH session from {peer} comes by {DEVICE}")


@pytest.mark.parametrize("name", ["httpd", os.fsdecode(b"\xff")], ids=["httpd", "not UTF-8"])
def test_connections_of_others_are_no_sessions(place: Path, name: str) -> None:
    """Anybody may call his process what he likes."""
    with ssh_session(name, 8080):
        Handover(place).check(SFP)
        assert said_by_the_unit(place) == ""


@pytest.mark.parametrize("family", ["4", "6"])
def test_the_last_default_route(place: Path, family: str) -> None:
    gateways = {"4": ("192.0.2.254", "10.50.0.254"), "6": ("fe80::254", "fe80::254")}[family]
    plain([f"addr add 192.0.2.1/24 dev {DEVICE}"])
    run(["ip", f"-{family}", "route", "add", "default", "via", gateways[0], "dev", DEVICE])
    handover = Handover(place)

    with pytest.raises(RefusedError, match=f"last default route of IPv{family} leaves") as caught:
        handover.check(SFP)
    assert caught.value.code == "device.last-default"
    handover.check(SFP, force=True)
    another = ["default", "via", gateways[1], "dev", "o0", "metric", "5000"]
    run(["ip", f"-{family}", "route", "add", *another])
    handover.check(SFP)


def test_the_last_default_routes(place: Path) -> None:
    """By two ports, of which neither has the last one: both would go, now or one by one."""
    plain(
        [
            f"addr add 192.0.2.1/24 dev {DEVICE}",
            f"route add default via 192.0.2.254 dev {DEVICE}",
            "route add default via 10.50.0.254 dev o0 metric 5000",
        ]
    )
    handover = Handover(place)
    other = Port("other", plane=Plane.DPDK, vdev="net_af_packet1,iface=o0")
    absent = Port("absent", "nosuch0", Plane.DPDK)

    handover.check(SFP, beside=[SFP, absent])
    for one in (SFP, other):
        with pytest.raises(RefusedError, match="last default route of IPv4 leaves by") as caught:
            handover.check(one, beside=[SFP, other])
        assert caught.value.code == "device.last-default"
        handover.check(one, beside=[SFP, other], force=True)
    handover.take(SFP)
    with pytest.raises(RefusedError, match="leaves by o0, or by other ports of the worker"):
        handover.check(other)
    plain(["route add default via 10.50.0.253 dev br0 onlink metric 6000"])
    handover.check(other)
    handover.give_back("sfp")


def test_a_default_route_by_a_bridge(place: Path) -> None:
    """Or by what is made on one, as a VLAN is: by the port behind which the gateway is."""
    plain(
        [
            f"link set {DEVICE} master br0",
            "link set o0 master br0",
            "link add link br0 name upper0 type macvlan",
            "link set upper0 up",
        ]
    )
    gateway, mac = "192.0.2.254", "02:00:00:00:02:54"
    handover = Handover(place)
    for out in ("br0", "upper0"):
        plain(
            [
                f"addr add 192.0.2.1/24 dev {out}",
                f"route add default via {gateway} dev {out}",
            ]
        )
        with pytest.raises(RefusedError, match=f"last default route of IPv4 leaves by {DEVICE}"):
            handover.check(SFP)  # nobody knows the gateway
        run(["ip", "neigh", "replace", gateway, "lladdr", mac, "nud", "permanent", "dev", out])
        for port, refused in ((DEVICE, True), ("o0", False)):
            run(["bridge", "fdb", "replace", mac, "dev", port, "master", "static"])
            if refused:
                with pytest.raises(RefusedError, match="last default route of IPv4 leaves by"):
                    handover.check(SFP)
            else:
                handover.check(SFP)
        run(["bridge", "fdb", "del", mac, "dev", "o0", "master"])
        run(["ip", "addr", "flush", "dev", out])


def test_a_default_route_by_an_object(place: Path) -> None:
    """Also where the kernel does not spell out in the route where that goes."""
    plain(
        [
            f"addr add 192.0.2.1/24 dev {DEVICE}",
            f"nexthop add id 7 via 192.0.2.254 dev {DEVICE}",
            "route add default nhid 7",
        ]
    )
    handover = Handover(place)
    for mode in ("1", "0"):
        Path("/proc/sys/net/ipv4/nexthop_compat_mode").write_text(mode)
        with pytest.raises(RefusedError, match=f"last default route of IPv4 leaves by {DEVICE}"):
            handover.check(SFP)
    run(["ip", "route", "add", "default", "via", "10.50.0.254", "dev", "o0", "metric", "5000"])
    handover.check(SFP)
