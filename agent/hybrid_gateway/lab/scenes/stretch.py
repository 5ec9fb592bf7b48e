# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN: a segment over two sites, a branch behind the NAT, and what does not belong there."""

import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address

from ...client import Client
from ...instance import Instance
from .. import branch, second
from ..checksums import UDP, folded
from ..extension import Extension, extended
from ..gateway import GatewayProcess
from ..namespaces import LabError
from ..second import LEFT, NEAR_ROUTER, NEAR_UPLINK, RIGHT, Underlay
from ..services import servers
from ..sniff import PacketSocket
from ..stage import SEGMENT, SERVER, SETTLE_SECONDS, Row, Stage, same_blob
from ..topology import LAN, WAN

SIZE = 10_000_000
FULL = str(SEGMENT - 28)
"""Bytes of an echo request that fills a link: IPv4 and ICMP headers are the rest."""
PORT = 4789
STRANGER, NOBODYS_VNI = "198.51.100.66", 999
HEARD_SECONDS = 0.3


@contextmanager
def _joined(stage: Stage, extension: Extension, ports: str, section: str) -> Iterator[Stage]:
    """The extension beside the lab, and the gateway configured for it."""
    with ExitStack() as stack:
        wide = stack.enter_context(extended(stage.lab, extension))
        stack.enter_context(stage.configured(ports=ports, section=section))
        yield stage.elsewhere(wide)


@contextmanager
def _two_sites(stage: Stage, underlay: Underlay) -> Iterator[Stage]:
    extension = second.second_site(underlay)
    with _joined(stage, extension, second.NEAR_PORTS, second.SECTION) as there:
        _meet(there, "left", RIGHT.ip)
        yield there


def _meet(stage: Stage, host: str, target: str) -> None:
    """The bridges learn the two hosts, and XDP from the bridges."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        before = stage.counters()
        answered = stage.ping(host, target, 1)
        if answered and not any(name.startswith("PUNT_") for name in stage.moved(before)):
            return
    raise LabError(f"XDP does not come to know {host} and {target}")


def stretched(stage: Stage) -> Row:
    return _stretched(stage, Underlay.IPV4)


def stretched6(stage: Stage) -> Row:
    return _stretched(stage, Underlay.IPV6)


def _stretched(stage: Stage, underlay: Underlay) -> Row:
    with (
        _two_sites(stage, underlay) as there,
        servers(there.lab, "right", http=[f"{RIGHT.ip}:80"]),
    ):
        before = stage.counters()
        count = there.ping("left", RIGHT.ip, 10)
        right = there.uploaded("left", RIGHT.ip, SIZE)
        moved = stage.moved(before)
    return Row(
        f"VXLAN over {underlay.label}, the kernel at the other end",
        f"ping -c 10 and a PUT of {SIZE // 1_000_000} MB from {LEFT.ip} at {underlay.near} to "
        f"{RIGHT.ip} at {underlay.far}, a plain Linux bridge",
        f"{count} answers; the SHA-256 of what arrived is {'right' if right else 'WRONG'}; frames "
        f"of {SEGMENT} bytes were cut for an underlay of {SEGMENT}",
        moved,
        count == 10
        and right
        and moved.get("VXLAN_ENCAP", 0) > SIZE / SEGMENT
        and moved.get("VXLAN_CUT", 0) > 0.9 * SIZE / SEGMENT,
    )


def both_ends(stage: Stage) -> Row:
    with ExitStack() as stack:
        there = stack.enter_context(_two_sites(stage, Underlay.IPV6))
        side = stack.enter_context(second.far_side(there.lab))
        other = GatewayProcess(side)
        stack.callback(other.stop)
        other.start()
        stack.enter_context(servers(there.lab, "right", http=[f"{RIGHT.ip}:80"]))
        _meet(there, "left", RIGHT.ip)
        before = stage.counters()
        count = there.ping("left", RIGHT.ip, 10, "-M", "do", "-s", FULL)
        right = same_blob(there.curl("left", f"http://{RIGHT.ip}/blob/{SIZE}"), SIZE)
        right = there.uploaded("left", RIGHT.ip, SIZE) and right
        moved, cut = stage.moved(before), _cut(Instance(side.name))
    return Row(
        "VXLAN over IPv6, a gw-agent at each end",
        f"pings of {SEGMENT} bytes with DF, {SIZE // 1_000_000} MB there and "
        f"{SIZE // 1_000_000} MB back",
        f"{count} answers; both SHA-256 are {'right' if right else 'WRONG'}; the other gateway "
        f"cut {cut} packets",
        moved,
        count == 10 and right and min(cut, moved.get("VXLAN_CUT", 0)) > 0.9 * SIZE / SEGMENT,
    )


def _cut(instance: Instance) -> int:
    """How many outer packets that agent's gateway has cut."""
    with Client(instance) as client:
        ports = client.call("show.counters")["ports"]
    return sum(port["counters"].get("VXLAN_CUT", 0) for port in ports)


