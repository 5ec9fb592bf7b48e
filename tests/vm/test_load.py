# SPDX-License-Identifier: GPL-2.0-or-later
"""Every object passes the verifiers of the kernels that the product is for."""

import pytest

from tests.vm.conftest import Appliance
from tests.vm.image import CHECKOUT, KERNELS
from tests.vm.load import load
from tests.vm.machine import Guest

pytestmark = pytest.mark.vm

OBJECTS = sorted(
    path.name.replace(".bpf.c", ".bpf.o")
    for path in (CHECKOUT / "bpf").glob("*.bpf.c")
    if path.name != "abi_types.bpf.c"  # one object of types, never loaded
)

PRODUCT_LOADER = """
from pathlib import Path
from hybrid_gateway.bpf import DataPlane, MapSizes

plane = DataPlane("vmtest", Path("/gw/build/bpf"))
plane.verify()
print(plane.load(MapSizes(sessions=65536, pool=1)))
plane.remove()
"""


def test_kernel_is_the_suite_s_own(appliance: Appliance) -> None:
    assert appliance.guest.release.startswith(KERNELS[appliance.suite] + ".")


@pytest.mark.parametrize("name", OBJECTS)
def test_verifier_accepts(guest: Guest, name: str) -> None:
    result = load(guest, CHECKOUT / "build" / "bpf" / name)

    assert result.code == 0, f"{guest.release} refuses {name}:\n{result.stdout[-8000:]}"


def test_product_loads_and_removes_its_programs(guest: Guest) -> None:
    guest.write("/tmp/load.py", PRODUCT_LOADER.encode())
    loaded = guest.run(
        "env", "PYTHONPATH=/gw/agent:/gw/build/lib", "python3", "/tmp/load.py", seconds=300
    )

    assert loaded.code == 0, loaded.stderr
    assert not guest.check("find", "/sys/fs/bpf/gw", "-type", "f").split()
