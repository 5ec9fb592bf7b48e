# SPDX-License-Identifier: GPL-2.0-or-later
"""The nftables table `inet gw` as libnftables' JSON: what kernel forwarding has to do.

It serves the flows that XDP does not do, on a port range of its own, and all of them when
XDP does nothing. No rule of it looks at traffic that is not between the inside devices and
the outside device, or VXLAN to a VNI of ours.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from . import nft_vxlan
from .model import FallbackTable, IPAddress, SourceFilter
from .nft_expressions import (
    ACCEPT,
    DROP,
    FOREIGN_SOURCE,
    IPV4,
    OPENING,
    TRANSLATED_DESTINATION,
    Json,
    chosen,
    masquerade,
    match,
    meta,
    nat,
    state,
)
from .nft_static import Rule, arrivals, destinations, sources
from .nft_vxlan import Sets

FAMILY = "inet"
TABLE = "gw"
HAIRPIN = "hairpin"
DEFRAGMENT = "defragment"
PORTED = ("tcp", "udp", "icmp")
"""Protocols whose ports or identifiers XDP hands out as well: these keep to their own range."""


def commands(table: FallbackTable, sets: Sets) -> list[Json]:
    """One transaction: whatever the table was, afterwards it is this."""
    return [
        *removal(),
        {"add": {"table": {"family": FAMILY, "name": TABLE}}},
        *(_translation(table) if table.inside else ()),
        *(_senders(table.sources, sets) if table.sources else ()),
    ]


def _translation(table: FallbackTable) -> Iterator[Json]:
    yield _base_chain("prerouting", "nat", "prerouting", -100)
    yield _base_chain("postrouting", "nat", "postrouting", 100)
    yield _base_chain("forward", "filter", "forward", 0)
    yield _chain(HAIRPIN)
    for static in table.static:
        yield from (_rule("prerouting", *rule) for rule in destinations(table, static))
    yield from (_rule("postrouting", *rule) for rule in _postrouting(table))
    yield from (_rule(HAIRPIN, *rule) for rule in _translations(table, [], hairpin=True))
    yield from (_rule("forward", *rule) for rule in _forward(table))


def _senders(filters: Iterable[SourceFilter], sets: Sets) -> Iterator[Json]:
    for of in filters:
        name = nft_vxlan.set_name(of)
        yield {"add": {"set": {**_named(name), "type": nft_vxlan.set_type(of)}}}
        if sets.get(of):
            yield _element("add", of, sets[of])
        yield _chain(nft_vxlan.chain_name(of))
        yield _rule(nft_vxlan.chain_name(of), *nft_vxlan.judgement(of))
    if nft_vxlan.needs_reassembly(filters):
        yield _chain(DEFRAGMENT)
        yield _rule(DEFRAGMENT, *nft_vxlan.DEFRAGMENT)
    yield _base_chain("input", "filter", "input", 0)
    yield from (_rule("input", *rule) for rule in nft_vxlan.dispatch(filters))


def changes(before: Sets, after: Sets) -> list[Json]:
    """What makes sets that are in the table hold something else."""
    found = []
    for of, wanted in after.items():
        gone, new = before[of] - wanted, wanted - before[of]
        if gone:
            found.append(_element("delete", of, gone))
        if new:
            found.append(_element("add", of, new))
    return found


def _named(name: str) -> Json:
    return {"family": FAMILY, "table": TABLE, "name": name}


def _element(verb: str, of: SourceFilter, addresses: Iterable[IPAddress]) -> Json:
    listed = nft_vxlan.elements(addresses)
    return {verb: {"element": {**_named(nft_vxlan.set_name(of)), "elem": listed}}}


def removal() -> list[Json]:
    """Adding first makes deleting succeed whether or not the table was there."""
    named = {"family": FAMILY, "name": TABLE}
    return [{"add": {"table": named}}, {"delete": {"table": named}}]


def _chain(name: str, **base: str | int) -> Json:
    return {"add": {"chain": {**_named(name), **base}}}


def _base_chain(name: str, kind: str, hook: str, priority: int) -> Json:
    return _chain(name, type=kind, hook=hook, prio=priority, policy="accept")


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


# ---- rules --------------------------------------------------------------------------------


def _postrouting(table: FallbackTable) -> Iterator[Rule]:
    out = [meta("iifname", *table.inside), meta("oifname", table.outside), IPV4]
    yield from _translations(table, out, hairpin=False)
    if table.static:
        # Between two inside hosts by way of the outside address: the answer has to come here.
        back = [meta("oifname", *table.inside), IPV4, TRANSLATED_DESTINATION]
        jump: Json = {"jump": {"target": HAIRPIN}}
        yield [meta("iifname", *table.inside), *back, jump]
        # Where bridges pass their frames through these hooks (br_netfilter, which Docker loads),
        # one that stays in the bridge comes without the device it came in by. So do the gateway's
        # own packets, which need nothing.
        yield [meta("iif", "0"), *back, FOREIGN_SOURCE, jump]


def _translations(table: FallbackTable, way: Rule, *, hairpin: bool) -> Iterator[Rule]:
    """As what inside hosts appear: their own outside endpoint, also to each other (REQ-9)."""
    for static in table.static:
        for rule in sources(table, static, hairpin=hairpin):
            yield [*way, *rule]
    pool = table.hairpin if hairpin else table.pool
    ports = {"range": [table.ports.low, table.ports.high]}
    yield [*way, meta("l4proto", *PORTED), _translate(pool, ports)]
    # Every other protocol by its address alone, so that none leaves as it came.
    yield [*way, _translate(pool, None)]


def _translate(pool: tuple[IPv4Address, ...], ports: Json | None) -> Json:
    return nat("snat", chosen(pool), ports) if pool else masquerade(ports)


def _forward(table: FallbackTable) -> Iterator[Rule]:
    """Denies what begins outside; what came through IPsec has passed a policy of its own."""
    inwards = [meta("iifname", table.outside), meta("oifname", *table.inside)]
    outwards = [meta("iifname", *table.inside), meta("oifname", table.outside), IPV4]
    if table.mss:
        clamp = {"mangle": {"key": MSS, "value": table.mss}}  # the kernel never raises it
        yield [*outwards, OPENING, clamp]
        yield [*inwards, IPV4, OPENING, clamp]
    yield [*inwards, state("established", "related"), ACCEPT]
    yield [*inwards, TRANSLATED_DESTINATION, ACCEPT]
    for static in table.static:
        for rule in arrivals(static):
            yield [*inwards, *rule]
    yield [*inwards, match({"meta": {"key": "secpath"}}, True), ACCEPT]
    yield [*inwards, DROP]
    # Without a connection there is no translation: it would leave with its inside address.
    yield [*outwards, state("invalid"), DROP]


MSS: Json = {"tcp option": {"name": "maxseg", "field": "size"}}
