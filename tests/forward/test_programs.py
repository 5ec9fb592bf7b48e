# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs through the gateway, and the proof that XDP carried them."""

import pytest

from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import LAN, SERVER, SERVER2, WAN
from tests.lib.programs import blob_digest, curl, digest, pinged, run
from tests.lib.sockets import bound

DOWNLOAD = 20_000_000
CONNECTIONS = 200


@pytest.mark.usefixtures("internet")
def test_ping(gateway: Gateway) -> None:
    counts = gateway.counting()
    assert pinged(gateway.lab, "lan", SERVER, count=10) == 10
    moved = counts.now()
    assert moved["FORWARD"] + moved.get("PUNT_NO_NEIGHBOUR", 0) == 20


@pytest.mark.usefixtures("internet")
def test_the_server_sees_the_outside_address(gateway: Gateway) -> None:
    seen = curl(gateway.lab, "lan", f"http://{SERVER}/whoami").decode()
    address, _, port = seen.partition(":")
    assert address == WAN.ip
    assert 20000 <= int(port) <= 49999


@pytest.mark.usefixtures("internet")
def test_download_by_digest(gateway: Gateway) -> None:
    counts = gateway.counting()
    got = curl(gateway.lab, "lan", f"http://{SERVER}/blob/{DOWNLOAD}")
    assert digest(got) == blob_digest(DOWNLOAD)
    # A full segment carries 1448 bytes.
    assert counts.now()["FORWARD"] > DOWNLOAD / 1500


@pytest.mark.usefixtures("internet")
def test_upload_by_digest(gateway: Gateway) -> None:
    body = bytes(range(256)) * 20_000
    url = f"http://{SERVER2}/upload"
    counts = gateway.counting()
    answer = curl(gateway.lab, "lan2", "-X", "PUT", "--data-binary", "@-", url, stdin=body)
    assert answer.decode() == digest(body)
    assert counts.now()["FORWARD"] > len(body) / 1500


@pytest.mark.usefixtures("internet")
def test_many_parallel_connections(gateway: Gateway) -> None:
    """200 at once, every one complete."""
    counts = gateway.counting()
    url = f"http://{SERVER}/blob/[100001-{100000 + CONNECTIONS}]"
    arguments = ["--parallel", "--parallel-immediate", "--parallel-max", str(CONNECTIONS)]
    write = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}\n"]
    printed = run(gateway.lab, "lan", ["curl", "-sS", "--max-time", "30", *arguments, *write, url])
    sizes = sorted(line.split()[1] for line in printed.decode().splitlines())
    assert sizes == [str(size) for size in range(100001, 100001 + CONNECTIONS)]
    assert counts.now()["NAT_NEW_SESSION"] == CONNECTIONS


@pytest.mark.usefixtures("internet")
def test_a_udp_exchange(gateway: Gateway) -> None:
    with bound(gateway.lab, "lan", LAN.ip, 4444) as client:
        client.sendto(b"question", (SERVER, 7))
        seen, _, said = client.recv(200).partition(b" ")
    assert seen.startswith(WAN.ip.encode() + b":")
    assert said == b"question"


@pytest.mark.usefixtures("internet")
def test_the_internet_reaches_a_forwarded_service(gateway: Gateway) -> None:
    gateway.apply(
        nat44("static:", f'  - {{protocol: tcp, outside: ":8080", inside: "{LAN.ip}:80"}}')
    )
    url = f"http://{WAN.ip}:8080"
    got = curl(gateway.lab, "wan", f"{url}/blob/1000000")
    assert digest(got) == blob_digest(1_000_000)
    # A LAN host by the same address (hairpin) is seen with the outside address.
    assert curl(gateway.lab, "lan2", f"{url}/whoami").decode().partition(":")[0] == WAN.ip


@pytest.mark.parametrize("size", [1, 1460, 1461, 65536])
@pytest.mark.usefixtures("internet")
def test_sizes_around_a_segment(gateway: Gateway, size: int) -> None:
    got = curl(gateway.lab, "lan2", f"http://{SERVER}/blob/{size}")
    assert digest(got) == blob_digest(size)
