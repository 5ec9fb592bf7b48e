# SPDX-License-Identifier: GPL-2.0-or-later
"""The nftables table `inet gw` as libnftables' JSON: what kernel forwarding has to do.

It serves the flows that XDP does not do, on a port range of its own, and all of them when
XDP does nothing. No rule of it looks at traffic that is not between the inside devices and
the outside device.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from .model import FallbackTable, Identity, OneToOne

FAMILY = "inet"
TABLE = "gw"
Json = dict[str, Any]
PORTED = ("tcp", "udp", "icmp")
"""Protocols whose ports or identifiers XDP hands out as well: these keep to their own range."""


def commands(table: FallbackTable) -> list[Json]:
    """One transaction: whatever the table was, afterwards it is this."""
    return [
        *removal(),
        {"add": {"table": {"family": FAMILY, "name": TABLE}}},
        _chain("prerouting", "nat", "prerouting", -100),
        _chain("postrouting", "nat", "postrouting", 100),
        _chain("forward", "filter", "forward", 0),
        *(_rule("prerouting", *rule) for rule in _prerouting(table)),
        *(_rule("postrouting", *rule) for rule in _postrouting(table)),
        *(_rule("forward", *rule) for rule in _forward(table)),
    ]


def removal() -> list[Json]:
    """Adding first makes deleting succeed whether or not the table was there."""
    named = {"family": FAMILY, "name": TABLE}
    return [{"add": {"table": named}}, {"delete": {"table": named}}]


def _chain(name: str, kind: str, hook: str, priority: int) -> Json:
    return {
        "add": {
            "chain": {
                "family": FAMILY,
                "table": TABLE,
                "name": name,
                "type": kind,
                "hook": hook,
                "prio": priority,
                "policy": "accept",
            }
        }
    }


def _rule(chain: str, *expressions: Json) -> Json:
    return {
        "add": {
            "rule": {
                "family": FAMILY,
                "table": TABLE,
                "chain": chain,
                "expr": list(expressions),
            }
        }
    }


# ---- expressions --------------------------------------------------------------------------


def _match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _meta(key: str, *values: str, op: str = "==") -> Json:
    right = values[0] if len(values) == 1 else {"set": list(values)}
    return _match({"meta": {"key": key}}, right, op)


def _field(protocol: str, field: str, value: Any) -> Json:
    return _match({"payload": {"protocol": protocol, "field": field}}, value)


IPV4 = _meta("nfproto", "ipv4")
LOCAL_DESTINATION = _match({"fib": {"result": "type", "flags": "daddr"}}, "local")
TRANSLATED_DESTINATION = _match({"ct": {"key": "status"}}, "dnat", "in")
ACCEPT: Json = {"accept": None}
DROP: Json = {"drop": None}


def _state(*states: str) -> Json:
    return _match({"ct": {"key": "state"}}, list(states), "in")


def _nat(kind: str, address: IPv4Address | Json, port: Any = None) -> Json:
    target: Json = {
        "family": "ip",
        "addr": str(address) if isinstance(address, IPv4Address) else address,
    }
    if port is not None:
        target["port"] = port
    return {kind: target}


# ---- rules --------------------------------------------------------------------------------


def _prerouting(table: FallbackTable) -> Iterator[list[Json]]:
    """Static entries, for whoever comes from outside and for inside hosts that use them too."""
    both = _meta("iifname", table.outside, *table.inside)
    for static in table.static:
        if isinstance(static, OneToOne):
            destination = _field("ip", "daddr", str(static.outside))
            yield [both, destination, _nat("dnat", static.inside)]
            continue
        if isinstance(static, Identity):
            continue
        target = _nat("dnat", static.inside_address, static.inside_port)
        port = _field(static.protocol.value, "dport", static.outside_port)
        if static.outside_address:
            yield [both, _field("ip", "daddr", str(static.outside_address)), port, target]
        elif table.pool:
            pool = {"set": [str(address) for address in table.pool]}
            yield [both, _field("ip", "daddr", pool), port, target]
        else:
            # The inside devices' own addresses are the gateway's services, not the forward's.
            yield [_meta("iifname", table.outside), IPV4, LOCAL_DESTINATION, port, target]


def _postrouting(table: FallbackTable) -> Iterator[list[Json]]:
    out = [_meta("iifname", *table.inside), _meta("oifname", table.outside), IPV4]
    for static in table.static:
        if isinstance(static, OneToOne):
            source = _field("ip", "saddr", str(static.inside))
            yield [*out, source, _nat("snat", static.outside)]
    ports = {"range": [table.ports.low, table.ports.high]}
    yield [*out, _meta("l4proto", *PORTED), *_translate(table, ports)]
    yield [*out, *_translate(table, None)]
    if table.static:
        # Between two inside hosts by way of the outside address: the answer has to come here.
        yield [
            _meta("iifname", *table.inside),
            _meta("oifname", *table.inside),
            IPV4,
            TRANSLATED_DESTINATION,
            {"masquerade": None},
        ]


def _translate(table: FallbackTable, ports: Json | None) -> list[Json]:
    if not table.pool:
        return [{"masquerade": {"port": ports} if ports else None}]
    if len(table.pool) == 1:
        return [_nat("snat", table.pool[0], ports)]
    # An inside host keeps its outside address (RFC 4787 REQ-2): the choice hangs on its own.
    choice = {
        "map": {
            "key": {
                "jhash": {
                    "mod": len(table.pool),
                    "expr": {"payload": {"protocol": "ip", "field": "saddr"}},
                }
            },
            "data": {"set": [[index, str(address)] for index, address in enumerate(table.pool)]},
        }
    }
    return [_nat("snat", choice, ports)]


def _forward(table: FallbackTable) -> Iterator[list[Json]]:
    """Denies what begins outside; what came through IPsec has passed a policy of its own."""
    inwards = [_meta("iifname", table.outside), _meta("oifname", *table.inside)]
    yield [*inwards, _state("established", "related"), ACCEPT]
    yield [*inwards, TRANSLATED_DESTINATION, ACCEPT]
    yield [*inwards, _match({"meta": {"key": "secpath"}}, True), ACCEPT]
    yield [*inwards, DROP]
    # Without a connection there is no translation: it would leave with its inside address.
    outwards = [_meta("iifname", *table.inside), _meta("oifname", table.outside), IPV4]
    yield [*outwards, _state("invalid"), DROP]
