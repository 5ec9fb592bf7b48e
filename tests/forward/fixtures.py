# SPDX-License-Identifier: GPL-2.0-or-later
"""The running gateway, and the watch over its outside port."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hybrid_gateway.lab import ROUTER, Interface, Lab
from hybrid_gateway.lab.services import servers
from hybrid_gateway.lab.sniff import LeakWatch
from tests.lib.gateway import Gateway
from tests.lib.packets import LAN, SERVER, SERVER2
from tests.lib.traffic import Wires

QUIET = """
table ip quiet {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        ip id 0x1234 drop
    }
}
"""
"""The hosts must not answer what a test sends by hand (a RST would end the session);
packet sockets still see it. `packets.ip` gives every such packet this identification."""


@contextmanager
def any_identification(lab: Lab) -> Iterator[None]:
    """Without QUIET, which drops every 65536th packet of what programs send, too."""
    hosts = ("lan", "lan2", "wan")
    for host in hosts:
        lab.run(host, ["nft", "delete table ip quiet"])
    try:
        yield
    finally:
        for host in hosts:
            lab.run(host, ["nft", QUIET])


@pytest.fixture(scope="session")
def running_gateway(lab: Lab) -> Iterator[Gateway]:
    with ExitStack() as stack:
        for host in ("lan", "lan2", "wan"):
            lab.run(host, ["nft", QUIET])
        built = Gateway(lab)
        stack.callback(built.process.stop)
        built.start()
        built.meet_hosts()
        yield built


@pytest.fixture(scope="session")
def wires(lab: Lab) -> Iterator[Wires]:
    with ExitStack() as stack:
        yield Wires(lab, stack)


@pytest.fixture(scope="session")
def internet(lab: Lab) -> Iterator[None]:
    """Real servers: HTTP on port 80 and a UDP echo on port 7, on the Internet and on the LAN."""
    with ExitStack() as stack:
        away = [f"{address}:80" for address in (SERVER, SERVER2)]
        stack.enter_context(servers(lab, "wan", http=away, udp=[f"{SERVER}:7", f"{SERVER2}:7"]))
        stack.enter_context(servers(lab, "lan", http=[f"{LAN.ip}:80"], udp=[f"{LAN.ip}:7"]))
        yield


@pytest.fixture
def gateway(running_gateway: Gateway) -> Gateway:
    """Forwarding, with the base configuration, no sessions.

    Ports that earlier tests freed still rest: a test with a handful of `ports:` takes them from
    61000 on, where no other test has any.
    """
    running_gateway.ready()
    return running_gateway


@contextmanager
def watch_over(lab: Lab, at: Interface = ROUTER) -> Iterator[None]:
    """Nothing gets there meanwhile with an inside source address or a wrong checksum."""
    watch = LeakWatch(lab, at)
    try:
        yield
        found = watch.findings()
    finally:
        watch.close()
    assert not found.faults, f"{len(found.faults)} of {found.frames} frames: {found.faults[:10]}"


@pytest.fixture
def leak_watch(lab: Lab, gateway: Gateway) -> Iterator[None]:  # noqa: ARG001 - order matters
    """During any test."""
    with watch_over(lab):
        yield
