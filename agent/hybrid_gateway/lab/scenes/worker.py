# SPDX-License-Identifier: GPL-2.0-or-later
"""The ports of the DPDK worker: what it forwards, and what it leaves to the kernel."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ...worker_client import WorkerClient
from ..namespaces import LabError
from ..services import servers
from ..sfp import EAST, SFP0, SFP1, SFP_IPV6, WEST
from ..stage import SEGMENT, SERVER, SETTLE_SECONDS, Row, Stage, same_blob
from ..topology import LAN

SIZE = 20_000_000
FULL, FULL6 = str(SEGMENT - 28), str(SEGMENT - 48)
"""Bytes of an echo request that fills a link: IP and ICMP headers are the rest."""
NARROW = 1400
BRIDGE, STRETCHED = "brsfp", ("198.18.2.10", "198.18.2.11")
BACK_SECONDS = 15
GRAPH_SHOWN = ("rx", "classify", "ip4-lookup", "ip4-rewrite", "tx")


def _by_kernel(stage: Stage, family: str) -> int:
    """Packets that the kernel of the gateway has forwarded."""
    if family == "Ip6":
        said = stage.lab.run("gw", ["cat", "/proc/net/snmp6"])
        found = re.search(r"^Ip6OutForwDatagrams\s+(\d+)", said, re.MULTILINE)
        return int(found[1]) if found else 0
    names, values = re.findall(r"^Ip: (.*)", stage.lab.run("gw", ["cat", "/proc/net/snmp"]), re.M)
    return int(values.split()[names.split().index("ForwDatagrams")])


def routed(stage: Stage) -> Row:
    return _routed(stage, "IPv4", "Ip", WEST.ip, WEST.ip)


def routed6(stage: Stage) -> Row:
    return _routed(stage, "IPv6", "Ip6", SFP_IPV6[WEST], f"[{SFP_IPV6[WEST]}]")


def _routed(stage: Stage, family: str, kernels: str, target: str, literal: str) -> Row:
    _meet(stage, target)
    with servers(stage.lab, "west", http=[f"{literal}:80"]):
        before, kernel = stage.counters(), _by_kernel(stage, kernels)
        count = stage.ping("east", target, 10)
        right = same_blob(stage.curl("east", f"http://{literal}/blob/{SIZE}"), SIZE)
        moved, kernel = stage.moved(before), _by_kernel(stage, kernels) - kernel
    return Row(
        f"DPDK worker: {family}",
        f"ping -c 10 and curl of {SIZE // 1_000_000} MB from {target}, behind sfp1, on east, "
        "behind sfp0",
        f"{count} answers; the SHA-256 is {'right' if right else 'WRONG'}; the kernel forwarded "
        f"{kernel} packets",
        moved,
        count == 10
        and right
        and not kernel
        and moved.get(f"FORWARD_IP{family[-1]}", 0) > SIZE / SEGMENT + 20,
    )


def _meet(stage: Stage, target: str) -> None:
    """The kernel resolves both neighbours, and the worker knows them."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        before = stage.counters()
        if stage.ping("east", target, 1) and "PUNT_NEIGHBOUR" not in stage.moved(before):
            return
    raise LabError(f"{target} cannot be reached from east")


