# SPDX-License-Identifier: GPL-2.0-or-later
"""One namespace and one loaded data plane for all tests of single frames."""

import os
from collections.abc import Iterator

import pytest

from . import site as sites
from .plane import Plane, loaded
from .site import Site
from .stretched import Stretched

CAPACITY = 512
"""Sessions of the shared plane: few enough that a test can fill the table."""


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    if os.geteuid():
        pytest.fail("these tests load BPF programs: run them as root")
    with sites.built() as built:
        yield built


@pytest.fixture(scope="session")
def shared_plane(site: Site) -> Iterator[Plane]:
    with site.entered():
        context = loaded(site, "", CAPACITY)
        plane = context.__enter__()
    yield plane
    with site.entered():
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def mappings(site: Site, shared_plane: Plane) -> Iterator[None]:
    """No mapping may have a user when all tests of a file are through: too many to ask each."""
    yield
    with site.entered():
        assert shared_plane.own.mapping_leaks() == []


@pytest.fixture
def plane(site: Site, shared_plane: Plane, mappings: None) -> Iterator[Plane]:  # noqa: ARG001
    """The data plane with default settings; in the end nothing may be left in its maps."""
    with site.entered():
        shared_plane.reset()
        yield shared_plane
        shared_plane.dataplane.clear_sessions()
        assert shared_plane.own.leaks() == []


@pytest.fixture
def stretched(plane: Plane) -> Iterator[Stretched]:
    """The data plane with a segment that is stretched by VXLAN, beside everything else."""
    built = Stretched(plane)
    built.fill()
    yield built
    built.clear()
