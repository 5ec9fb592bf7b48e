# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT44 between two virtio NICs: the real service, real programs on both sides."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address

import pytest

from hybrid_gateway.lab import INTERNET, LAN, WAN, namespaces
from hybrid_gateway.lab.peers import blob
from hybrid_gateway.lab.services import servers
from hybrid_gateway.lab.sniff import LeakWatch
from tests.vm.conftest import Appliance
from tests.vm.gateway import GuestGateway
from tests.vm.site import Site

pytestmark = pytest.mark.vm

SERVER = INTERNET[0]
DOWNLOAD = 20_000_000
SEGMENT = 1448
PORTS = range(20000, 50000)
"""Of nat44.ports when the configuration does not say."""


@pytest.fixture(scope="module")
def gateway(appliance: Appliance) -> Iterator[GuestGateway]:
    with ExitStack() as stack:
        stack.enter_context(
            servers(appliance.site, "wan", http=[f"{SERVER}:80"], udp=[f"{SERVER}:7"])
        )
        gateway = GuestGateway(appliance.guest)
        gateway.install()
        gateway.start()
        yield gateway


@pytest.fixture
def site(appliance: Appliance) -> Site:
    return appliance.site


@pytest.fixture(autouse=True)
def leak_watch(site: Site, gateway: GuestGateway) -> Iterator[None]:  # noqa: ARG001 - order matters
    """No inside address and no wrong checksum on the outside, in any test."""
    watch = LeakWatch(site)
    try:
        yield
        found = watch.findings()
    finally:
        watch.close()
    assert not found.faults, f"{len(found.faults)} of {found.frames} frames: {found.faults[:10]}"


def test_attaches_in_the_driver(gateway: GuestGateway) -> None:
    modes = {port["name"]: port["mode"] for port in gateway.ctl("status")["ports"]}

    assert modes == {"lan0": "native", "wan0": "native"}


def test_ping(gateway: GuestGateway, site: Site) -> None:
    with gateway.forwards(packets=8):
        site.run("lan", ["ping", "-c", "5", "-i", "0.2", "-W", "5", SERVER])


def test_tcp_download_arrives_whole(gateway: GuestGateway, site: Site) -> None:
    with gateway.forwards(packets=DOWNLOAD // SEGMENT):
        command = ["curl", "--silent", "--fail", "--max-time", "240"]
        curl = site.popen("lan", [*command, f"http://{SERVER}/blob/{DOWNLOAD}"])
        received, _ = curl.communicate(timeout=250)

    assert curl.returncode == 0
    assert hashlib.sha256(received).digest() == hashlib.sha256(blob(DOWNLOAD)).digest()


def test_udp_from_the_outside_address(gateway: GuestGateway, site: Site) -> None:
    with namespaces.entered(site.namespace("lan")):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client, gateway.forwards(packets=18):
        client.settimeout(30)
        client.bind((LAN.ip, 4000))
        answers = set()
        for _ in range(10):
            client.sendto(b"hello", (SERVER, 7))
            answers.add(client.recv(2048))

    [answer] = answers
    seen, _, said = answer.partition(b" ")
    address, _, port = seen.partition(b":")
    assert IPv4Address(address.decode()) == IPv4Address(WAN.ip)
    assert int(port) in PORTS
    assert said == b"hello"


def test_forwards_without_its_agent(gateway: GuestGateway, site: Site) -> None:
    # The counters outlive the agent as well, so they tell who forwarded meanwhile.
    with gateway.forwards(packets=6):
        gateway.guest.check("systemctl", "stop", "gw-agent")
        site.run("lan", ["ping", "-c", "3", "-i", "0.2", "-W", "5", SERVER])
        gateway.start()


def test_detach_leaves_nothing(gateway: GuestGateway) -> None:
    gateway.guest.check("gwctl", "detach")

    assert "xdp" not in gateway.guest.check("ip", "-details", "link", "show")
    assert not gateway.guest.check("find", "/sys/fs/bpf", "-type", "f").split()
    assert " gw" not in gateway.guest.check("nft", "list", "tables")
    assert gateway.guest.run("systemctl", "is-active", "gw-agent").stdout.strip() != "active"
