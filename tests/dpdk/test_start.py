# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of the data path: what is refused, by which error, and what goes on meanwhile."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from hybrid_gateway.errors import (
    AlreadyStartedError,
    BadCoreError,
    NoHugepagesError,
    NotStartedError,
    WorkerError,
)
from hybrid_gateway.worker_values import WorkerOptions, WorkerPort, WorkerStatus
from tests.dpdk.harness import SMALL, Bench

pytestmark = pytest.mark.dpdk


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (replace(SMALL, cores=(1023,)), BadCoreError, "core 1023"),
        (replace(SMALL, cores=(70000,)), BadCoreError, "core 70000"),
        (replace(SMALL, cores=()), BadCoreError, "0 cores"),
        (replace(SMALL, cores=SMALL.cores * 2), BadCoreError, "twice"),
        (replace(SMALL, cores=tuple(range(17))), BadCoreError, "17 cores"),
        (replace(SMALL, memory_mb=32), NoHugepagesError, r"32 MB .* not enough: \d+ MB"),
        (
            replace(SMALL, no_huge=False, memory_mb=1 << 20),
            NoHugepagesError,
            r"1048576 MB of hugepages are asked for, and \d+ MB are free$",
        ),
    ],
    ids=["core", "core-16-bits", "no-core", "core-twice", "cores", "minimum", "hugepages"],
)
def test_a_bad_start_says_what_is_wrong(
    options: WorkerOptions, error: type[WorkerError], words: str
) -> None:
    with Bench.running("bad", options, started=False) as bench:
        with pytest.raises(error, match=words) as caught:
            bench.client.start(options)

        # EAL cannot try again in this process: whoever started it starts another.
        assert bench.worker.wait() == 1
        assert caught.value.code == error.default_code
        assert not bench.instance.worker_socket.exists()


# What EAL reads, in a mount namespace of its own: no hugepages, or as many pages as are said.
FAKED = """
mount -t tmpfs none /sys/kernel/mm/hugepages
for node in /sys/devices/system/node/node*/hugepages; do
    [ ! -d $node ] || mount -t tmpfs none $node
done
for pages in $2; do
    for folder in /sys/kernel/mm/hugepages /sys/devices/system/node/node*/hugepages; do
        [ -d $folder ] || continue
        mkdir $folder/hugepages-2048kB
        cd $folder/hugepages-2048kB
        echo $pages | tee nr_hugepages > free_hugepages
        echo 2 > resv_hugepages
        echo 0 | tee surplus_hugepages > nr_overcommit_hugepages
    done
done
exec "$0" -c "$1"
"""
HUGE = """
from hybrid_gateway.errors import GwError
from hybrid_gateway.worker.gate import Worker
from hybrid_gateway.worker_values import WorkerOptions
try:
    Worker(WorkerOptions(cores=(CORE,), memory_mb=1 << 17, no_pci=True))
except GwError as error:
    print(error.code, error)
"""


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ("", "and 0 MB are free\n"),
        ("2", "and 0 MB are free\n"),
        ("12", "and 20 MB are free\n"),
        # Then something else is in the way, which EAL may know.
        ("65538", "and could not be had although 131072 MB are free (EAL: "),
    ],
    ids=["none-at-all", "none-free", "some", "enough"],
)
def test_a_kernel_with_too_few_hugepages(pages: str, said: str) -> None:
    """The sentence is the same, whatever of them the kernel has."""
    script = HUGE.replace("CORE", str(SMALL.cores[0]))
    own = ["unshare", "--net", "--mount", "sh", "-ec", FAKED]

    printed = run_python([*own, sys.executable, script, pages])

    asked = "worker.no-hugepages 131072 MB of hugepages are asked for, "
    assert printed.startswith(asked + said), printed


def run_python(command: list[str]) -> str:
    """What it printed; its modules are those of this process."""
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout


def test_eal_starts_once(bench: Bench) -> None:
    with pytest.raises(AlreadyStartedError):
        bench.client.start(SMALL)

    assert bench.client.status().started


def test_before_the_start_there_is_nothing_to_ask() -> None:
    with Bench.running("early", started=False) as bench:
        assert bench.client.status() == WorkerStatus(bench.worker.pid, started=False)
        for call in (
            bench.client.counters,
            bench.client.graph,
            bench.client.wait_for_mirror,
            lambda: bench.client.remove_port("p0"),
            lambda: bench.client.add_port(WorkerPort("p0", "p0", "net_null0")),
        ):
            with pytest.raises(NotStartedError):
                call()


# Threads change only where one gives up the lock by itself: the other one's steps between `begun`
# and the end of the call were made while C ran.
HELD = """
import sys, threading, time
from hybrid_gateway.worker.gate import Worker
from hybrid_gateway.worker_values import WorkerOptions

sys.setswitchinterval(1000)
steps = 0
begun = threading.Event()

def other():
    global steps
    begun.wait()
    while True:
        steps += 1
        time.sleep(0.001)

threading.Thread(target=other, daemon=True).start()
options = WorkerOptions(cores=(CORE,), memory_mb=160, mbufs=8191, routes4=4096, routes6=4096,
                        neighbours=1024, stations=1024, no_huge=True, no_pci=True)
begun.set()
before = steps
worker = Worker(options)
print(before, steps, flush=True)
worker.stop()
"""


def test_long_calls_leave_the_interpreter_to_others() -> None:
    script = HELD.replace("CORE", str(SMALL.cores[0]))

    said = run_python(["unshare", "--net", sys.executable, "-c", script])

    before, after = map(int, said.split())
    assert after > before
