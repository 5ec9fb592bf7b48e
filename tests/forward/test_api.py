# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a client sends, its own connection ends and the agent goes on."""

import json
from typing import Any

import pytest

from tests.lib.gateway import Gateway
from tests.lib.rpc import RawConnection

ABUSE = {
    "no JSON": b"GET / HTTP/1.1\r\n\r\n\n",
    "no UTF-8": b"\xff\xfe\x00\n",
    "an empty line": b"\n",
    "JSON that is no object": b"[1, 2, 3]\n",
    "no method": b'{"jsonrpc": "2.0", "id": 1}\n',
    "a method that is a number": b'{"jsonrpc": "2.0", "id": 1, "method": 7}\n',
    "deep nesting": b"[" * 100_000 + b"\n",
    "numbers without end": b'{"jsonrpc": "2.0", "id": 1' + b"0" * 100_000 + b"}\n",
}


def still_answers(gateway: Gateway) -> None:
    pid = gateway.process.pid
    assert gateway.call("status")["pid"] == pid


@pytest.mark.parametrize("name", ABUSE)
def test_garbage(gateway: Gateway, name: str) -> None:
    with RawConnection(gateway.instance.socket) as connection:
        connection.send(ABUSE[name])
        answer = connection.line()
        if answer:
            assert "error" in json.loads(answer)
    still_answers(gateway)


def test_two_megabytes_without_a_newline(gateway: Gateway) -> None:
    with RawConnection(gateway.instance.socket) as connection:
        try:
            connection.send(b"x" * (2 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it need not read to the end
        else:
            answer = connection.line()
            assert not answer or "error" in json.loads(answer)
            assert connection.line() == b""
    still_answers(gateway)


def test_disconnecting_midway(gateway: Gateway) -> None:
    for part in (b'{"jsonrpc": "2.0", "id": 1, "meth', b'{"jsonrpc": "2.0", "id": 1, '):
        with RawConnection(gateway.instance.socket) as connection:
            connection.send(part)
    for _ in range(20):
        with RawConnection(gateway.instance.socket) as connection:
            # Gone before the answer can be written.
            connection.send(b'{"jsonrpc": "2.0", "id": 1, "method": "show.counters"}\n' * 50)
    still_answers(gateway)


def test_unknown_methods_and_parameters(gateway: Gateway) -> None:
    requests: tuple[dict[str, Any], ...] = (
        {"method": "make.coffee"},
        {"method": "status", "params": {"milk": True}},
        {"method": "show.sessions", "params": {"cursor": "first"}},
        {"method": "show.sessions", "params": {"cursor": -1, "limit": 1 << 40}},
        {"method": "__init__"},
    )
    with RawConnection(gateway.instance.socket) as connection:
        for number, request in enumerate(requests):
            line = json.dumps({"jsonrpc": "2.0", "id": number, **request})
            connection.send(line.encode() + b"\n")
            answer = json.loads(connection.line())
            assert answer["id"] == number
            assert "error" in answer, answer
    still_answers(gateway)


def test_a_long_answer_is_paged(gateway: Gateway) -> None:
    page = gateway.call("show.sessions", cursor=0, limit=1)
    assert set(page) >= {"sessions", "next"}
