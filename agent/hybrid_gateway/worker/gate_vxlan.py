# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN's values as the C library has them; see gate."""

from ipaddress import ip_address
from typing import Any

from _gw_worker import lib

from ..errors import BadSegmentError, UsageError
from ..model import IPAddress
from ..worker_values import Place, PlaceKind, WorkerSegment

SEGMENT_FLAGS = {
    "any_source": lib.GW_SEGMENT_OPTION_ANY_SOURCE,
    "listed": lib.GW_SEGMENT_OPTION_LISTED,
    "fragment": lib.GW_SEGMENT_OPTION_FRAGMENT,
    "learns": lib.GW_SEGMENT_OPTION_LEARNS,
    "checksum": lib.GW_SEGMENT_OPTION_CHECKSUM,
    "ttl_inherit": lib.GW_SEGMENT_OPTION_TTL_INHERIT,
    "tos_inherit": lib.GW_SEGMENT_OPTION_TOS_INHERIT,
    "df": lib.GW_SEGMENT_OPTION_DF,
    "df_inherit": lib.GW_SEGMENT_OPTION_DF_INHERIT,
}
"""By the field of WorkerSegment that says it."""
SEGMENT_NUMBERS = {
    **dict.fromkeys(("ifindex", "bridge", "vni", "link", "label"), 0xFFFFFFFF),
    **dict.fromkeys(("port", "first_port", "last_port", "mtu"), 0xFFFF),
    **dict.fromkeys(("family", "ttl", "tos"), 0xFF),
}
"""The largest that the field can say; what makes sense the library knows."""
PLACE_KINDS = {
    lib.GW_PLACE_UNKNOWN: PlaceKind.UNKNOWN,
    lib.GW_PLACE_KERNEL: PlaceKind.KERNEL,
    lib.GW_PLACE_LOCAL: PlaceKind.LOCAL,
    lib.GW_PLACE_PORT: PlaceKind.PORT,
    lib.GW_PLACE_TUNNEL: PlaceKind.TUNNEL,
}


def segment_options(segment: WorkerSegment, addresses: list[bytes]) -> dict[str, Any]:
    """Its addresses are put at the end of the list, for the library to find them there."""
    where = f"VXLAN segment of VNI {segment.vni}"
    numbers = {name: getattr(segment, name) for name in SEGMENT_NUMBERS}
    for name, number in numbers.items():
        if not 0 <= number <= SEGMENT_NUMBERS[name]:
            raise BadSegmentError(f"{where}: {name}: {number} is out of range")
    heard = segment.heard.encode()
    if len(heard) >= lib.GW_WORKER_NAME:
        raise BadSegmentError(f"{where}: heard: {segment.heard[:60]!r} is no device's name")
    sources = [_address(text, segment.family, where) for text in segment.sources]
    arrivals = [_address(text, segment.family, where) for text in segment.arrivals]
    first = len(addresses)
    addresses += sources + arrivals
    return numbers | {
        "flags": sum(flag for name, flag in SEGMENT_FLAGS.items() if getattr(segment, name)),
        "first_source": first,
        "sources": len(sources),
        "first_arrival": first + len(sources),
        "arrivals": len(arrivals),
        "heard": heard,
        "has_local": segment.local != "",
        "local": {
            "bytes": _address(segment.local, segment.family, where) if segment.local else b""
        },
    }


def _address(text: str, family: int, where: str) -> bytes:
    """In 16 bytes, those behind an IPv4 address zero."""
    try:
        address: IPAddress = ip_address(text)
    except ValueError as error:
        raise BadSegmentError(f"{where}: {error}") from error
    if address.version != family:
        raise BadSegmentError(f"{where}: {address} is not IPv{family}")
    return address.packed.ljust(16, b"\0")


def mac_bytes(text: str) -> bytes:
    try:
        address = bytes(int(part, 16) for part in text.split(":"))
    except ValueError:
        address = b""
    if len(address) != 6:
        raise UsageError(f"{text[:60]!r} is no MAC address")
    return address


def place(found: Any) -> Place:
    vtep = bytes(found.vtep.bytes[0 : 16 if found.family == 6 else 4])
    return Place(
        kind=PLACE_KINDS[found.kind],
        ifindex=found.ifindex,
        ages=bool(found.ages),
        vtep=str(ip_address(vtep)) if found.family else "",
        vni=found.vni,
        udp_port=found.udp_port,
        may_send=bool(found.may_send),
        by_kernel=bool(found.by_kernel),
    )
