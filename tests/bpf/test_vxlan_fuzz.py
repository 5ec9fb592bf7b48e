# SPDX-License-Identifier: GPL-2.0-or-later
"""Anything at all may arrive at a port of a segment or of the underlay.

Plane.run() says for each that it has exactly one verdict, never XDP_ABORTED, and that the kernel
gets it as it came; here it is said what may leave. The examples are the same in every run.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from _gw_native import lib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hybrid_gateway.lab import checksums
from tests.lib.packets import SERVER, WAN, from_wan, tcp, udp

from .frames import mended
from .plane import HANDED_OVER, Outcome
from .segment import (
    BRIDGE_MAC,
    CORE_MAC,
    FAMILIES,
    FAR,
    HERE,
    LOCAL,
    NARROW,
    PEER,
    THERE,
    VNIS,
)
from .site import mac_bytes
from .stretched import Stretched
from .vxlan_frames import SIZES, arriving, between, to_gateway

bounded = settings(
    max_examples=800,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
STATIONS = {HERE.mac: "seg0", THERE.mac: "seg1"}
ETHERNET = 14
UDP_AT = {4: 34, 6: 54}


@cache
def _kinds() -> dict[str, tuple[str, bytes]]:
    """Frames that XDP would send if they were not damaged, and the port they arrive at."""
    kinds: dict[str, tuple[str, bytes]] = {"local": ("seg0", bytes(between(HERE, THERE)))}
    for family in FAMILIES:
        far = FAR[family]
        six = IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoRequest()
        inner = Ether(src=far.mac, dst=HERE.mac) / six
        outside = to_gateway(far, udp(far.ip, SERVER, 4000, 53))
        flow = to_gateway(far, tcp(far.ip, SERVER, 4000, 80))
        kinds |= {
            f"in {family}": ("seg0", bytes(between(HERE, far))),
            f"big in {family}": ("seg0", bytes(between(HERE, far, payload=bytes(1472)))),
            f"out {family}": ("core0", bytes(arriving(between(far, HERE), family))),
            f"six {family}": ("core0", bytes(arriving(inner, family, tos=3))),
            f"bare {family}": ("core0", bytes(arriving(between(far, HERE), family, checksum=0))),
            f"nat {family}": ("core0", bytes(arriving(outside, family, checksum=0))),
            f"tcp {family}": ("core0", bytes(arriving(flow, family, checksum=0))),
            f"wan {family}": ("wan0", b""),
        }
    return kinds


edits = st.lists(st.tuples(st.integers(0, 130), st.integers(0, 255)), min_size=0, max_size=4)
"""Places in the frame, the inner headers included, and what is written there."""
tunnels = st.fixed_dictionaries(
    {
        "flags": st.integers(0, 127).map(lambda flags: flags & ~lib.GW_TUNNEL_IPV6),
        "vni": st.integers(0, 0xFFFFFF),
        "tos": st.integers(0, 255),
        "ttl": st.integers(0, 255),
        "mtu": st.sampled_from([2000, 2000, 2000, 65535, 1450, 60, 0]),
        "narrow": st.booleans(),
        "port_low": st.sampled_from([1, 49152]),
        "port_high": st.sampled_from([49152, 65535]),
    }
)


def _arrange(stretched: Stretched, tunnel: dict[str, Any]) -> None:
    for family in FAMILIES:
        fields = dict(tunnel)
        remote = (NARROW if fields.pop("narrow") else PEER)[family]
        stretched.tunnel(family, remote=remote, **fields)


def _frame(stretched: Stretched, which: str) -> tuple[str, bytes]:
    port, frame = _kinds()[which]
    if frame:
        return port, frame
    far = FAR[int(which[-1])]
    opening = arriving(to_gateway(far, udp(far.ip, SERVER, 4000, 53)), int(which[-1]))
    outcome = stretched.from_core(opening)
    assert outcome.verdict == "FORWARD"
    back = udp(SERVER, WAN.ip, 53, outcome.packet["UDP"].sport)
    return port, bytes(from_wan(back))


def _damaged(
    frame: bytes, edits: list[tuple[int, int]], cut: int, extra: bytes, mend: bool
) -> bytes:
    changed = bytearray(frame)
    for place, value in edits:
        changed[place % len(changed)] = value
    sent = mended(changed) if mend and changed[12:14] == b"\x08\0" else bytes(changed)
    # Small numbers cut nothing, so that most frames are whole.
    return sent[: max(ETHERNET, len(sent) - max(0, cut - 90))] + extra


@bounded
@given(
    which=st.sampled_from(sorted(_kinds())),
    edits=edits,
    cut=st.integers(0, 180),
    extra=st.sampled_from([b"", b"", b"", b"\0", b"\xff" * 46]),
    mend=st.booleans(),
    tunnel=tunnels,
    flags=st.sampled_from([0, lib.GW_VNI_LEARNS, lib.GW_VNI_ANY_SOURCE, 3 << 1]),
)
def test_damaged_frames(
    stretched: Stretched,
    which: str,
    edits: list[tuple[int, int]],
    cut: int,
    extra: bytes,
    mend: bool,
    tunnel: dict[str, Any],
    flags: int,
) -> None:
    stretched.plane.dataplane.clear_sessions()
    for family in FAMILIES:
        stretched.tunnel(family)
        stretched.vni(VNIS[family], family)
    port, whole = _frame(stretched, which)
    _arrange(stretched, tunnel)
    for family in FAMILIES:
        stretched.vni(VNIS[family], family, flags=flags)
    sent = _damaged(whole, edits, cut, extra, mend)

    outcome = stretched.run(sent, port)

    _check(outcome, sent, port)


def _check(outcome: Outcome, sent: bytes, port: str) -> None:
    """What is sent is either what came, whole, or was made by us from end to end."""
    counted = outcome.counted
    inner = _taken_out(sent) if "VXLAN_DECAP" in counted else sent
    if outcome.verdict == "BRIDGE" and "VXLAN_ENCAP" not in counted:
        assert port == "core0" or outcome.frame == sent
        assert _without_ecn(outcome.frame) == _without_ecn(inner)
        assert _mac(outcome.frame, 0) in STATIONS
    if "VXLAN_ENCAP" in counted and outcome.action != "DROP":
        carried = _rebuilt(outcome)
        # What was bridged is in it as it was; what NAT made of it is fit to be seen.
        if outcome.verdict in ("BRIDGE", "PUNT_TUNNEL_CUT") and port == "seg0":
            assert carried == sent
        else:
            assert checksums.folded(carried[14:34]) == 0xFFFF
    elif outcome.verdict in ("FORWARD", *HANDED_OVER):
        assert checksums.folded(outcome.frame[14:34]) == 0xFFFF


def _taken_out(sent: bytes) -> bytes:
    return sent[SIZES[4] if sent[12:14] == b"\x08\0" else SIZES[6] :]


def _mac(frame: bytes, at: int) -> str:
    return ":".join(f"{byte:02x}" for byte in frame[at : at + 6])


def _without_ecn(frame: bytes) -> bytes:
    """RFC 6040 may have changed that, and with it the header checksum of IPv4."""
    left = bytearray(frame)
    if frame[12:14] == b"\x08\0" and len(frame) >= 34:
        left[15] &= 0xFC
        left[24:26] = b"\0\0"
    elif frame[12:14] == b"\x86\xdd" and len(frame) >= 54:
        left[15] &= 0xCF
    return bytes(left)


def _rebuilt(outcome: Outcome) -> bytes:
    """Outer headers of ours alone, right in every field; returns what they carry."""
    frame = outcome.frame
    family = 4 if frame[12:14] == b"\x08\0" else 6
    assert frame[6:12] == mac_bytes(CORE_MAC)
    packet = Ether(frame).payload
    assert packet.src == LOCAL[family]
    assert packet.dst in (PEER[family], NARROW[family])
    at, length = UDP_AT[family], len(frame)
    if family == 4:
        assert frame[14] == 0x45
        assert struct.unpack_from("!H", frame, 16)[0] == length - 14
        assert checksums.folded(frame[14:34]) == 0xFFFF
    else:
        assert struct.unpack_from("!H", frame, 18)[0] == length - 54
        assert frame[20] == 17
    _, dport, size, checksum = struct.unpack_from("!HHHH", frame, at)
    assert (dport, size) == (4789, length - at)
    if checksum:
        addresses = frame[26:34] if family == 4 else frame[22:54]
        pseudo = addresses + struct.pack("!HH", 17, size)
        assert checksums.folded(pseudo + frame[at:] + b"\0" * (length % 2)) == 0xFFFF
    assert frame[at + 8 : at + 12] == b"\x08\0\0\0"
    assert frame[at + 15] == 0
    return frame[at + 16 :]


@bounded
@given(
    noise=st.binary(min_size=0, max_size=200),
    family=st.sampled_from(FAMILIES),
    head=st.sampled_from(["inner", "outer", "frame", "station"]),
)
def test_noise(stretched: Stretched, noise: bytes, family: int, head: str) -> None:
    """Behind headers that are right, so that it is looked at."""
    stretched.plane.dataplane.clear_sessions()
    far = FAR[family]
    macs = bytes(Ether(src=far.mac, dst=HERE.mac))[:12]
    own = bytes(Ether(src=far.mac, dst=BRIDGE_MAC))[:12]
    places: dict[str, Callable[[], tuple[str, bytes]]] = {
        "inner": lambda: ("core0", bytes(arriving(macs + noise, family))),
        "outer": lambda: ("core0", bytes(arriving(own + b"\x08\0" + noise, family))),
        "frame": lambda: ("core0", mac_bytes(CORE_MAC) + noise + bytes(8)),
        "station": lambda: (
            "seg0",
            bytes(Ether(src=HERE.mac, dst=far.mac, type=0x800 if family == 4 else 0x86DD))
            + bytes(Raw(noise)),
        ),
    }
    port, sent = places[head]()

    outcome = stretched.run(sent, port)

    _check(outcome, sent, port)
