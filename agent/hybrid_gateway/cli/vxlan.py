# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show vxlan"""

from collections.abc import Iterable
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
PLANES = {"xdp": "XDP", "kernel": "kernel"}
SOURCES = {
    "learned": "the VTEPs that its FDB and its flood list name (learned)",
    "any": "whoever sends (any)",
}
NOTHING = "no segments: there is no VXLAN in the configuration"


@click.command()
@click.argument("segment", required=False, metavar="[DEVICE|VNI]", shell_complete=segment_names)
@limit_options
def vxlan(segment: str | None, limit: int, everything: bool, cursor: str) -> None:
    """VXLAN segments: VTEPs, MAC addresses, and whether XDP or the kernel forwards.

    With a device or a VNI, all about that one: who may send, whom it floods to, and why
    its outer packets are cut or are not.
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
            reasons.append(f"{name_of(entry)} is the kernel's: {entry['reason']}")
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
    return f"{entry['device']} VNI {entry['vni']}" if entry.get("external") else entry["device"]


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    sources = entry["sources"]
    return (
        entry["device"],
        entry["vni"],
        entry["bridge"],
        entry["vlan"],
        _locals(entry),
        sources if isinstance(sources, str) else "listed",
        text.number(entry["vteps"]),
        text.number(entry["floods"]),
        text.number(entry["macs_local"]),
        text.number(entry["macs_remote"]),
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
    if entry["underlay_mtu"] is None:
        return None
    if entry["outer_mtu"] <= entry["underlay_mtu"]:
        return "fits"
    return "cut" if entry["fragment"] else "too big"


def describe(entry: dict[str, Any], vteps: list[dict[str, Any]]) -> str:
    """One segment in full."""
    bridge = entry["bridge"] or "no bridge"
    vlan = f", VLAN {entry['vlan']}" if entry["vlan"] else ""
    who = PLANES.get(entry["forwards"], entry["forwards"])
    why = f": {entry['reason']}" if entry.get("reason") else ""
    title = click.style(f"{entry['device']}: VNI {entry['vni']} in {bridge}{vlan}", bold=True)
    mine = [vtep for vtep in vteps if _belongs(vtep, entry)]
    rows = [
        ("forwarded by", ("the kernel" if who == "kernel" else who) + why),
        ("arrives at", _list(endpoint(a, entry["port"]) for a in entry["local"]) or "nowhere"),
        ("accepted from", _accepted(entry["sources"])),
        ("VTEPs", text.number(entry["vteps"])),
        ("flooded to", _flooded(entry, mine)),
        ("MACs here", text.number(entry["macs_local"])),
        ("MACs there", _there(entry)),
        ("MTU", _mtu(entry)),
    ]
    table = text.table(
        ("VTEP", "MACS", "FLOODED TO", "WHY IT MAY SEND"),
        [
            (vtep["address"], text.number(vtep["macs"]), text.yes_no(vtep["flood"]), vtep["why"])
            for vtep in mine
        ],
        numbers=(1,),
    )
    return text.paragraphs(f"{title}\n{text.pairs(rows)}", table)


def _belongs(vtep: dict[str, Any], entry: dict[str, Any]) -> bool:
    return (vtep["device"], vtep["vni"]) == (entry["device"], entry["vni"])


def _list(items: Iterable[str]) -> str:
    return ", ".join(items)


def _accepted(sources: str | list[str]) -> str:
    if isinstance(sources, str):
        return SOURCES.get(sources, sources)
    return _list(sources) + " (listed), and nobody else"


def _flooded(entry: dict[str, Any], vteps: list[dict[str, Any]]) -> str:
    """By name while they fit a line."""
    names = [vtep["address"] for vtep in vteps if vtep["flood"]]
    if not entry["floods"]:
        return "nobody: broadcast and unknown stations are not sent anywhere"
    return _list(names) if 0 < len(names) <= 4 else text.count(entry["floods"], "VTEP")


def _there(entry: dict[str, Any]) -> str:
    left = entry["macs_kernel"]
    more = f", and {text.number(left)} that the kernel forwards to" if left else ""
    return text.number(entry["macs_remote"]) + more


def _mtu(entry: dict[str, Any]) -> str:
    outer, under = entry["outer_mtu"], entry["underlay_mtu"]
    start = f"{entry['mtu']}, {outer} with the outer headers"
    if under is None:
        return start
    if outer <= under:
        return f"{start}: fits the underlay's {under}"
    if entry["fragment"]:
        return f"{start}: larger than the underlay's {under}, so the largest are cut in two"
    return f"{start}: larger than the underlay's {under}, and fragment is false: the largest fail"
