# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures as others read them."""

import pytest

from tests.bench.report import Figure, table

COST = Figure("nat44.hit.1", 80.0, "ns", "nftables", 560.0)
RATE = Figure("nat44.new", 900_000.0, "sessions/s", "nftables", 450_000.0, better="higher")


@pytest.mark.parametrize(("figure", "ratio"), [(COST, 7.0), (RATE, 2.0)])
def test_ratio_above_one_means_ahead(figure: Figure, ratio: float) -> None:
    assert figure.ratio == pytest.approx(ratio)


def test_json_has_the_agreed_keys() -> None:
    assert COST.to_json() == {
        "name": "nat44.hit.1",
        "value": 80.0,
        "unit": "ns",
        "better": "lower",
        "baseline": {"name": "nftables", "value": 560.0},
        "ratio": 7.0,
    }


def test_table_is_aligned() -> None:
    lines = table([COST, RATE]).splitlines()

    assert lines[2].endswith("7.00 x")
    assert lines[2].index("nftables") == lines[3].index("nftables")
