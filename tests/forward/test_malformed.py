# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that are wrong: counted by reason, never translated, never passed on."""

from collections.abc import Callable

import pytest

from tests.lib.gateway import Gateway
from tests.lib.packets import LAN, SERVER, from_lan, tcp, udp, wire
from tests.lib.traffic import Wires

ETHERNET, IPV4 = 14, 20
UDP_FRAME = bytes(wire(from_lan(udp(LAN.ip, SERVER, 4000, 53))))
TCP_FRAME = bytes(wire(from_lan(tcp(LAN.ip, SERVER, 4000, 80))))


def patched(frame: bytes, at: int, data: bytes, *, checksum: bool = True) -> bytes:
    """The frame with other bytes at an offset of its IPv4 packet, and a right header checksum."""
    at += ETHERNET
    changed = frame[:at] + data + frame[at + len(data) :]
    if not checksum:
        return changed
    header = changed[ETHERNET : ETHERNET + 10] + b"\0\0" + changed[ETHERNET + 12 : ETHERNET + IPV4]
    total = int.from_bytes(header, "big") % 0xFFFF
    right = (0xFFFF - total).to_bytes(2, "big")
    return changed[: ETHERNET + 10] + right + changed[ETHERNET + 12 :]


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "version 5": (lambda: patched(UDP_FRAME, 0, b"\x55"), "DROP_MALFORMED"),
    "header of 16 bytes": (lambda: patched(UDP_FRAME, 0, b"\x44"), "DROP_MALFORMED"),
    "total length below the header": (
        lambda: patched(UDP_FRAME, 2, b"\x00\x13"),
        "DROP_MALFORMED",
    ),
    "total length beyond the frame": (
        lambda: patched(UDP_FRAME, 2, b"\x05\x00"),
        "DROP_TRUNCATED",
    ),
    "no room for a UDP header": (lambda: patched(UDP_FRAME, 2, b"\x00\x18"), "DROP_MALFORMED"),
    "UDP length beyond the packet": (lambda: patched(UDP_FRAME, 24, b"\xff\xff"), "DROP_MALFORMED"),
    "UDP length below its header": (lambda: patched(UDP_FRAME, 24, b"\x00\x07"), "DROP_MALFORMED"),
    "TCP header of 16 bytes": (lambda: patched(TCP_FRAME, 32, b"\x40"), "DROP_MALFORMED"),
    "TCP header beyond the packet": (lambda: patched(TCP_FRAME, 32, b"\xf0"), "DROP_MALFORMED"),
    "wrong IPv4 checksum": (
        lambda: patched(UDP_FRAME, 10, b"\xde\xad", checksum=False),
        "DROP_CHECKSUM",
    ),
    "cut off in the IPv4 header": (lambda: UDP_FRAME[: ETHERNET + 12], "DROP_TRUNCATED"),
    "cut off in the UDP header": (lambda: UDP_FRAME[: ETHERNET + IPV4 + 4], "DROP_TRUNCATED"),
    "cut off in the payload": (lambda: UDP_FRAME[:-1], "DROP_TRUNCATED"),
}


@pytest.mark.parametrize("name", CASES)
def test_dropped_and_counted(wires: Wires, gateway: Gateway, name: str) -> None:
    make, reason = CASES[name]
    counts = gateway.counting()
    wires.send_and_expect_nothing(make(), at="lan", to="wan", wanted=lambda p: "IP" in p)
    counts.expect(**{reason: 1})


@pytest.mark.parametrize("length", [14, 15, 20, 33, 34, 35, 41, 42], ids="{}-bytes".format)
def test_every_cut_is_survived(wires: Wires, gateway: Gateway, length: int) -> None:
    counts = gateway.counting()
    wires.send_and_expect_nothing(
        UDP_FRAME[:length], at="lan", to="wan", wanted=lambda p: "IP" in p
    )
    counts.expect(DROP_TRUNCATED=1)
