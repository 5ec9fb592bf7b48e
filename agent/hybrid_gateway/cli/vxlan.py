# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show vxlan"""

from typing import Any

import click

from . import text
from .base import Output, output
from .listing import Listing, limit_options
from .suggest import segment_names

HEAD = (
    "DEVICE",
    "VNI",
    "BRIDGE",
    "VLAN",
    "LOCAL ADDRESS",
    "SOURCES",
    "VTEPS",
    "FLOOD",
    "MACS HERE",
    "MACS THERE",
    "MTU",
    "OUTER",
    "FORWARDED BY",
)
NUMBERS = (1, 3, 6, 7, 8, 9, 10)
LESS_IMPORTANT = ("VLAN", "OUTER", "MTU", "FLOOD", "SOURCES", "LOCAL ADDRESS", "MACS HERE")
"""What a narrow terminal goes without, in this order."""
PLANES = {"xdp": "XDP", "both": "XDP, worker"}
IN_FULL = {
    "xdp": "XDP",
    "worker": "the worker",
    "both": "XDP and the worker",
    "partly": "the kernel in part",
    "kernel": "the kernel",
}
KNOWN_FROM = {"fdb": "FDB", "flood": "flood list", "listed": "configuration"}
NAMED_MAX = 4
"""VTEPs on one line."""
SOURCES = {
    "learned": "the VTEPs that its FDB and its flood list name (learned)",
    "any": "whoever sends (any)",
}
NOTHING = "no segments: there is no VXLAN in the configuration"


@click.command()
@click.argument("segment", required=False, metavar="[DEVICE|VNI]", shell_complete=segment_names)
@limit_options
def vxlan(segment: str | None, limit: int, everything: bool, cursor: str) -> None:
    """VXLAN segments: who forwards, VTEPs, stations.

    With a device or a VNI, all about that one: who may send, whom it floods to, and whether
    its outer packets are cut.
    """
    out = output()
    if segment:
        answer = _one(out, segment)
        parts = [describe(entry, answer["vteps"]) for entry in answer["segments"]]
        out.show(answer, text.paragraphs(*parts))
        return
    found = Listing(out, "show.vxlan", "segments", None if everything else limit, cursor)
    if out.as_json:
        found.print_json()
        return
    reasons: list[str] = []

    def row(entry: dict[str, Any]) -> tuple[Any, ...]:
        if entry.get("reason"):
            reasons.append(f"{name_of(entry)}: {entry['reason']}")
        if entry.get("flooded_reason"):
            reasons.append(f"{name_of(entry)}: the kernel floods: {entry['flooded_reason']}")
        return _row(entry)

    found.print_table(text.Table(HEAD, NUMBERS, drop=LESS_IMPORTANT), row, NOTHING)
    if reasons:
        click.echo("\n" + "\n".join(dict.fromkeys(reasons)))


def _one(out: Output, segment: str) -> dict[str, Any]:
    """What is known of it; its VTEPs are as many pages as it takes."""
    wanted = {"filter": {"segment": segment}}
    lists = {
        key: [
            entry
            for page in Listing(out, method, key, None, "0", **wanted).pages()
            for entry in page
        ]
        for method, key in (("show.vxlan", "segments"), ("show.vteps", "vteps"))
    }
    return dict(lists)


def name_of(entry: dict[str, Any]) -> str:
    """The device, and the VNI where it has several (a single VXLAN device)."""
    several = entry["external"] and entry["vni"] is not None
    return f"{entry['device']} VNI {entry['vni']}" if several else str(entry["device"])


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    counts = (entry[name] for name in ("vteps", "floods", "macs_local", "macs_remote"))
    return (
        entry["device"],
        entry["vni"],
        entry["bridge"],
        entry["vlan"],
        _locals(entry),
        "listed" if isinstance(entry["sources"], list) else entry["sources"],
        *(None if count is None else text.number(count) for count in counts),
        entry["mtu"],
        _outer(entry),
        PLANES.get(entry["forwards"], entry["forwards"]),
    )


