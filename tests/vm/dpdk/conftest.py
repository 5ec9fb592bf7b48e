# SPDX-License-Identifier: GPL-2.0-or-later
"""One gateway for all of these tests: its services are started once in each guest."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.lib.traffic import Wires
from tests.vm.conftest import Appliance
from tests.vm.dpdk.box import SECONDS, Fibre
from tests.vm.dpdk.setup import FORGET, PREPARE
from tests.vm.gateway import CONFIGURATION
from tests.vm.site import Site


@pytest.fixture(scope="package")
def box(appliance: Appliance) -> Iterator[Fibre]:
    """The services run; the kernel has all ports, configured by hand and by netplan."""
    site, guest = appliance.site, appliance.guest
    with ExitStack() as stack:
        places = {host: (host, "eth0") for host in ("east", "west", "lan2")}
        built = Fibre(guest, Wires(site, stack, places))
        built.install()
        stack.callback(guest.check, "sh", "-c", FORGET, seconds=SECONDS)
        guest.check("sh", "-c", PREPARE, seconds=SECONDS)
        built.start_worker()
        built.start()
        stack.callback(guest.run, "gwctl", "detach", seconds=SECONDS)
        yield built


@pytest.fixture
def site(appliance: Appliance) -> Site:
    return appliance.site


@pytest.fixture
def fibre(box: Fibre) -> Fibre:
    """The worker has the ports, and every host is known to the kernel."""
    box.ready()
    return box


@pytest.fixture
def free(box: Fibre) -> Fibre:
    """The kernel has the ports, and the services run."""
    if box.serves():
        box.apply(CONFIGURATION)
    box.returned()
    return box
