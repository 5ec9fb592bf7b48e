# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest for each kernel, booted once, with its NICs plugged into a site of namespaces."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm.gateway import GuestGateway
from tests.vm.image import KERNELS, Image, image
from tests.vm.machine import Guest
from tests.vm.native import native_library
from tests.vm.site import Site

HOST_SUITE = "bookworm"
"""The suite that the checkout was built on, and so build/lib."""


@dataclass(frozen=True)
class Appliance:
    """A running guest and what is around it."""

    guest: Guest
    site: Site
    suite: str


@pytest.fixture(scope="session", params=KERNELS)
def appliance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Appliance]:
    suite: str = request.param
    built = image(suite)
    directory: Path = tmp_path_factory.mktemp(suite)
    with ExitStack() as stack:
        site = Site(f"vm{os.getpid()}{suite[0]}", directory)
        stack.callback(site.down)
        site.up()
        guest = stack.enter_context(Guest(built, systemd=True, nics=site.nics))
        site.plug()
        use_native_library(guest, built)
        yield Appliance(guest, site, suite)


@pytest.fixture(scope="session")
def guest(appliance: Appliance) -> Guest:
    return appliance.guest


def use_native_library(guest: Guest, built: Image) -> None:
    """Where the guest's Python is not the host's, its own extension stands in build/lib."""
    if built.suite != HOST_SUITE:
        guest.check("mount", "--bind", f"/gw/{native_library(built)}", "/gw/build/lib")


@pytest.fixture(scope="module")
def gateway(appliance: Appliance) -> Iterator[GuestGateway]:
    """Installed and not running yet; detached in the end."""
    built = GuestGateway(appliance.guest)
    built.install()
    yield built
    built.guest.check("gwctl", "detach")
