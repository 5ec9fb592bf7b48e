# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenes of the demo: real traffic through one feature each, and what came of it."""

import hashlib
from collections.abc import Callable

from .peers import blob
from .stage import Row, Stage
from .topology import INTERNET, LAN, WAN

SERVER, STRANGER = INTERNET[:2]
DOWNLOAD = 20_000_000
SEGMENT = 1500
"""No frame carries more: a download of so many bytes takes at least size / SEGMENT frames."""


def _same_blob(data: bytes, size: int) -> bool:
    return hashlib.sha256(data).digest() == hashlib.sha256(blob(size)).digest()


def ping(stage: Stage) -> Row:
    before = stage.counters()
    answered = stage.ping("lan", SERVER, 10)
    seen = stage.look()
    moved = stage.moved(before)
    return Row(
        "ICMP echo",
        f"ping -c 10 {SERVER} from {LAN.ip}",
        f"10 requests from {', '.join(sorted(seen))}; {answered} answers got back",
        moved,
        answered == 10 and seen == {WAN.ip} and moved.get("FORWARD", 0) >= 19,
    )


def download(stage: Stage) -> Row:
    who = stage.curl("lan", f"http://{SERVER}/whoami").decode()
    before = stage.counters()
    right = _same_blob(stage.curl("lan", f"http://{SERVER}/blob/{DOWNLOAD}"), DOWNLOAD)
    moved = stage.moved(before)
    return Row(
        "TCP",
        f"curl of {DOWNLOAD // 1_000_000} MB from {SERVER}, from {LAN.ip}",
        f"a client at {who}; the SHA-256 of what arrived is {'right' if right else 'WRONG'}",
        moved,
        right and who.startswith(WAN.ip) and moved.get("FORWARD", 0) > DOWNLOAD / SEGMENT,
    )


def exchange(stage: Stage) -> Row:
    before = stage.counters()
    seen: set[str] = set()
    with stage.udp_socket("lan") as client:
        for server in (SERVER, STRANGER):
            client.sendto(b"question", (server, 7))
            endpoint, _, said = client.recv(200).decode().partition(" ")
            seen.add(endpoint if said == "question" else f"garbled: {said}")
    moved = stage.moved(before)
    return Row(
        "UDP, endpoint-independent mapping",
        f"one socket of {LAN.ip} asks two servers",
        f"both see {', '.join(sorted(seen))}",
        moved,
        len(seen) == 1 and moved.get("NAT_NEW_MAPPING") == 1 and moved.get("FORWARD", 0) >= 4,
    )


def filtering(stage: Stage) -> Row:
    with stage.udp_socket("lan") as client, stage.udp_socket("wan") as stranger:
        client.sendto(b"question", (SERVER, 7))
        endpoint = client.recv(200).decode().partition(" ")[0]
        before = stage.counters()
        stranger.bind((STRANGER, 0))
        stranger.sendto(b"knock", (endpoint.partition(":")[0], int(endpoint.partition(":")[2])))
        client.settimeout(0.3)
        try:
            heard = client.recv(200)
        except TimeoutError:
            heard = b""
    moved = stage.moved(before)
    return Row(
        "Filtering",
        f"{STRANGER}, whom nobody asked, knocks at {endpoint}",
        f"the LAN host heard {'it' if heard else 'nothing'}",
        moved,
        not heard and moved.get("DROP_FILTERED") == 1,
    )


def port_forward(stage: Stage) -> Row:
    before = stage.counters()
    size = 1_000_000
    right = _same_blob(stage.curl("wan", f"http://{WAN.ip}:8080/blob/{size}"), size)
    moved = stage.moved(before)
    return Row(
        "Static port forward",
        f"curl of 1 MB from the Internet to {WAN.ip}:8080",
        f"{LAN.ip}:80 answered; the SHA-256 is {'right' if right else 'WRONG'}",
        moved,
        right and moved.get("FORWARD", 0) > size / SEGMENT,
    )


def hairpin(stage: Stage) -> Row:
    before = stage.counters()
    who = stage.curl("lan2", f"http://{WAN.ip}:8080/whoami").decode()
    moved = stage.moved(before)
    return Row(
        "Hairpin",
        f"curl from the second LAN host to {WAN.ip}:8080",
        f"{LAN.ip} saw a client at {who}",
        moved,
        who.startswith(f"{WAN.ip}:") and moved.get("FORWARD", 0) >= 8,
    )


def own_traffic(stage: Stage) -> Row:
    before = stage.counters()
    answered = stage.ping("gw", SERVER, 5)
    who = stage.curl("gw", f"http://{SERVER}/whoami").decode()
    moved = stage.moved(before)
    apart = not 10000 <= int(who.partition(":")[2] or 0) <= 49999
    return Row(
        "The gateway's own traffic",
        f"ping and curl from the gateway to {SERVER}",
        f"{answered} of 5 answers, and a client at {who}",
        moved,
        answered == 5 and who.startswith(WAN.ip) and apart and moved.get("PUNT_HOST", 0) >= 8,
    )


def agent_killed(stage: Stage) -> Row:
    before = stage.counters()
    size = DOWNLOAD
    with stage.curl_started("lan", f"http://{SERVER}/blob/{size}", "--limit-rate", "8M") as curl:
        assert curl.stdout is not None
        got = curl.stdout.read(size // 10)
        stage.gateway.kill()
        got += curl.stdout.read(size // 2)
        alive = stage.gateway.running
        stage.gateway.start()
        got += curl.stdout.read()
    moved = stage.moved(before)
    right = _same_blob(got, size)
    return Row(
        "gw-agent killed (SIGKILL)",
        f"in the middle of a download of {size // 1_000_000} MB; started again before its end",
        f"the SHA-256 of what arrived is {'right' if right else 'WRONG'}; forwards again "
        f"{stage.gateway.ready_after * 1000:.0f} ms after its start",
        moved,
        right and not alive and moved.get("FORWARD", 0) > size / SEGMENT,
    )


def guard(stage: Stage) -> Row:
    answered_before = stage.ping("lan", SERVER, 2, size=3000)
    before = stage.counters()
    stage.lab.run("gw", ["nft", "flush", "ruleset"])
    # Fragments are the kernel's: its table is gone, so they would leave with the inside source.
    answered = stage.ping("lan", STRANGER, 2, size=3000)
    moved = stage.moved(before)
    stage.gwctl("apply")
    mended = stage.ping("lan", SERVER, 2, size=3000)
    return Row(
        "Guard",
        "fragmented pings; then `nft flush ruleset`; then `gwctl apply`",
        f"{answered_before} of 2, {answered} of 2 and {mended} of 2 answers; no inside address",
        moved,
        answered_before == 2 and mended == 2 and (answered == 2 or "DROP_GUARD" in moved),
    )


SCENES: tuple[Callable[[Stage], Row], ...] = (
    ping,
    download,
    exchange,
    filtering,
    port_forward,
    hairpin,
    own_traffic,
    agent_killed,
    guard,
)
