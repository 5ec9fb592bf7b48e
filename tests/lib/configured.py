# SPDX-License-Identifier: GPL-2.0-or-later
"""All that is configured in a network namespace, and on one device, to be compared as a whole."""

import json
from pathlib import Path
from typing import Any

from hybrid_gateway.lab.namespaces import run

from .gateway import eventually

DEVICE = "sfp0"
PASSING = ("ifindex", "link_index", "operstate", "link_netnsid", "link", "flags", "stats64")
FLAGS = ("UP", "NOARP", "PROMISC", "ALLMULTI", "MULTICAST")


def ip(*arguments: str) -> Any:
    return json.loads(run(["ip", "-j", "-d", *arguments]) or "[]")


def links(*names: str) -> list[dict[str, Any]]:
    """All that `ip` says of devices, without what one could not set."""
    found = []
    for name in names:
        (one,) = [link for link in ip("addr", "show", "dev", name) if link]
        kept = {key: value for key, value in one.items() if key not in PASSING}
        kept["flags"] = sorted(set(one["flags"]) & set(FLAGS))
        for address in kept["addr_info"]:
            address.pop("stable-privacy", None)
        found.append(kept)
    return found


def routes() -> list[Any]:
    """Of both families and all tables, in order; but for the state of the link."""
    found = []
    for family in ("-4", "-6"):
        for route in json.loads(run(["ip", "-j", family, "route", "show", "table", "all"])):
            for hop in (route, *route.get("nexthops", ())):
                hop.pop("expires", None)
                hop["flags"] = sorted({*hop.get("flags", ())} - {"linkdown", "dead"})
            found.append(json.dumps(route, sort_keys=True))
    return sorted(found)


def settings(name: str) -> dict[str, str]:
    found = {}
    for folder in ("ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"):
        for file in Path("/proc/sys/net", folder, name).iterdir():
            try:
                found[f"{folder}/{file.name}"] = file.read_text()
            except OSError:
                continue
    return found


def features(name: str) -> str:
    return run(["ethtool", "-k", name])


def everything() -> dict[str, Any]:
    """The state of the namespace as far as anybody could have configured it."""
    return {
        "links": links(DEVICE, "br0", "lo"),
        "routes": routes(),
        "rules": [ip("rule"), json.loads(run(["ip", "-j", "-6", "rule"]))],
        "neighbours": [
            json.loads(run(["ip", "-j", *how]))
            for how in (
                ("neigh", "show", "nud", "permanent"),
                ("neigh", "show", "proxy"),
                ("-6", "neigh", "show", "proxy"),
            )
        ],
        "nexthops": sorted(json.dumps(one) for one in ip("nexthop")),
        "settings": settings(DEVICE),
        "features": features(DEVICE),
        "vlans": run(["bridge", "-j", "vlan"]),
        # Not what bridges have learned, nor the groups that the kernel joins.
        "stations": sorted(
            line
            for line in run(["bridge", "fdb"]).splitlines()
            if ("permanent" in line or "static" in line) and not line.startswith("33:33")
        ),
        "qdiscs": run(["tc", "qdisc", "show"]),
        "names": sorted(link["ifname"] for link in ip("link")),
    }


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every single value by its place."""
    if isinstance(value, dict):
        parts = [flat(one, f"{path}/{key}") for key, one in value.items()]
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        parts = [{f"{path}/{one}": value.count(one)} for one in value]
    elif isinstance(value, list):
        parts = [flat(one, f"{path}/{index}") for index, one in enumerate(value)]
    else:
        # Only times go by, and are not the same for ever.
        return {} if path.endswith(("_timer", "life_time")) else {path: value}
    return {key: one for part in parts for key, one in part.items()}


def assert_same(before: dict[str, Any]) -> None:
    """With a message that says which values differ."""
    was, now = flat(before), flat(everything())
    gone = {f"{key}: {value}" for key, value in was.items() if now.get(key) != value}
    come = {f"{key}: {value}" for key, value in now.items() if was.get(key) != value}
    assert not gone | come, f"gone: {sorted(gone)}; come: {sorted(come)}"


def steady() -> bool:
    """No address waits for duplicate address detection."""
    return not run(["ip", "-6", "addr", "show", "tentative"])


def settle() -> None:
    # The kernel waits a second for a link that went up and down, then for duplicate addresses.
    eventually(steady, "addresses", 15.0)


def plain(commands: list[str]) -> None:
    run(["ip", "-batch", "-"], stdin="\n".join(commands) + "\n")
