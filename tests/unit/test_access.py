# SPDX-License-Identifier: GPL-2.0-or-later
"""The socket's permissions against real processes of other users and groups."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway import access, api

NOBODY = 65534
READERS, ADMINS, OTHERS = 64001, 64002, 64003

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

# Connects, asks one thing, prints the answer or the errno.
ASK = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
except OSError as error:
    print(error.errno)
else:
    connection.sendall(sys.argv[2].encode() + b"\\n")
    print(connection.makefile().readline())
"""


class Agent:
    """Whatever is asked is done."""

    def __getattr__(self, name: str) -> Any:
        return lambda **_: name


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may enter, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="gw-access-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {access.READ_GROUP: READERS, access.ADMIN_GROUP: ADMINS}
    monkeypatch.setattr(access, "group_id", known.get)


def ask(folder: Path, method: str, *, group: int, extra: list[int]) -> Any:
    """What a process of nobody's with these groups gets: an answer, or an errno."""

    async def run() -> Any:
        path = folder / "agent.sock"
        server = api.Server(Agent(), path)
        await server.start()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", "-c", ASK, str(path)),
                json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}),
                stdout=asyncio.subprocess.PIPE,
                cwd="/",
                user=NOBODY,
                group=group,
                extra_groups=extra,
            )
            printed, _ = await asyncio.wait_for(process.communicate(), 20)
        finally:
            await server.stop()
        return json.loads(printed)

    return asyncio.run(run())


@pytest.mark.parametrize(("group", "extra"), [(ADMINS, []), (NOBODY, [OTHERS, ADMINS])])
def test_admins_change_things(folder: Path, group: int, extra: list[int]) -> None:
    assert ask(folder, "apply", group=group, extra=extra)["result"] == "apply"


@pytest.mark.parametrize(("group", "extra"), [(READERS, []), (NOBODY, [OTHERS, READERS])])
def test_readers_look(folder: Path, group: int, extra: list[int]) -> None:
    assert ask(folder, "status", group=group, extra=extra)["result"] == "status"
    error = ask(folder, "apply", group=group, extra=extra)["error"]
    assert error["data"]["code"] == "permission"


def test_others_do_not_get_in(folder: Path) -> None:
    assert ask(folder, "status", group=NOBODY, extra=[OTHERS]) == 13


def test_without_the_groups_only_root_gets_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "group_id", lambda _: None)

    assert ask(folder, "status", group=READERS, extra=[ADMINS]) == 13
