# SPDX-License-Identifier: GPL-2.0-or-later
"""gw-worker as a process: how it ends, what stays, who may speak to it and what it survives."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether

from hybrid_gateway.errors import WorkerAbsentError
from hybrid_gateway.lab.places import program
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.packets import same, udp
from tests.lib.rpc import RawConnection, call

pytestmark = pytest.mark.dpdk

OURS, PEER = "198.51.100.1", "198.51.100.2"
RESIDENT_MB = 90
FAREWELL = b'{"jsonrpc":"2.0","method":"ended"}\n'


def passes(bench: Bench, port: Cable) -> None:
    """A packet for the gateway itself comes in by the port and reaches the kernel."""
    frame = Ether(dst=port.mac, src=port.far_mac) / udp(PEER, OURS, 4000, 4001)

    same(bench.send_and_expect(frame, via=port.far, at=port.kernel), frame)


def device(bench: Bench, name: str) -> dict[str, object]:
    """What ip(8) says about a device and its addresses."""
    shown: list[dict[str, object]] = json.loads(bench.run("ip", "-j", "address", "show", name))
    return shown[0]


def said(watched: socket.socket) -> bytes:
    """All that comes by a connection until the worker has ended."""
    found = b""
    while select.select([watched], [], [], 10)[0] and (more := watched.recv(4096)):
        found += more
    return found


@pytest.fixture
def port(own_bench: Bench) -> Cable:
    made = own_bench.port("p0", f"{OURS}/24")
    own_bench.settle()
    return made


# ---- ends ---------------------------------------------------------------------------------


def test_sigterm_is_an_orderly_end(own_bench: Bench, port: Cable) -> None:
    passes(own_bench, port)

    watched = own_bench.client.connected()

    assert own_bench.worker.stop() == 0
    assert said(watched) == FAREWELL
    assert not own_bench.instance.run_dir.exists()
    assert own_bench.worker.log_end() == "", "something to read in the journal"
    shown = device(own_bench, "p0")
    assert "NO-CARRIER" in str(shown["flags"]), "a TAP that nobody serves"
    assert OURS in str(shown["addr_info"])


def test_stop_is_one_too(own_bench: Bench, port: Cable) -> None:
    passes(own_bench, port)
    watched = own_bench.client.connected()

    own_bench.client.stop()

    assert said(watched) == FAREWELL
    # Whoever sees the connection end may have the devices.
    assert "NO-CARRIER" in str(device(own_bench, "p0")["flags"])
    assert own_bench.worker.wait() == 0
    with pytest.raises(WorkerAbsentError):
        own_bench.client.status()


def test_what_a_killed_worker_leaves_the_next_one_takes(own_bench: Bench, port: Cable) -> None:
    passes(own_bench, port)
    before = device(own_bench, "p0")
    own_bench.worker.kill()
    assert own_bench.absent()

    own_bench.again()

    after = device(own_bench, "p0")
    assert (after["ifindex"], after["addr_info"]) == (before["ifindex"], before["addr_info"])
    own_bench.settle()
    passes(own_bench, port)


def test_an_idle_connection_shows_the_end(own_bench: Bench) -> None:
    """And that it was none in good order."""
    watched = own_bench.client.connected()
    assert not select.select([watched], [], [], 0)[0]

    own_bench.worker.kill()

    assert said(watched) == b""


def test_a_port_goes_and_comes_back(own_bench: Bench, port: Cable) -> None:
    for _ in range(3):
        own_bench.client.remove_port("p0")
        assert "NO-CARRIER" in str(device(own_bench, "p0")["flags"])
        assert own_bench.client.status().ports == {}
        own_bench.add(port)
        own_bench.settle()
        passes(own_bench, port)


# ---- one for each instance ------------------------------------------------------------------


def test_two_instances_side_by_side(own_bench: Bench, port: Cable) -> None:
    with Bench.running("beside") as other:
        there = other.port("p0", f"{OURS}/24")
        other.settle()
        passes(other, there)
        passes(own_bench, port)
        other.worker.kill()
        passes(own_bench, port)
        other.again()
        other.settle()
        passes(other, there)


def test_a_second_worker_of_the_instance_is_refused(own_bench: Bench, port: Cable) -> None:
    done = subprocess.run(
        [str(program("gw-worker")), "--instance", own_bench.name],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert f"process {own_bench.worker.pid} [worker.running]" in done.stderr
    passes(own_bench, port)


def test_a_bad_instance_name_is_bad_usage() -> None:
    done = subprocess.run(
        [str(program("gw-worker")), "--instance", "../x"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


# ---- the socket -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(bench: Bench) -> Iterator[Path]:
    """The socket of a worker that still answers after each test."""
    yield bench.instance.worker_socket
    assert call(bench.instance.worker_socket, "status")["started"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"{}\n",
        b"\0\xff\xfe\n",
        b"[" * 100000 + b"\n",
        b'{"jsonrpc":"2.0","id":1,"method":"start","params":[]}\n',
        b"x" * (1 << 20) + b"xxxx",
    ],
    ids=["empty", "no-request", "binary", "deep", "list", "endless"],
)
def test_garbage_ends_a_connection_only(path: Path, garbage: bytes) -> None:
    with RawConnection(path) as connection:
        connection.send(garbage)
        assert "error" in json.loads(connection.line())
        assert connection.line() == b""
    assert call(path, "status")["started"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("nonsense", {}),
        ("status", {"x": 1}),
        ("start", {"options": {}}),
        ("start", {"options": {"cores": "1"}}),
        ("start", {"options": {"cores": [1], "memory_mb": -1}}),
        ("start", {"options": {"cores": [-1]}}),
        ("start", {"options": {"cores": [1], "x": 1}}),
        ("port.add", {"port": {}}),
        ("port.add", {"port": {"name": "a", "tap": "b", "device": "c\0d"}}),
        ("port.add", {"port": {"name": "a", "tap": "b", "device": "c", "polling": "never"}}),
        ("port.add", {"port": {"name": "a", "tap": "b", "device": "c", "lcore": 99}}),
        ("port.add", {"port": {"name": "a", "tap": "b", "device": "c", "rx_descriptors": 1 << 16}}),
        ("port.remove", {}),
        ("port.remove", {"name": 3}),
        ("mirror.wait", {"milliseconds": "x"}),
        ("mirror.wait", {"milliseconds": -1}),
    ],
)
def test_calls_that_make_no_sense(path: Path, method: str, params: dict[str, object]) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with RawConnection(path) as connection:
        connection.send(json.dumps(request).encode() + b"\n")
        answer = json.loads(connection.line())

    assert "internal" not in answer["error"]["message"], answer
    assert call(path, "status")["started"]


def test_whoever_leaves_midway_leaves_alone(path: Path) -> None:
    for part in (b"", b'{"jsonrpc":', b'{"jsonrpc":"2.0","id":1,"method":"graph"}\n' * 200):
        with RawConnection(path) as connection:
            connection.send(part)


def test_only_root_may_ask(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", connect],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert "PermissionError" in done.stderr


# ---- what it costs --------------------------------------------------------------------------


def resident_mb(pid: int) -> float:
    """Without hugepages, or what stands for them here: memory of a file of its own."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return sum(int(status[name].split()[0]) for name in ("RssAnon", "RssFile")) / 1024


