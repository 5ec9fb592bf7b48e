# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error that this package raises on purpose.

`code` is stable and meant for programs; `message` is meant for people; `where`
points at the line of the configuration that caused it, when one did.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class GwError(Exception):
    """Something that was asked for cannot be done."""

    exit_code = 1
    default_code = "failed"

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "where": self.where}


class UsageError(GwError):
    """The command or the request itself makes no sense."""

    exit_code = 2
    default_code = "usage"


class RefusedError(GwError):
    """It could be done, but it would harm something that is not ours."""

    default_code = "refused"


class KernelError(GwError):
    """The kernel said no; `errno` is its reason, positive."""

    default_code = "kernel"

    def __init__(
        self, message: str, errno: int = 0, *, code: str | None = None, where: str | None = None
    ) -> None:
        self.errno = abs(errno)
        if self.errno:
            message = f"{message}: {os.strerror(self.errno)}"
        super().__init__(message, code=code, where=where)


class DeviceError(GwError):
    """A network device, a driver or hugepages cannot be had, or not be given back."""

    default_code = "device"


class NotRunningError(GwError):
    """No agent answers on the instance's socket."""

    default_code = "agent.not-running"


class PermissionDeniedError(GwError):
    """The caller is in neither of the groups that may do this."""

    default_code = "permission"


class WorkerError(GwError):
    """Something that the DPDK worker cannot do, or that it cannot be asked."""

    default_code = "worker.failed"


class WorkerAbsentError(WorkerError):
    """No worker answers on the instance's socket, or it ended before it did."""

    default_code = "worker.absent"


class WorkerTimeoutError(WorkerError):
    """It has the request and has not answered in time."""

    default_code = "worker.timeout"


class NotStartedError(WorkerError):
    """The worker waits for `start`."""

    default_code = "worker.not-started"


class AlreadyStartedError(WorkerError):
    """Cores and memory are for the life of a process: other ones need another worker."""

    default_code = "worker.already-started"


class NoHugepagesError(WorkerError):
    """The kernel has too few hugepages, or the options ask for too few."""

    default_code = "worker.no-hugepages"


class BadCoreError(WorkerError):
    """A CPU that does not exist, or is not this process's to use; or another bad option."""

    default_code = "worker.bad-core"


class NoSuchDeviceError(WorkerError):
    """There is no such device, or DPDK has no driver for it."""

    default_code = "worker.no-device"


class DeviceBusyError(WorkerError):
    """The device, its TAP or its name is in use."""

    default_code = "worker.device-busy"


class BadDeviceError(WorkerError):
    """EAL or the driver refuses what the device is given."""

    default_code = "worker.bad-device"


class NotSupportedError(WorkerError):
    """The driver does not have what was asked for, such as receive interrupts."""

    default_code = "worker.not-supported"


class NoSuchPortError(WorkerError):
    """The worker has no port of that name."""

    default_code = "worker.no-port"


class BadSegmentError(WorkerError):
    """What was said of a VXLAN segment makes no sense."""

    default_code = "worker.bad-segment"


class NoRoomError(WorkerError):
    """There are more of them than the worker has room for."""

    default_code = "worker.no-room"


class MirrorTimeoutError(WorkerError):
    """The worker's tables did not catch up with the kernel's in time."""

    default_code = "worker.mirror-timeout"


class EvpnError(GwError):
    """Something that the BGP daemon cannot do, or that it cannot be asked."""

    default_code = "evpn.failed"


class EvpnAbsentError(EvpnError):
    """No BGP daemon answers, or it went away; what was configured and announced went with it."""

    default_code = "evpn.absent"


def worker_error(message: str, code: str, where: str | None = None) -> WorkerError:
    """An error of the class that has this code, or WorkerError itself."""
    for kind in WorkerError.__subclasses__():
        if kind.default_code == code:
            return kind(message, where=where)
    return WorkerError(message, code=code, where=where)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration file; line 0 means the file as a whole."""

    file: str
    line: int
    key: str
    message: str
    code: str = "config.invalid"

    @property
    def where(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}" if self.key else place

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "key": self.key,
            "code": self.code,
            "message": self.message,
            "where": self.where,
        }


class ConfigError(GwError):
    """The configuration cannot be used; carries every problem, sorted by line."""

    exit_code = 2
    default_code = "config.invalid"

    def __init__(
        self,
        problems: Sequence[Problem] | str,
        *,
        code: str | None = None,
        where: str | None = None,
    ) -> None:
        if isinstance(problems, str):
            self.problems: tuple[Problem, ...] = ()
            super().__init__(problems, code=code, where=where)
            return
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.key)))
        first = self.problems[0]
        super().__init__(first.message, code=code or first.code, where=where or first.where)

    def __str__(self) -> str:
        if not self.problems:
            return super().__str__()
        return "\n".join(str(problem) for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        answer = super().to_json()
        answer["problems"] = [problem.to_json() for problem in self.problems]
        return answer


class RemoteError(GwError):
    """An error that the agent answered with; says and exits as it would have over there."""

    def __init__(self, message: str, data: dict[str, Any]) -> None:
        super().__init__(
            str(data.get("message") or message),
            code=str(data.get("code") or self.default_code),
            where=data.get("where"),
        )
        self.exit_code = 2 if data.get("exit_code") == 2 else 1
        self.data = data

    def __str__(self) -> str:
        problems = self.data.get("problems")
        if isinstance(problems, list) and problems:
            return "\n".join(f"{p.get('where')}: {p.get('message')}" for p in problems)
        return super().__str__()

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in self.data.items() if name != "exit_code"}
