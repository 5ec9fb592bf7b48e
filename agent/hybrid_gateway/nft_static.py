# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules for the static entries: to where they lead, and as what an inside endpoint leaves.

The first rule that fits a connection's first packet decides; the others never see it.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from .model import FallbackTable, Identity, OneToOne, PortForward, PortRange, Static
from .nft_expressions import (
    ACCEPT,
    IPV4,
    LOCAL_DESTINATION,
    Json,
    address,
    masquerade,
    meta,
    nat,
    ports,
    shared,
    shifted,
)

Rule = list[Json]


def destinations(table: FallbackTable, static: Static) -> Iterator[Rule]:
    """For whoever comes from outside, and for inside hosts that use the outside address too."""
    both = meta("iifname", table.outside, *table.inside)
    if isinstance(static, OneToOne):
        yield [both, address("daddr", static.outside), nat("dnat", static.inside)]
    elif isinstance(static, Identity):
        yield [both, *_endpoint(static, "daddr", "dport"), ACCEPT]
    else:
        rest = [
            ports(static.protocol.value, "dport", static.outside_ports),
            _inside(static),
        ]
        if static.outside_address:
            yield [both, address("daddr", static.outside_address), *rest]
        elif table.pool:
            yield [both, address("daddr", *table.pool), *rest]
        else:
            # The inside devices' own addresses are the gateway's services, not the forward's.
            yield [meta("iifname", table.outside), IPV4, LOCAL_DESTINATION, *rest]
            if table.hairpin:
                inside = meta("iifname", *table.inside)
                yield [inside, address("daddr", *table.hairpin), *rest]


def _inside(static: PortForward) -> Json:
    if static.backends:
        return nat("dnat", shared(static.protocol.value, static.backends))
    port = shifted(static.protocol.value, "dport", static.outside_ports, static.inside_port)
    return nat("dnat", static.inside_address, port)


def _endpoint(static: Identity, where: str, port: str) -> Rule:
    one = PortRange(static.port, static.port)
    return [address(where, static.address), ports(static.protocol.value, port, one)]


def sources(table: FallbackTable, static: Static, *, hairpin: bool) -> Iterator[Rule]:
    """What an inside host leaves as; the condition of the way that it takes is for the caller.

    `hairpin`: back inside. Then an identity would have the answer take a shorter way, and get lost.
    """
    if isinstance(static, OneToOne):
        yield [address("saddr", static.inside), nat("snat", static.outside)]
    elif isinstance(static, Identity):
        if not hairpin:
            yield [*_endpoint(static, "saddr", "sport"), ACCEPT]
    else:
        protocol = static.protocol.value
        pairs = [(static.inside_address, static.inside_ports)]
        if static.backends:
            pairs = [(b.address, PortRange(b.port, b.port)) for b in static.backends]
        pool = table.hairpin if hairpin else table.pool
        outside = static.outside_address or next(iter(pool), None)
        for inside, inside_ports in pairs:
            port = shifted(protocol, "sport", inside_ports, static.outside_port)
            yield [
                address("saddr", inside),
                ports(protocol, "sport", inside_ports),
                _outside(outside, port),
            ]


def _outside(outside: IPv4Address | None, port: Json | int | None) -> Json:
    return nat("snat", outside, port) if outside else masquerade(port)


def arrivals(static: Static) -> Iterator[Rule]:
    """What may come in untranslated."""
    if isinstance(static, Identity):
        yield [*_endpoint(static, "daddr", "dport"), ACCEPT]