def _locals(entry: dict[str, Any]) -> str | None:
    """The first address and how many others there are."""
    addresses = entry["local"]
    if not addresses:
        return None
    more = f" +{len(addresses) - 1}" if len(addresses) > 1 else ""
    return endpoint(addresses[0], entry["port"]) + more


def _outer(entry: dict[str, Any]) -> str | None:
    """What becomes of the largest outer packets."""
    if None in (entry["underlay_mtu"], entry["outer_mtu"]):
        return None
    if entry["outer_mtu"] <= entry["underlay_mtu"]:
        return "fits"
    return "cut" if entry["fragment"] else "too big"


def describe(entry: dict[str, Any], vteps: list[dict[str, Any]]) -> str:
    """One segment in full."""
    vni = "" if entry["vni"] is None else f": VNI {entry['vni']}"
    vlan = f", VLAN {entry['vlan']}" if entry["vlan"] else ""
    title = f"{entry['device']}{vni} in {entry['bridge'] or 'no bridge'}{vlan}"
    why = f": {entry['reason']}" if entry["reason"] else ""
    rows = [("forwarded by", IN_FULL.get(entry["forwards"], entry["forwards"]) + why)]
    if entry["sources"] is None:
        return f"{click.style(title, bold=True)}\n{text.pairs(rows)}"
    mine = [v for v in vteps if (v["device"], v["vni"]) == (entry["device"], entry["vni"])]
    rows += [
        ("arrives at", ", ".join(endpoint(a, entry["port"]) for a in entry["local"]) or "nowhere"),
        ("accepted from", _accepted(entry["sources"])),
        ("flooded to", _flooded(entry, mine)),
        ("flooded by", _flooding(entry)),
        ("MACs here", text.number(entry["macs_local"])),
        ("MACs there", _there(entry)),
        ("MTU", _mtu(entry)),
    ]
    table = text.table(
        ("VTEP", "MACS", "KNOWN FROM", "MAY SEND"),
        [
            (
                vtep["address"],
                text.number(vtep["macs"]),
                ", ".join(KNOWN_FROM.get(why, why) for why in vtep["why"]),
                text.yes_no(vtep["allowed"]),
            )
            for vtep in mine
        ],
        numbers=(1,),
    )
    return text.paragraphs(f"{click.style(title, bold=True)}\n{text.pairs(rows)}", table)


def _accepted(sources: str | list[str]) -> str:
    if isinstance(sources, str):
        return SOURCES.get(sources, sources)
    return ", ".join(sources) + ", and nobody else (listed)"


def _flooded(entry: dict[str, Any], vteps: list[dict[str, Any]]) -> str:
    """By name while they fit a line."""
    names = [vtep["address"] for vtep in vteps if "flood" in vtep["why"]]
    if not entry["floods"]:
        return "nobody: broadcast, and what is for unknown stations, is sent to no VTEP"
    return ", ".join(names) if 0 < len(names) <= NAMED_MAX else text.count(entry["floods"], "VTEP")


def _flooding(entry: dict[str, Any]) -> str:
    why = f": {entry['flooded_reason']}" if entry["flooded_reason"] else ""
    return IN_FULL.get(entry["flooded_by"], "the kernel") + why


def _there(entry: dict[str, Any]) -> str:
    left = entry["macs_kernel"]
    more = f", {text.number(left)} of them reached by the kernel" if left else ""
    return text.number(entry["macs_remote"]) + more


def _mtu(entry: dict[str, Any]) -> str:
    outer, under = entry["outer_mtu"], entry["underlay_mtu"]
    start = f"{entry['mtu']}, with the outer headers {outer}"
    if under is None:
        return start
    if outer <= under:
        return f"{start}: fits the underlay's {under}"
    if entry["fragment"]:
        return f"{start}: the underlay takes {under}, so the largest packets are cut"
    return f"{start}: the underlay takes {under}, and what is larger is refused (fragment: false)"
