# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection that is older than the gateway's kernel: nat44.persist over a real reboot."""

import socket
from collections.abc import Iterator

import pytest

from hybrid_gateway.lab import INTERNET, WAN, namespaces
from hybrid_gateway.lab.services import servers
from tests.vm.conftest import Appliance, use_native_library
from tests.vm.gateway import CONFIGURATION, GuestGateway
from tests.vm.image import image

pytestmark = pytest.mark.vm

SERVER = INTERNET[0]
PERSIST = CONFIGURATION + "  persist: true\n"


@pytest.fixture
def gateway(appliance: Appliance) -> Iterator[GuestGateway]:
    built = GuestGateway(appliance.guest)
    built.install()
    built.guest.write("/etc/gw/gateway.yaml", PERSIST.encode())
    built.start()
    yield built
    built.guest.check("gwctl", "detach")


def test_a_connection_outlives_a_reboot(appliance: Appliance, gateway: GuestGateway) -> None:
    site, guest = appliance.site, appliance.guest
    with servers(site, "wan", http=[f"{SERVER}:80"]):
        with namespaces.entered(site.namespace("lan")):
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with client:
            client.settimeout(60)
            client.connect((SERVER, 80))
            client.sendall(b"GET /whoami HTTP/1.1\r\n")
            before = [s["outside"] for s in gateway.ctl("show", "sessions")["sessions"]]
            boot = guest.check("cat", "/proc/sys/kernel/random/boot_id")

            guest.reboot()
            assert guest.check("cat", "/proc/sys/kernel/random/boot_id") != boot
            use_native_library(guest, image(appliance.suite))
            gateway.install()
            gateway.guest.write("/etc/gw/gateway.yaml", PERSIST.encode())
            gateway.start()

            assert before == [s["outside"] for s in gateway.ctl("show", "sessions")["sessions"]]
            client.sendall(b"\r\n")
            answer = client.makefile("rb").read().decode()
    assert answer.rpartition("\r\n")[2] == f"{WAN.ip}:{before[0][1]}"