def test_it_is_small(bench: Bench) -> None:
    port = bench.port("p0", f"{OURS}/24")
    bench.settle()
    passes(bench, port)

    assert resident_mb(bench.worker.pid) <= RESIDENT_MB


def test_it_loads_nothing_heavy() -> None:
    """What only the agent needs would be most of the process."""
    script = (
        "import sys, hybrid_gateway.worker; "
        "print(*(set(sys.modules) & {'pyroute2', 'jsonschema', 'yaml', 'nftables', 'click'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert done.stdout.strip() == ""


def test_the_data_path_has_its_cpu_to_itself(bench: Bench) -> None:
    """If there is another one, no thread but the lcore may run on it."""
    available = os.sched_getaffinity(0)
    core = bench.options.cores[0]
    if available == {core}:
        pytest.skip("one CPU")

    tasks = Path(f"/proc/{bench.worker.pid}/task").iterdir()
    there = [task for task in tasks if core in os.sched_getaffinity(int(task.name))]

    assert len(there) == 1, [(task / "comm").read_text().strip() for task in there]
    assert os.sched_getaffinity(int(there[0].name)) == {core}


def test_a_stopped_worker_is_too_slow_and_not_absent(bench: Bench) -> None:
    bench.worker.send_signal(signal.SIGSTOP)
    try:
        assert not bench.absent()
    finally:
        bench.worker.send_signal(signal.SIGCONT)
    assert bench.client.status().started
