# SPDX-License-Identifier: GPL-2.0-or-later
"""From the LAN to the Internet, and of the gateway itself."""

from ..stage import SEGMENT, SERVER, STRANGER, Row, Stage, answered, same_blob
from ..topology import LAN, WAN

DOWNLOAD = 20_000_000


def ping(stage: Stage) -> Row:
    before = stage.counters()
    count = stage.ping("lan", SERVER, 10)
    seen = stage.look()
    moved = stage.moved(before)
    return Row(
        "ICMP echo",
        f"ping -c 10 {SERVER} from {LAN.ip}",
        f"10 requests from {', '.join(sorted(seen))}; {count} answers got back",
        moved,
        count == 10 and seen == {WAN.ip} and moved.get("FORWARD", 0) >= 19,
    )


def download(stage: Stage) -> Row:
    who = stage.curl("lan", f"http://{SERVER}/whoami").decode()
    before = stage.counters()
    right = same_blob(stage.curl("lan", f"http://{SERVER}/blob/{DOWNLOAD}"), DOWNLOAD)
    moved = stage.moved(before)
    return Row(
        "TCP",
        f"curl of {DOWNLOAD // 1_000_000} MB from {SERVER}, on {LAN.ip}",
        f"a client at {who}; the SHA-256 of what arrived is {'right' if right else 'WRONG'}",
        moved,
        right and who.startswith(WAN.ip) and moved.get("FORWARD", 0) > DOWNLOAD / SEGMENT,
    )


def exchange(stage: Stage) -> Row:
    before = stage.counters()
    with stage.udp_socket("lan") as client:
        seen = {answered(client, server) for server in (SERVER, STRANGER)}
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
        endpoint = answered(client)
        before = stage.counters()
        stranger.bind((STRANGER, 0))
        address, _, port = endpoint.partition(":")
        stranger.sendto(b"knock", (address, int(port)))
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


def own_traffic(stage: Stage) -> Row:
    before = stage.counters()
    count = stage.ping("gw", SERVER, 5)
    who = stage.curl("gw", f"http://{SERVER}/whoami").decode()
    moved = stage.moved(before)
    apart = not 10000 <= int(who.partition(":")[2] or 0) <= 49999
    return Row(
        "The gateway's own traffic",
        f"ping and curl from the gateway to {SERVER}",
        f"{count} of 5 answers, and a client at {who}",
        moved,
        count == 5 and who.startswith(WAN.ip) and apart and moved.get("PUNT_HOST", 0) >= 8,
    )
