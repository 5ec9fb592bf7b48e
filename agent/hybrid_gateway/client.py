# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the agent over its socket: JSON-RPC 2.0, one object a line.

Imports next to nothing, for every command of gwctl pays for it.
"""

import os
from typing import Any, Self

from .errors import GwError, NotRunningError, PermissionDeniedError, RemoteError
from .instance import DEFAULT_INSTANCE, Instance
from .jsonrpc import Connection

TIMEOUT = 30.0
"""Seconds that one answer may take; applying a configuration is the longest."""


class Client:
    """One connection to the agent of an instance; a context manager."""

    def __init__(self, instance: Instance, timeout: float = TIMEOUT) -> None:
        self._instance = instance
        self._timeout = timeout
        self._connection = Connection(instance.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, **params: Any) -> Any:
        """The result of one method. Parameters that are None are left out.

        Raises NotRunningError, PermissionDeniedError, RemoteError (what the
        agent answered), or GwError when the connection breaks or is too slow.
        """
        given = {name: value for name, value in params.items() if value is not None}
        try:
            return self._result(self._connection.call(method, given, self._timeout))
        except TimeoutError as error:
            message = f"the agent did not answer {method} within {self._timeout:g} s"
            raise GwError(message, code="agent.timeout") from error
        except ConnectionAbortedError as error:
            message = f"the agent ended the connection during {method}"
            raise GwError(message, code="agent.connection") from error
        except OSError as error:
            raise self._unreachable(error) from error

    def peer_process(self) -> int:
        """A pidfd of the agent, readable once it has ended; the caller closes it."""
        try:
            return os.pidfd_open(self._connection.peer(self._timeout))
        except OSError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: OSError) -> GwError:
        path = self._instance.socket
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            return NotRunningError(self._not_running(str(path)))
        if isinstance(error, PermissionError):
            message = f"{path}: only root and members of the groups gw-admin and gw may ask"
            return PermissionDeniedError(message)
        return GwError(f"{path}: {error.strerror or error}", code="agent.socket")

    def _not_running(self, path: str) -> str:
        name = self._instance.name
        if name == DEFAULT_INSTANCE:
            return f"the agent does not run (nobody listens on {path}); systemctl start gw-agent"
        return f"the agent of instance {name} does not run (nobody listens on {path})"

    @staticmethod
    def _result(answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        data = error.get("data")
        if not isinstance(data, dict):
            data = {"code": "agent.protocol", "message": error.get("message"), "where": None}
        raise RemoteError(str(error.get("message")), data)
