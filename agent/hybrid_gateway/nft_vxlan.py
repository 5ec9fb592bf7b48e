# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of table `inet gw` that judges who sends VXLAN, as libnftables' JSON.

XDP judges whole packets; fragments are the kernel's, which judges nobody. So the input hook does
it again, of packets that are whole by then. Every VNI has a set of VTEPs that follows the mirror.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from .model import IPAddress, SourceFilter
from .nft_expressions import DROP, Json, match, meta, payload
from .nft_static import Rule

Sets = Mapping[SourceFilter, frozenset[IPAddress]]
"""Who may send to each VNI."""

VNI: Json = {"payload": {"base": "th", "offset": 96, "len": 24}}
"""Behind 8 bytes of UDP, 1 of flags and 3 that are reserved (RFC 7348 section 5)."""
FAMILIES = {4: "ip", 6: "ip6"}
NFPROTO = {4: "ipv4", 6: "ipv6"}
DEFRAGMENT: Rule = [meta("l4proto", "udp"), {"tproxy": {"family": "ip6", "addr": "::1", "port": 1}}]
"""Never run: that a rule has tproxy makes the kernel put fragments together before any hook.

It does so for IPv4 in any case; for IPv6 only after the input hook, and a first fragment without
the VNI would pass. Connection tracking has the same effect, and tracks every flow for it.
"""


def set_name(of: SourceFilter) -> str:
    return f"vteps-{of.vni}-{of.port}-{FAMILIES[of.family]}"


def chain_name(of: SourceFilter) -> str:
    return f"vni-{of.vni}-{of.port}-{FAMILIES[of.family]}"


def set_type(of: SourceFilter) -> str:
    return f"{NFPROTO[of.family]}_addr"


def judgement(of: SourceFilter) -> Rule:
    """Of a packet whose UDP port and VNI are known already."""
    sender = payload(FAMILIES[of.family], "saddr")
    return [match(sender, f"@{set_name(of)}", "!="), {"counter": None}, DROP]


def dispatch(filters: Iterable[SourceFilter]) -> Iterator[Rule]:
    """One rule for each UDP port and family, however many VNIs there are."""
    ordered = sorted(filters, key=lambda of: (of.family, of.port, of.vni))
    for (family, port), group in groupby(ordered, key=lambda of: (of.family, of.port)):
        chains = {of.vni: {"goto": {"target": chain_name(of)}} for of in group}
        yield [
            meta("nfproto", NFPROTO[family]),
            match(payload("udp", "dport"), port),
            {"vmap": {"key": VNI, "data": {"set": [list(pair) for pair in chains.items()]}}},
        ]


def elements(addresses: Iterable[IPAddress]) -> list[str]:
    return [str(address) for address in sorted(addresses, key=int)]


def needs_reassembly(filters: Iterable[SourceFilter]) -> bool:
    return any(of.family == 6 for of in filters)
