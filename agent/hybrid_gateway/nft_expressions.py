# SPDX-License-Identifier: GPL-2.0-or-later
"""Expressions of nftables rules as libnftables' JSON (libnftables-json(5))."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

from .model import Backend, PortRange

Json = dict[str, Any]
SEED = 0x67774E31
"""Of hashes. Without one the kernel draws lots with every writing of the table."""


def match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key: str, *values: str, op: str = "==") -> Json:
    right = values[0] if len(values) == 1 else {"set": list(values)}
    return match({"meta": {"key": key}}, right, op)


def payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def state(*states: str) -> Json:
    return match({"ct": {"key": "state"}}, list(states), "in")


IPV4 = meta("nfproto", "ipv4")
LOCAL_DESTINATION = match({"fib": {"result": "type", "flags": "daddr"}}, "local")
FOREIGN_SOURCE = match({"fib": {"result": "type", "flags": "saddr"}}, "local", "!=")
TRANSLATED_DESTINATION = match({"ct": {"key": "status"}}, "dnat", "in")
OPENING = match({"&": [payload("tcp", "flags"), ["syn", "rst"]]}, "syn")
ACCEPT: Json = {"accept": None}
DROP: Json = {"drop": None}


def address(field: str, *addresses: IPv4Address) -> Json:
    """Whether the packet's `saddr` or `daddr` is one of these."""
    texts = [str(one) for one in addresses]
    return match(payload("ip", field), texts[0] if len(texts) == 1 else {"set": texts})


def ports(protocol: str, field: str, wanted: PortRange) -> Json:
    """Whether the packet's `sport` or `dport` is in the range."""
    number: Any = wanted.low if len(wanted) == 1 else {"range": [wanted.low, wanted.high]}
    return match(payload(protocol, field), number)


def shifted(protocol: str, field: str, wanted: PortRange, first: int) -> Any:
    """What to translate that port to: as far from `first` as it is from the start of the range.

    None: nothing. "dnat to A:LOW-HIGH" would pick any port of the range, so that another base takes
    a map with an element for every port.
    """
    if len(wanted) == 1:
        return first
    if wanted.low == first:
        return None
    pairs = [[wanted.low + i, first + i] for i in range(len(wanted))]
    return {"map": {"key": payload(protocol, field), "data": {"set": pairs}}}


def chosen(addresses: Sequence[IPv4Address]) -> IPv4Address | Json:
    """An inside host keeps its outside address (RFC 4787 REQ-2): the choice hangs on its own."""
    if len(addresses) == 1:
        return addresses[0]
    data = [[index, str(one)] for index, one in enumerate(addresses)]
    return _hashed([payload("ip", "saddr")], len(addresses), data)


def shared(protocol: str, backends: Sequence[Backend]) -> Json:
    """Address and port of a backend, by the client's: the same for the same client endpoint."""
    data: list[list[Any]] = []
    total = 0
    for backend in backends:
        low, total = total, total + backend.weight
        key: Any = low if backend.weight == 1 else {"range": [low, total - 1]}
        data.append([key, {"concat": [str(backend.address), backend.port]}])
    return _hashed([payload("ip", "saddr"), payload(protocol, "sport")], total, data)


def _hashed(fields: list[Json], count: int, data: list[list[Any]]) -> Json:
    key = fields[0] if len(fields) == 1 else {"concat": fields}
    return {
        "map": {
            "key": {"jhash": {"mod": count, "seed": SEED, "expr": key}},
            "data": {"set": data},
        }
    }


def nat(kind: str, to: IPv4Address | Json, port: Any = None) -> Json:
    """`kind` is snat or dnat; `port` a number, a range or a map, None: it stays."""
    target: Json = {"family": "ip", "addr": str(to) if isinstance(to, IPv4Address) else to}
    if port is not None:
        target["port"] = port
    return {kind: target}


def masquerade(port: Any = None) -> Json:
    return {"masquerade": None if port is None else {"port": port}}
