# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's table on terminals of any width."""

import pytest

from hybrid_gateway.lab.stage import Row
from hybrid_gateway.lab.table import Table

COLUMNS = (("", 1), ("NAME", 5), ("COUNTED", 6))


@pytest.mark.parametrize(("terminal", "width"), [(40, 72), (90, 90), (300, 100)])
def test_no_line_is_wider_than_it_may_be(
    monkeypatch: pytest.MonkeyPatch, terminal: int, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(terminal))
    table = Table(COLUMNS)
    lines = f"{table.head()}\n{table.row(['ok', 'a ' * 80, 'x' * 200])}".splitlines()

    assert table.width == width
    assert width - len(COLUMNS) <= max(map(len, lines)) <= width


def test_a_counter_stays_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    moved = {"FORWARD": 20, "NAT_NEW_MAPPING": 1, "NAT_NEW_SESSION": 1, "NAT_ICMP_ERROR": 1}
    row = Row("", "", "", moved, True)
    lines = Table(COLUMNS).row(["ok", "", row.evidence]).splitlines()

    said = " ".join(line.removeprefix("ok").strip() for line in lines)
    assert said == "FORWARD +20, NAT_NEW_MAPPING +1, NAT_NEW_SESSION +1, NAT_ICMP_ERROR +1"
    assert not any(line.strip().startswith("+") for line in lines)