def to_the_internet(stage: Stage) -> Row:
    before = stage.counters()
    right = same_blob(stage.curl("east", f"http://{SERVER}/blob/{SIZE // 4}"), SIZE // 4)
    count = stage.ping("lan", EAST.ip, 5)
    moved = stage.moved(before)
    return Row(
        "Between a port of the worker and the kernel's",
        f"curl of {SIZE // 4_000_000} MB from {SERVER} on east; ping -c 5 {EAST.ip} from {LAN.ip}",
        f"the SHA-256 is {'right' if right else 'WRONG'}; {count} answers",
        moved,
        right and count == 5 and moved.get("PUNT_OTHER_DEVICE", 0) > 5,
    )


def gateway_itself(stage: Stage) -> Row:
    before = stage.counters()
    count = stage.ping("east", SFP0.ip, 5)
    to, back = (_iperf3(stage, *options) for options in ([], ["-R"]))
    moved = stage.moved(before)
    return Row(
        "TCP with the gateway itself",
        f"ping -c 5 {SFP0.ip} and iperf3, a second each way, on east: through the TAP",
        f"{count} answers; {to / 1e9:.1f} Gb/s there, {back / 1e9:.1f} Gb/s back",
        moved,
        count == 5
        and min(to, back) > 0
        and min(moved.get("PUNT_LOCAL", 0), moved.get("FROM_KERNEL", 0)) > 1000,
    )


def _iperf3(stage: Stage, *options: str) -> float:
    """Bits a second that arrived."""
    server = stage.lab.popen("gw", ["iperf3", "-s", "-1", "-B", SFP0.ip, "--forceflush"])
    with server:
        try:
            assert server.stdout is not None
            while b"listening" not in server.stdout.readline():
                if server.poll() is not None:
                    raise LabError("iperf3 does not listen")
            client = ["iperf3", "-c", SFP0.ip, "-J", "-t", "1", *options]
            said = json.loads(stage.lab.run("east", client))
        finally:
            server.kill()
    return float(said["end"]["sum_received"]["bits_per_second"])


def traceroute(stage: Stage) -> Row:
    before = stage.counters()
    hops = []
    for target in (WEST.ip, SFP_IPV6[WEST]):
        said = stage.lab.run("east", ["traceroute", "-n", "-q", "1", "-w", "2", target])
        hops += re.findall(r"^ *\d+  ([0-9a-f.:]+)  ", said, re.MULTILINE)
    moved = stage.moved(before)
    return Row(
        "Time exceeded",
        f"traceroute {WEST.ip} and {SFP_IPV6[WEST]} on east",
        f"hops: {', '.join(hops)}",
        moved,
        hops == [SFP0.ip, WEST.ip, SFP_IPV6[SFP0], SFP_IPV6[WEST]] and moved.get("PUNT_TTL") == 2,
    )


def too_big(stage: Stage) -> Row:
    with _ip(stage, f"link set sfp1 mtu {NARROW}", f"link set sfp1 mtu {SEGMENT}"):
        before = stage.counters()
        lost = stage.ping("east", WEST.ip, 1, "-M", "do", "-s", FULL, in_vain=True)
        lost += stage.ping("east", SFP_IPV6[WEST], 1, "-M", "do", "-s", FULL6, in_vain=True)
        learned = [
            re.search(r"mtu (\d+)", stage.lab.run("east", ["ip", "route", "get", target]))
            for target in (WEST.ip, SFP_IPV6[WEST])
        ]
        moved = stage.moved(before)
    sizes = [found[1] for found in learned if found]
    for family in ("-4", "-6"):
        stage.lab.run("east", ["ip", family, "route", "flush", "cache"])
    return Row(
        "Path-MTU discovery",
        f"`ip link set sfp1 mtu {NARROW}`; pings of {SEGMENT} bytes with DF and by IPv6",
        f"{lost} answers; east learned an MTU of {' and '.join(sizes) or 'nothing'}",
        moved,
        not lost and sizes == [str(NARROW)] * 2 and moved.get("PUNT_TOO_BIG") == 2,
    )


@contextmanager
def _ip(stage: Stage, line: str, undo: str) -> Iterator[None]:
    """`ip` in the gateway, and what takes it back."""
    try:
        _told(stage, line)
        yield
    finally:
        _told(stage, undo)


def _told(stage: Stage, line: str) -> None:
    """Once this returns the worker knows it, too."""
    stage.lab.run("gw", ["ip", *line.split()])
    with WorkerClient(stage.instance.worker_socket) as worker:
        worker.wait_for_mirror()


def route_changed(stage: Stage) -> Row:
    before = stage.counters()
    with _ip(stage, f"route add blackhole {WEST.ip}", f"route del blackhole {WEST.ip}"):
        lost = stage.ping("east", WEST.ip, 3, in_vain=True)
    got = stage.ping("east", WEST.ip, 3)
    moved = stage.moved(before)
    return Row(
        "A route that changes",
        f"`ip route add blackhole {WEST.ip}`, ping -c 3; `ip route del`, ping -c 3",
        f"{lost} answers, then {got}",
        moved,
        not lost and got == 3 and moved.get("DROP_BLACKHOLE") == 3,
    )


def down_and_up(stage: Stage) -> Row:
    before = stage.counters()
    with _ip(stage, "link set sfp0 down", "link set sfp0 up"):
        lost = stage.ping("east", WEST.ip, 3, in_vain=True)
    # The kernel has thrown away the IPv6 addresses with the link.
    _told(stage, f"addr replace {SFP_IPV6[SFP0]}/64 dev sfp0 nodad")
    _meet(stage, WEST.ip)
    got = stage.ping("east", WEST.ip, 3)
    moved = stage.moved(before)
    return Row(
        "A port that goes down and up",
        "`ip link set sfp0 down`, ping -c 3; `ip link set sfp0 up`, ping -c 3",
        f"{lost} answers, then {got}",
        moved,
        not lost and got == 3 and moved.get("FORWARD_IP4", 0) >= 6,
    )


def bridged(stage: Stage) -> Row:
    with ExitStack() as stack:
        kind = "type bridge forward_delay 0 mcast_snooping 0"
        stack.enter_context(_ip(stage, f"link add {BRIDGE} {kind}", f"link del {BRIDGE}"))
        for port in (SFP0, SFP1):
            line = f"link set {port.device} "
            stack.enter_context(_ip(stage, f"{line} master {BRIDGE}", f"{line} nomaster"))
        for host, address in zip((EAST, WEST), STRETCHED, strict=True):
            added = ["ip", "addr", "add", f"{address}/24", "dev", host.device]
            stage.lab.run(host.host, added)
            stack.callback(stage.lab.run, host.host, ["ip", "addr", "del", *added[3:]])
        _told(stage, f"link set {BRIDGE} up")
        stage.ping("east", STRETCHED[1], 2)
        before = stage.counters()
        count = stage.ping("east", STRETCHED[1], 10)
        moved = stage.moved(before)
    return Row(
        "Bridging",
        f"sfp0 and sfp1 in one bridge of the kernel's; ping -c 10 from {STRETCHED[0]} to "
        f"{STRETCHED[1]}",
        f"{count} answers",
        moved,
        count == 10 and moved.get("FORWARD_BRIDGE", 0) >= 18,
    )


def killed(stage: Stage) -> Row:
    _meet(stage, WEST.ip)
    status = stage.call("status")
    begun = time.monotonic()
    stage.worker.crash()
    first = ["ping", "-n", "-i", "0.05", "-c", "1", "-w", str(BACK_SECONDS), WEST.ip]
    stage.lab.run("east", first)
    dark = time.monotonic() - begun
    _meet(stage, WEST.ip)
    counted = stage.counters()
    count = stage.ping("east", WEST.ip, 10)
    moved = stage.moved(counted)
    return Row(
        "gw-worker killed (SIGKILL)",
        "it is started again, as systemd would; ping until there is an answer, and ping -c 10",
        f"forwards again after {dark:.1f} s; {count} answers; addresses and routes were there all "
        "the time",
        moved,
        count == 10 and moved.get("FORWARD_IP4", 0) >= 20 and status["state"] == "forwarding",
    )


def graph(stage: Stage) -> Row:
    stage.ping("east", WEST.ip, 1)
    said = json.loads(stage.gwctl("--json", "show", "graph"))
    nodes = {node["name"]: node["packets"] for node in said["nodes"]}
    shown = {name: nodes.get(name, 0) for name in GRAPH_SHOWN}
    return Row(
        "Graph",
        "`gwctl show graph`",
        "packets by node: "
        + ", ".join(f"{name}\N{NO-BREAK SPACE}{n}" for name, n in shown.items()),
        {},
        min(shown.values()) > 0,
    )
