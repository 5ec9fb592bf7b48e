# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent and the worker tell each other, there and back through JSON."""

import json
from dataclasses import replace

import pytest

from hybrid_gateway.api import plain
from hybrid_gateway.errors import (
    DeviceBusyError,
    GwError,
    UsageError,
    WorkerError,
    worker_error,
)
from hybrid_gateway.model import Polling
from hybrid_gateway.worker_values import (
    GraphNode,
    LcoreStatus,
    MemoryStatus,
    MirrorStatus,
    WorkerCounters,
    WorkerGraph,
    WorkerOptions,
    WorkerPort,
    WorkerStatus,
    decoded,
)
from tests.unit.fake_worker import port_status

OPTIONS = WorkerOptions(cores=(2, 3), routes6=250_000, iova_pa=True)
PORT = port_status(WorkerPort("sfp0", "enp4s0", "0000:04:00.0", Polling.INTERRUPT), 1 << 40)
STATUS = WorkerStatus(
    pid=1,
    started=True,
    options=OPTIONS,
    memory=MemoryStatus(1, 2, 3, 4, 5, 6),
    mirror=MirrorStatus(
        synchronised=True,
        punting4=False,
        punting6=True,
        problem="no room for more routes",
        **dict.fromkeys(
            (
                *("routes4", "routes6", "routes4_max", "routes6_max", "nexthops", "nexthops_max"),
                *("groups", "neighbours4", "neighbours6", "neighbours_max", "stations"),
                *("stations_max", "interfaces", "resyncs", "events"),
            ),
            7,
        ),
    ),
    ports={"sfp0": PORT, "sfp1": replace(PORT, name="sfp1")},
    lcores=(LcoreStatus(2, 2, 1, 1, 1, 1, 1, 1),),
)


@pytest.mark.parametrize(
    "value",
    [
        OPTIONS,
        WorkerPort("sfp0", "enp4s0", "0000:04:00.0", Polling.BUSY, lcore=1),
        WorkerPort("sfp0", "enp4s0", "0000:04:00.0"),
        STATUS,
        WorkerStatus(pid=1, started=False),
        WorkerCounters({"sfp0": {"FORWARD_IP4": 1}}),
        WorkerGraph((GraphNode("rx", 1, 2, 3, ("classify",)),)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_sent_arrives(value: object) -> None:
    sent = json.dumps(value, default=plain)

    assert decoded(type(value), json.loads(sent)) == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "WorkerPort: want an object"),
        ({}, "WorkerPort: name is missing"),
        ({"name": "a", "tap": "b", "device": "c", "x": 1}, "WorkerPort: there is no x"),
        ({"name": 1, "tap": "b", "device": "c"}, "name: must be of type str"),
        ({"name": "a", "tap": "b", "device": "c", "lcore": "1"}, "lcore: must be of type int"),
        ({"name": "a", "tap": "b", "device": "c", "lcore": True}, "lcore: must be of type int"),
        (
            {"name": "a", "tap": "b", "device": "c", "polling": "never"},
            "polling: 'never' is none of adaptive, busy, interrupt",
        ),
    ],
)
def test_what_is_wrong_is_named(data: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        decoded(WorkerPort, data)

    assert caught.value.message == words


@pytest.mark.parametrize("cores", ["1", 1, [True], ["1"], [[1]], None])
def test_a_list_is_one_of_its_kind(cores: object) -> None:
    with pytest.raises(UsageError, match="cores: must be of type"):
        decoded(WorkerOptions, {"cores": cores})


def test_errors_come_back_as_what_they_were() -> None:
    for kind in WorkerError.__subclasses__():
        error = kind("sfp0 is in use", where="gateway.yaml:7")
        sent = error.to_json()
        back = worker_error(sent["message"], sent["code"], sent["where"])
        assert (type(back), str(back), back.code) == (kind, str(error), error.code)


def test_codes_of_errors_are_their_own() -> None:
    kinds: list[type[GwError]] = [WorkerError, *WorkerError.__subclasses__()]

    assert DeviceBusyError in kinds
    assert len({kind.default_code for kind in kinds}) == len(kinds)


def test_an_error_of_another_kind_keeps_its_code() -> None:
    error = worker_error("what?", "usage")

    assert (type(error), error.code) == (WorkerError, "usage")
