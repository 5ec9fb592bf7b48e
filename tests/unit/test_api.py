# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's socket against a stand-in agent: answers, permissions, and clients that misbehave."""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from hybrid_gateway import api
from hybrid_gateway.access import ROOT_ONLY, Access, Admission, access_of, restrict
from hybrid_gateway.client import Client
from hybrid_gateway.errors import (
    ConfigError,
    GwError,
    NotRunningError,
    Problem,
    RefusedError,
    RemoteError,
)
from hybrid_gateway.instance import Instance


@dataclass(frozen=True)
class Answer:
    address: IPv4Address = field(default_factory=lambda: IPv4Address("192.0.2.1"))
    names: tuple[str, ...] = ("lan0", "wan0")


@dataclass
class FakeAgent:
    """Answers each call with its own name and arguments."""

    applying: int = 0
    calls: list[str] = field(default_factory=list)

    def status(self) -> Answer:
        return Answer()

    async def check(self, config: str | None, sessions: list[str]) -> dict[str, Any]:
        assert not sessions
        await asyncio.sleep(0)
        return {"config": config}

    def plan(self, config: str | None, sessions: list[str]) -> dict[str, Any]:
        assert not sessions
        raise ConfigError([Problem(config or "?", 3, "ports", "is wrong")])

    async def apply(self, config: str | None, sessions: list[str], force: bool) -> dict[str, Any]:
        assert not sessions
        assert not force
        self.applying += 1
        assert self.applying == 1, "two changes at one time"
        await asyncio.sleep(0.01)
        self.applying -= 1
        return {"config": config}

    def detach(self) -> None:
        raise RefusedError("not ours", code="bpf.foreign-program")

    def show_ports(self) -> None:
        raise ZeroDivisionError("a fault of ours")

    def show_nat(self) -> str:
        return "x" * api.LINE_MAX

    def show_sessions(self, **asked: Any) -> dict[str, Any]:
        return {name: value for name, value in asked.items() if value}

    def show_mappings(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return {"cursor": cursor, "limit": limit, "filter": filter}

    def show_vxlan(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return {"cursor": cursor, "limit": limit, "filter": filter}

    def show_vteps(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any:
        return {"cursor": cursor, "limit": limit, "filter": filter}

    def show_fdb(self, cursor: int | str, limit: int, filter: dict[str, Any], count: bool) -> Any:
        return {"cursor": cursor, "limit": limit, "filter": filter, "count": count}

    def show_log(self) -> object:
        return {}

    def show_graph(self) -> None:
        raise NotImplementedError

    def show_counters(self) -> object:
        return object()

    def clear_sessions(self, filter: dict[str, Any]) -> dict[str, Any]:
        return {"cleared": 3, **filter}

    def nat_trace(self, packet: dict[str, Any]) -> dict[str, Any]:
        return packet

    def shutdown(self, detach: bool) -> dict[str, bool]:
        return {"detach": detach}


class Caller:
    """Whoever connects, and what they may do."""

    access = Access.WRITE


Scenario = Callable[[Path], Awaitable[None]]


def serve(tmp_path: Path, scenario: Scenario) -> None:
    """Run the scenario against a server, and ask for the status afterwards: it must go on."""

    async def run() -> None:
        path = tmp_path / "gw" / "agent.sock"
        admission = Admission("root", lambda _: Caller.access, restrict)
        server = api.Server(FakeAgent(), path, admission=admission)
        await server.start()
        try:
            await asyncio.wait_for(scenario(path), 20)
            assert (await ask(path, method="status"))["result"]["address"] == "192.0.2.1"
        finally:
            await server.stop()
        assert not path.exists()

    asyncio.run(run())


async def talk(path: Path, content: bytes) -> list[dict[str, Any]]:
    """Send bytes, end the sending side, return every answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(content)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    return [json.loads(line) for line in received.splitlines()]


async def ask(path: Path, **request: Any) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": 1} | request
    (answer,) = await talk(path, json.dumps(request).encode() + b"\n")
    return answer


def test_results_are_plain_data(tmp_path: Path) -> None:
    async def scenario(path: Path) -> None:
        answer = await ask(path, method="status")
        assert answer["result"] == {"address": "192.0.2.1", "names": ["lan0", "wan0"]}
        answer = await ask(path, method="check", params={"config": "/etc/gw/x.yaml"})
        assert answer["result"] == {"config": "/etc/gw/x.yaml"}
        answer = await ask(path, method="show.sessions", params={"limit": 5})
        assert answer["result"] == {"limit": 5}
        answer = await ask(path, method="shutdown", params={"detach": True})
        assert answer["result"] == {"detach": True}

    serve(tmp_path, scenario)


def test_errors_keep_their_code_and_place(tmp_path: Path) -> None:
    async def scenario(path: Path) -> None:
        error = (await ask(path, method="plan", params={"config": "f"}))["error"]
        assert error["data"]["where"] == "f:3: ports"
        assert error["data"]["exit_code"] == 2
        assert error["data"]["problems"][0]["line"] == 3
        error = (await ask(path, method="detach"))["error"]
        assert error["data"]["code"] == "bpf.foreign-program"

    serve(tmp_path, scenario)


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        ({"method": "no.such"}, api.METHOD_NOT_FOUND),
        ({"method": "status", "params": {"x": 1}}, api.INVALID_PARAMS),
        ({"method": "apply", "params": {"config": 1}}, api.INVALID_PARAMS),
        ({"method": "show.sessions", "params": {"limit": True}}, api.INVALID_PARAMS),
        ({"method": "show.sessions", "params": {"limit": 10**6}}, api.INVALID_PARAMS),
        ({"method": "show.sessions", "params": {"cursor": -1}}, api.INVALID_PARAMS),
        ({"method": "show.nat"}, api.GW_ERROR),
    ],
)
def test_a_wrong_request_is_answered(tmp_path: Path, request_: dict[str, Any], number: int) -> None:
    async def scenario(path: Path) -> None:
        assert (await ask(path, **request_))["error"]["code"] == number

    serve(tmp_path, scenario)


def test_a_fault_in_a_method_is_logged_and_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(path: Path) -> None:
        for method in ("show.ports", "show.counters"):
            error = (await ask(path, method=method))["error"]
            assert error["code"] == api.INTERNAL_ERROR
            assert "fault" not in error["message"]

    with caplog.at_level(logging.ERROR):
        serve(tmp_path, scenario)
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (b"hello\n", api.PARSE_ERROR),
        (b"\x00\xff\xfe\n", api.PARSE_ERROR),
        (b"\n", api.PARSE_ERROR),
        (b"[" * 100_000 + b"\n", api.PARSE_ERROR),
        (b"[]\n", api.INVALID_REQUEST),
        (b"7\n", api.INVALID_REQUEST),
        (b'{"method": "status", "id": 1}\n', api.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": 1, "id": 1}\n', api.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "status", "params": [], "id": 1}\n', api.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "status", "id": {}}\n', api.INVALID_REQUEST),
        (b"x" * (api.LINE_MAX + 70_000), api.PARSE_ERROR),
    ],
)
def test_garbage_ends_that_connection(tmp_path: Path, content: bytes, number: int) -> None:
    async def scenario(path: Path) -> None:
        # Whatever follows the garbage is not read.
        answers = await talk(path, content + b'{"jsonrpc":"2.0","method":"status","id":1}\n')
        assert [answer["error"]["code"] for answer in answers] == [number]

    serve(tmp_path, scenario)


def test_clients_that_leave_midway(tmp_path: Path) -> None:
    async def scenario(path: Path) -> None:
        for content in (b"", b'{"jsonrpc": "2.0", "met', b"x" * 200_000):
            assert await talk(path, content) == []
        for method in ("apply", "show.sessions"):
            _, writer = await asyncio.open_unix_connection(path)
            request = {"jsonrpc": "2.0", "id": 1, "method": method}
            writer.write((json.dumps(request) + "\n").encode() * 50)
            await writer.drain()
            writer.transport.abort()

    serve(tmp_path, scenario)


def test_requests_in_a_row_and_notifications(tmp_path: Path) -> None:
    async def scenario(path: Path) -> None:
        lines = [
            {"jsonrpc": "2.0", "id": "a", "method": "show.sessions"},
            {"jsonrpc": "2.0", "method": "clear.sessions"},
            {"jsonrpc": "2.0", "id": None, "method": "show.sessions"},
            {"jsonrpc": "2.0", "id": 3, "method": "clear.sessions"},
        ]
        answers = await talk(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        assert [answer["id"] for answer in answers] == ["a", None, 3]

    serve(tmp_path, scenario)


def test_changes_run_one_at_a_time(tmp_path: Path) -> None:
    async def scenario(path: Path) -> None:
        answers = await asyncio.gather(*(ask(path, method="apply") for _ in range(5)))
        assert all("result" in answer for answer in answers)

    serve(tmp_path, scenario)


def test_readers_look_and_do_not_touch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(path: Path) -> None:
        monkeypatch.setattr(Caller, "access", Access.READ)
        assert "result" in await ask(path, method="check")
        for request in (
            {"method": "apply"},
            {"method": "shutdown"},
            {"method": "check", "params": {"config": "/etc/shadow"}},
        ):
            assert (await ask(path, **request))["error"]["data"]["code"] == "permission"

    serve(tmp_path, scenario)


def test_strangers_learn_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(path: Path) -> None:
        monkeypatch.setattr(Caller, "access", Access.NONE)
        assert (await ask(path, method="status"))["error"]["data"]["code"] == "permission"
        monkeypatch.setattr(Caller, "access", Access.READ)

    serve(tmp_path, scenario)


def test_readers_cannot_shut_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(path: Path) -> None:
        monkeypatch.setattr(Caller, "access", Access.READ)
        idle = [await asyncio.open_unix_connection(path) for _ in range(api.READERS_MAX)]
        # One question on each, so that all are known to be accepted.
        for reader, writer in idle:
            writer.write(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
            await reader.readline()
        assert "too many" in (await ask(path, method="status"))["error"]["message"]
        monkeypatch.setattr(Caller, "access", Access.WRITE)
        assert "result" in await ask(path, method="status")
        for _, writer in idle:
            writer.close()

    serve(tmp_path, scenario)


def test_a_socket_of_root_alone() -> None:
    @dataclass
    class Peer:
        uid: int

        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("iII", 1, self.uid, 0)

    assert ROOT_ONLY.peer_access(cast(socket.socket, Peer(0))) is Access.WRITE
    assert ROOT_ONLY.peer_access(cast(socket.socket, Peer(1000))) is Access.NONE


def test_access_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"gw": 50, "gw-admin": 51}
    monkeypatch.setattr("hybrid_gateway.access.group_id", groups.get)

    assert access_of(0, set()) is Access.WRITE
    assert access_of(12345, {7, 51}) is Access.WRITE
    assert access_of(12345, {7, 50}) is Access.READ
    assert access_of(12345, {7}) is Access.NONE
    monkeypatch.setattr("hybrid_gateway.access.group_id", lambda _: None)
    assert access_of(12345, {7}) is Access.NONE


def test_the_socket_is_private_until_groups_exist(tmp_path: Path) -> None:
    async def scenario(path: Path) -> None:
        assert path.stat().st_mode & 0o007 == 0

    serve(tmp_path, scenario)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setattr("hybrid_gateway.instance.RUN_DIR", tmp_path)
    return Instance("test")


def test_the_client(instance: Instance) -> None:
    async def run() -> None:
        server = api.Server(FakeAgent(), instance.socket)
        await server.start()
        try:
            await asyncio.to_thread(calls)
        finally:
            await server.stop()

    def calls() -> None:
        with Client(instance) as client:
            assert client.call("clear.sessions") == {"cleared": 3}
            assert client.call("check", config=None) == {"config": None}
            with pytest.raises(RemoteError, match="f:3: ports: is wrong") as caught:
                client.call("plan", config="f")
            assert caught.value.exit_code == 2
            assert caught.value.to_json()["problems"][0]["key"] == "ports"
            with pytest.raises(RemoteError, match="no method"):
                client.call("nonsense")
            assert client.call("show.sessions", limit=2) == {"limit": 2}

    asyncio.run(run())


def test_the_client_without_an_agent(instance: Instance) -> None:
    with pytest.raises(NotRunningError, match="instance test does not run"):
        Client(instance).call("status")


def test_the_client_of_an_agent_that_hangs_or_hangs_up(instance: Instance) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.close()

    async def run() -> None:
        instance.socket.parent.mkdir(parents=True)
        server = await asyncio.start_unix_server(silent, path=instance.socket)
        async with server:
            with pytest.raises(GwError, match=r"did not answer status within 0\.1 s"):
                await asyncio.to_thread(Client(instance, timeout=0.1).call, "status")
            with pytest.raises(GwError, match="ended the connection during status"):
                await asyncio.to_thread(Client(instance, timeout=5).call, "status")

    asyncio.run(run())
