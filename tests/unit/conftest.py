# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that is only told of, as the agent has it."""

from pathlib import Path
from typing import cast

import pytest

from hybrid_gateway.apply import Executor
from hybrid_gateway.bpf import DataPlane
from hybrid_gateway.mirror import Mirror
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.nft import Nft
from hybrid_gateway.restore import RestoreFile
from hybrid_gateway.worker_view import WorkerView
from tests.unit.fake_worker import FakeWorker
from tests.unit.test_apply import Recorder


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def view(worker: FakeWorker) -> WorkerView:
    return worker.view


@pytest.fixture
def executor(view: WorkerView, tmp_path: Path) -> Executor:
    system = Recorder()
    return Executor(
        cast(DataPlane, system),
        cast(Netlink, system),
        cast(Nft, system),
        cast(Mirror, system),
        RestoreFile(tmp_path / "state.json"),
        view,
        tmp_path / "pins",
    )
