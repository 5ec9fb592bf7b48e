# SPDX-License-Identifier: GPL-2.0-or-later
"""A namespace with a bridge, a veth pair and a neighbour, for one test."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_gateway.lab import namespaces
from tests.lib.configured import DEVICE, settle


@pytest.fixture
def site() -> Iterator[str]:
    """Its name. The test runs inside: br0 (10.9.0.1/24) with port p0, whose peer h0 is in the
    namespace NAME-h and has 10.9.0.2; and wan0 with 203.0.113.2/24, its peer unconfigured."""
    name = f"gwsys{os.getpid()}"
    host = f"{name}-h"
    with ExitStack() as stack:
        for namespace in (name, host):
            stack.callback(namespaces.delete, namespace)
            namespaces.add(namespace)
        namespaces.ip_batch(
            name,
            [
                "link set lo up",
                "link add br0 type bridge",
                "link set br0 address 02:00:00:00:00:b0",
                f"link add p0 type veth peer name h0 netns {host}",
                "link set p0 master br0",
                "link add wan0 type veth peer name far0",
                "addr add 10.9.0.1/24 dev br0",
                "addr add 203.0.113.2/24 dev wan0",
                *(f"link set {device} up" for device in ("br0", "p0", "wan0", "far0")),
                "route add default via 203.0.113.1",
            ],
        )
        namespaces.ip_batch(
            host,
            [
                "link set h0 address 02:00:00:00:00:02",
                "addr add 10.9.0.2/24 dev h0",
                "link set h0 up",
            ],
        )
        stack.enter_context(namespaces.entered(name))
        yield name


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The record's path, inside a namespace with sfp0 (up, nothing on it), o0 and br0; the far end
    of sfp0, far0, is in the namespace NAME-f."""
    name = f"gwhand{os.getpid()}"
    with ExitStack() as stack:
        for namespace in (name, f"{name}-f"):
            stack.callback(namespaces.delete, namespace)
            namespaces.add(namespace)
        # Nobody waits for duplicate addresses but where a test asks for it.
        namespaces.write_sysctl(name, "net/ipv6/conf/default/accept_dad", "0")
        namespaces.ip_batch(
            name,
            [
                "link set lo up",
                f"link add {DEVICE} type veth peer name far0 netns {name}-f",
                "link add o0 type veth peer name o1",
                "link add br0 type bridge",
                "addr add 10.50.0.1/24 dev o0",
                *(f"link set {device} up" for device in (DEVICE, "o0", "o1", "br0")),
            ],
        )
        namespaces.ip_batch(f"{name}-f", ["link set far0 up"])
        stack.enter_context(namespaces.entered(name))
        settle()
        yield tmp_path / "taken.json"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened
