# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon's socket: JSON-RPC 2.0, one object a line of at most 1 MiB.

Whatever a client sends, only its own connection suffers. Answers come in the
order of the requests; methods that change something run one at a time.
"""

import asyncio
import contextlib
import dataclasses
import inspect
import json
import logging
import os
import socket
from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Any

from ..access import BY_GROUP, Access, Admission
from ..errors import GwError, PermissionDeniedError
from .methods import METHODS, Method

LINE_MAX = 1 << 20
READERS_MAX = 16
"""Connections of the group gw at a time; those that may write are never turned away."""
IDLE_MAX = 300.0
"""Of the same: root may hold a connection to see when the daemon ends."""
LINGER_MAX = 1.0
WRITE_MAX = 30.0
PAGE_MAX = 2000
"""Sessions in one answer, which is then below LINE_MAX whatever their figures are."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR, GW_ERROR = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32603,
    -32000,
)

log = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that JSON-RPC itself forbids."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def plain(value: Any) -> Any:
    """For json.dumps: dataclasses, enums, addresses and paths as what they stand for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (IPv4Address, IPv4Network, IPv6Address, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _encode(answer: Mapping[str, Any]) -> bytes:
    line = json.dumps({"jsonrpc": "2.0", **answer}, default=plain, separators=(",", ":"))
    if len(line) >= LINE_MAX:
        message = "the answer is longer than 1 MiB: ask for less at a time"
        return _error(answer.get("id"), GW_ERROR, message)
    return line.encode() + b"\n"


def _error(
    request_id: object, number: int, message: str, data: Mapping[str, Any] | None = None
) -> bytes:
    error = {"code": number, "message": message}
    return _encode({"id": request_id, "error": error | ({"data": data} if data else {})})


class Server:
    """Listens for one daemon; `start` and `stop` belong to the daemon's event loop."""

    def __init__(
        self,
        served: object,
        path: Path,
        methods: Mapping[str, Method] = METHODS,
        admission: Admission = BY_GROUP,
    ) -> None:
        """`served` has the functions that `methods` name."""
        self._served = served
        self._path = path
        self._methods = methods
        self._admission = admission
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._readers = 0
        self._changes = asyncio.Lock()

    async def start(self) -> None:
        """Make the socket. The caller holds a lock, so an old one is stale."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)  # nobody gets in between bind and restrict
        try:
            listener.bind(str(self._path))
        except OSError as error:
            listener.close()
            raise GwError(f"{self._path}: {error.strerror}", code="agent.socket") from error
        finally:
            os.umask(mask)
        self._admission.restrict(self._path)
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listener, limit=LINE_MAX
        )

    async def stop(self, farewell: str | None = None) -> None:
        """Close the socket and every connection; a request under way is finished first.

        `farewell`: a notification, the last line on every connection. Nobody who was killed or
        who crashed says it.
        """
        if self._server:
            self._server.close()
        self._path.unlink(missing_ok=True)
        async with self._changes:
            for task, writer in self._tasks.items():
                if farewell:
                    writer.write(_encode({"method": farewell}))
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        access = self._admission.peer_access(writer.get_extra_info("socket"))
        reading = int(access is not Access.WRITE)
        self._readers += reading
        try:
            if access is Access.NONE:
                error = PermissionDeniedError(f"only {self._admission.who} may ask")
                await _send(writer, _error(None, GW_ERROR, error.message, error.to_json()))
            elif reading and self._readers > READERS_MAX:
                await _send(writer, _error(None, GW_ERROR, "too many connections; try again"))
            else:
                await self._converse(reader, writer, access)
            await _hang_up(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, idled or stopped reading, or we stop
        finally:
            self._readers -= reading
            del self._tasks[task]
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, access: Access
    ) -> None:
        patience = None if access is Access.WRITE else IDLE_MAX
        while True:
            try:
                line = await asyncio.wait_for(reader.readuntil(b"\n"), patience)
            except asyncio.LimitOverrunError:
                await _send(writer, _error(None, PARSE_ERROR, "a line is longer than 1 MiB"))
                return
            try:
                request = _request(line)
            except RequestError as error:
                await _send(writer, _error(None, error.number, str(error)))
                return
            answer = await self._answer(request, access)
            if "id" in request:
                await _send(writer, answer)

    async def _answer(self, request: dict[str, Any], access: Access) -> bytes:
        """The line to send back, whatever happens."""
        request_id = request.get("id")
        try:
            result = await self._call(request["method"], request.get("params", {}), access)
            return _encode({"id": request_id, "result": result})
        except RequestError as error:
            return _error(request_id, error.number, str(error))
        except GwError as error:
            data = error.to_json() | {"exit_code": error.exit_code}
            return _error(request_id, GW_ERROR, error.message, data)
        except Exception:
            # A fault in one method must not end the daemon.
            log.exception("%s failed", request["method"])
            return _error(request_id, INTERNAL_ERROR, "internal error; the log has it")

    async def _call(self, name: str, given: Mapping[str, Any], access: Access) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise RequestError(METHOD_NOT_FOUND, f"there is no method {name[:60]}")
        params = _params(method, given)
        # The agent reads files as root: a reader must not choose which.
        needed = Access.WRITE if params.get("config") is not None else method.access
        if access < needed:
            raise PermissionDeniedError("only root and members of the group gw-admin may do this")
        lock = self._changes if method.access is Access.WRITE else contextlib.nullcontext()
        async with lock:
            result = getattr(self._served, method.function)(**params)
            return await result if inspect.isawaitable(result) else result


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(PARSE_ERROR, "not JSON") from error
    if not (
        isinstance(request, dict)
        and request.get("jsonrpc") == "2.0"
        and isinstance(request.get("method"), str)
        and isinstance(request.get("params", {}), dict)
        and isinstance(request.get("id"), (str, int, type(None)))
    ):
        raise RequestError(INVALID_REQUEST, "not a JSON-RPC 2.0 request with named parameters")
    return request


def _params(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with their defaults; RequestError for unknown ones and wrong types."""
    params = dict(method.params)
    for name, value in given.items():
        if name not in params:
            raise RequestError(INVALID_PARAMS, f"there is no parameter {name[:60]}")
        default = params[name]
        wanted = str if default is None else type(default)
        if type(value) is not wanted and not (name == "cursor" and type(value) is str):
            raise RequestError(INVALID_PARAMS, f"{name} must be of type {wanted.__name__}")
        params[name] = value
    cursor = params.get("cursor", 0)
    if isinstance(cursor, int) and not 0 <= cursor < 1 << 32:
        raise RequestError(INVALID_PARAMS, "cursor must be one that an answer gave")
    if not 1 <= params.get("limit", 1) <= PAGE_MAX:
        raise RequestError(INVALID_PARAMS, f"limit must be from 1 to {PAGE_MAX}")
    return params


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    await asyncio.wait_for(writer.drain(), WRITE_MAX)


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End our side first: closing with input unread would reset the client before it has read."""
    if writer.can_write_eof() and not reader.at_eof():
        writer.write_eof()
        async with asyncio.timeout(LINGER_MAX):
            while await reader.read(1 << 16):
                pass
