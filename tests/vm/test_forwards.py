# SPDX-License-Identifier: GPL-2.0-or-later
"""Static mappings in kernel mode, with the nftables and the kernel of each release."""

import json
from collections import Counter

import pytest

from tests.vm.machine import Guest

pytestmark = pytest.mark.vm


def test_ranges_shared_forwards_and_identities(guest: Guest) -> None:
    # In a namespace of its own, beside whatever other tests have left behind.
    argv = ["env", "PYTHONPATH=/gw/agent", "python3", "/gw/tests/vm/forwards.py"]
    found = json.loads(guest.check("unshare", "--net", *argv, seconds=300))

    assert found["stable"]
    assert found["ports"] == {
        "203.0.113.2:5000": 6000,
        "203.0.113.2:5042": 6042,
        "203.0.113.2:5099": 6099,
        "10.9.0.2:4789": 4789,
    }
    taken = Counter(found["shared"])
    assert taken.keys() == {443, 8443}
    assert taken[443] > taken[8443]
