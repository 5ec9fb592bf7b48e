# SPDX-License-Identifier: GPL-2.0-or-later
"""The `filter` of a request, judged: UsageError names the key and what it may be."""

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_address
from typing import Any, TypeVar

from ..bpf.scan import AGE_MAX, ANYWHERE, EVERY_PORT, ORIGINS, SORTS, Match, Order, SessionFilter
from ..bpf.sessions import STATES
from ..bpf.stations import STATES as STATION_STATES
from ..errors import UsageError
from ..evpn.view import MacState
from ..model import IPAddress

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){0,5}")
VNI_MAX = 0xFFFFFF
A = TypeVar("A")


def _bad(key: str, message: str) -> UsageError:
    return UsageError(f"{key}: {message}", code="filter")


def _one_of(key: str, value: Any, known: Mapping[str, Any] | set[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise _bad(key, f"must be one of {', '.join(sorted(known))}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(key, "must be text")
    return value


def _seconds(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= AGE_MAX:
        raise _bad(key, f"must be seconds, from 0 to {AGE_MAX}")
    return value


def ports(key: str, value: Any) -> tuple[int, int]:
    """ "443", 443 or "1000-2000"."""
    low, dash, high = str(value).partition("-")
    try:
        first, last = int(low), int(high if dash else low)
    except ValueError:
        first, last = -1, -1
    if not (low.isascii() and 0 <= first <= last <= EVERY_PORT[1]):
        raise _bad(key, f"{str(value)[:40]} is neither a port (0-65535) nor a range LOW-HIGH")
    return first, last


def network(key: str, value: Any) -> IPv4Network:
    """ "192.0.2.1" or "192.0.2.0/24"; bits behind the length are refused, not forgotten."""
    text = _text(key, value)
    try:
        return IPv4Network(text)
    except AddressValueError as error:
        raise _bad(key, f"{text[:40]} is not an IPv4 address or prefix") from error
    except ValueError as error:
        raise _bad(key, f"{text[:40]}: {_reason(text)}") from error


def _reason(text: str) -> str:
    try:
        return f"has host bits set; the prefix is {IPv4Network(text, strict=False)}"
    except ValueError:
        return "is not an IPv4 address or prefix"


def endpoints(key: str, value: Any) -> Match:
    """ "ADDRESS[/LENGTH][:PORT[-PORT]]" or ":PORT"."""
    text = _text(key, value)
    address, colon, port = text.partition(":")
    where = network(key, address) if address or not colon else ANYWHERE
    return Match(where, ports(key, port) if colon else EVERY_PORT)


def address(key: str, value: Any) -> IPv4Address:
    return _address(key, value, IPv4Address, "an IPv4 address")


def either_address(key: str, value: Any) -> IPAddress:
    return _address(key, value, ip_address, "an IPv4 or IPv6 address")


def _address(key: str, value: Any, parse: Callable[[str], A], what: str) -> A:
    text = _text(key, value)
    try:
        return parse(text)
    except ValueError as error:
        raise _bad(key, f"{text[:50]} is not {what}") from error


def mac(key: str, value: Any) -> bytes:
    """A MAC address or its first bytes: "02:00:5e"."""
    text = _text(key, value)
    if not MAC.fullmatch(text):
        raise _bad(
            key, f"{text[:40]} is not a MAC address like 02:00:5e:10:00:01, nor how one begins"
        )
    return bytes.fromhex(text.replace(":", ""))


def _whole(lowest: int, highest: int) -> "Reader":
    def read(key: str, value: Any) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise _bad(key, f"must be a whole number from {lowest} to {highest}")
        return value

    return read


def protocol(key: str, value: Any) -> int:
    """By name."""
    return PROTOCOLS[_one_of(key, value, PROTOCOLS)]


Reader = Callable[[str, Any], Any]

SESSION_KEYS: Mapping[str, Reader] = {
    "inside": endpoints,
    "outside": endpoints,
    "remote": endpoints,
    "address": network,
    "port": ports,
    "protocol": protocol,
    "state": lambda key, value: _one_of(key, value, set(STATES.values())),
    "origin": lambda key, value: _one_of(key, value, ORIGINS),
    "older": _seconds,
    "younger": _seconds,
    "expires_within": _seconds,
}
MAPPING_KEYS: Mapping[str, Reader] = {
    "inside": endpoints,
    "outside": endpoints,
    "protocol": protocol,
}
FDB_KEYS: Mapping[str, Reader] = {
    "bridge": _text,
    "vlan": _whole(1, 4094),
    "mac": mac,
    "port": _text,
    "vtep": either_address,
    "vni": _whole(1, VNI_MAX),
    "state": lambda key, value: _one_of(key, value, set(STATION_STATES.values())),
}
SEGMENT_KEYS: Mapping[str, Reader] = {"segment": _text}
EVPN_VTEP_KEYS: Mapping[str, Reader] = {"vni": _whole(1, VNI_MAX), "vtep": either_address}
EVPN_KEYS: Mapping[str, Reader] = {
    **EVPN_VTEP_KEYS,
    "mac": mac,
    "address": either_address,
    "state": lambda key, value: _one_of(key, value, {state.value for state in MacState}),
}
EVPN_CLEAR_KEYS: Mapping[str, Reader] = {"vni": _whole(1, VNI_MAX), "mac": mac}


def _read(given: Mapping[str, Any], keys: Mapping[str, Reader]) -> dict[str, Any]:
    for key in given:
        if key not in keys:
            raise _bad(str(key)[:40], f"no such filter; there are {', '.join(keys)}")
    return {key: keys[key](key, value) for key, value in given.items()}


def session_filter(given: Mapping[str, Any]) -> SessionFilter:
    """What `show.sessions` and `clear.sessions` are asked for."""
    found = _read(given, SESSION_KEYS)
    anyone = Match(found.pop("address", ANYWHERE), found.pop("port", EVERY_PORT))
    return SessionFilter(any=anyone, **found)


def mapping_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """`inside` and `outside` as Match, `protocol` as number; only those that were given."""
    return _read(given, MAPPING_KEYS)


def fdb_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """`bridge` and `port` as names, `mac` as the bytes that count; only those that were given."""
    return _read(given, FDB_KEYS)


def segment_filter(given: Mapping[str, Any]) -> str | None:
    """A device or a VNI as text, None: all."""
    found: str | None = _read(given, SEGMENT_KEYS).get("segment")
    return found


def evpn_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """`mac` as the bytes that count, addresses as such; only those that were given."""
    return _read(given, EVPN_KEYS)


def evpn_vtep_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    return _read(given, EVPN_VTEP_KEYS)


def evpn_clear_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    return _read(given, EVPN_CLEAR_KEYS)


def order(by: str | None, reverse: bool) -> Order:
    """By which figure or endpoint to sort, None: not at all."""
    if by is None:
        if reverse:
            raise _bad("reverse", "needs a sort to turn round")
        return Order()
    return Order(_one_of("sort", by, SORTS), reverse)
