# SPDX-License-Identifier: GPL-2.0-or-later
"""Requirements of RFCs, each by its number; docs/rfc.md has the table.

Most are asked of single frames. What needs time or the kernel is in test_live_*.py.
"""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            live = item.path.name.startswith("test_live_")
            item.add_marker(pytest.mark.forward if live else pytest.mark.bpf)