def moved_host(stage: Stage) -> Row:
    """left2 becomes what right was."""
    with _two_sites(stage, Underlay.IPV4) as there:
        there.lab.run("right", ["ip", "link", "set", RIGHT.device, "down"])
        for line in (
            f"link set eth0 down address {RIGHT.mac}",
            f"addr add {RIGHT.network} dev eth0",
            "link set eth0 up",
        ):
            there.lab.run("left2", ["ip", *line.split()])
        # The first thing that it says tells the bridge where it is; it may be answered too soon.
        there.ping("left2", LEFT.ip, 2, "-I", RIGHT.ip)
        # And its port was without a carrier.
        _meet(there, "left", RIGHT.ip)
        before = stage.counters()
        count = there.ping("left", RIGHT.ip, 10)
        moved = stage.moved(before)
    return Row(
        "A host that moves to the other site",
        f"{RIGHT.ip} leaves one site for the other and says something; ping -c 10 from {LEFT.ip}",
        f"{count} answers from its new place, none through the tunnel",
        moved,
        count == 10 and moved.get("BRIDGE", 0) >= 18 and "VXLAN_ENCAP" not in moved,
    )


def strangers(stage: Stage) -> Row:
    with _two_sites(stage, Underlay.IPV4) as there, ExitStack() as stack:
        router, left = (
            PacketSocket(there.lab.namespace(end.host), end.device) for end in (NEAR_ROUTER, LEFT)
        )
        stack.callback(router.close)
        stack.callback(left.close)
        before = stage.counters()
        for frame in (
            _vxlan(STRANGER, second.VNI),
            _vxlan(Underlay.IPV4.far, NOBODYS_VNI),
            _vxlan(Underlay.IPV4.far, second.VNI, flags=0),
        ):
            router.send(frame)
        deadline = time.monotonic() + HEARD_SECONDS
        heard = [frame for frame in left.frames_until(deadline) if _MARK in frame.data]
        moved = stage.moved(before)
    return Row(
        "VXLAN of strangers",
        f"VNI {second.VNI} from {STRANGER}, who is no VTEP; VNI {NOBODYS_VNI}; no VNI at all",
        f"{LEFT.ip} heard {'something' if heard else 'nothing'}",
        moved,
        not heard and all(moved.get(name) == 1 for name in ("DROP_VTEP", "DROP_VNI", "DROP_VXLAN")),
    )


_MARK = b"nobody asked for this"


def _vxlan(source: str, vni: int, flags: int = 8) -> bytes:
    """A frame for LEFT, as the router would hand it to the gateway."""
    macs = bytes.fromhex((LEFT.mac + RIGHT.mac).replace(":", ""))
    body = struct.pack("!II", flags << 24, vni << 8) + macs + b"\x88\xb5" + _MARK
    length = 8 + len(body)
    addresses = IPv4Address(source).packed + IPv4Address(NEAR_UPLINK.ip).packed
    ports = struct.pack("!HHH", 50000, PORT, length)
    pseudo = addresses + struct.pack("!HH", UDP, length)
    check = folded(pseudo + ports + bytes(2) + body) ^ 0xFFFF or 0xFFFF
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 0, 0, 63, UDP)
    packet = head + struct.pack("!H", folded(head + bytes(2) + addresses) ^ 0xFFFF) + addresses
    ethernet = bytes.fromhex((NEAR_UPLINK.mac + NEAR_ROUTER.mac).replace(":", "")) + b"\x08\x00"
    return ethernet + packet + ports + struct.pack("!H", check) + body


def branch_behind_nat(stage: Stage) -> Row:
    home = branch.HOME.ip
    with _joined(stage, branch.BRANCH, "", branch.SECTION) as there:
        _meet(there, "home", LAN.ip)
        before = stage.counters()
        lan = there.ping("home", LAN.ip, 5)
        who = there.curl("home", f"http://{SERVER}/whoami").decode()
        right = same_blob(there.curl("home", f"http://{SERVER}/blob/{SIZE}"), SIZE)
        moved = stage.moved(before)
    return Row(
        "NAT44 and VXLAN",
        f"{home}, in a branch at {branch.VTEP}, on the LAN by VXLAN: ping -c 5 {LAN.ip}, and curl "
        f"of {SIZE // 1_000_000} MB from {SERVER}",
        f"{lan} answers; a client at {who}; the SHA-256 is {'right' if right else 'WRONG'}",
        moved,
        lan == 5
        and right
        and who.startswith(f"{WAN.ip}:")
        and moved.get("NAT_NEW_SESSION", 0) >= 2
        and moved.get("VXLAN_ENCAP", 0) > SIZE / SEGMENT,
    )
