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


ROUTED = [
    f"link set {DEVICE} mtu 1400",
    f"link set {DEVICE} alias uplink",
    f"link set {DEVICE} txqueuelen 77",
    f"link set {DEVICE} group 5",
    f"link property add dev {DEVICE} altname fibre-with-a-name-of-its-own",
    f"addr add 192.0.2.1/24 brd + dev {DEVICE}",
    f"addr add 192.0.2.2/24 dev {DEVICE} label {DEVICE}:two",
    f"addr add 198.51.100.1 peer 198.51.100.2/32 dev {DEVICE} scope link",
    f"addr add 203.0.113.1/28 dev {DEVICE} noprefixroute metric 50",
    f"addr add 10.7.0.1/24 dev {DEVICE} valid_lft 5000 preferred_lft 4000",
    f"addr add 2001:db8:1::1/64 dev {DEVICE} nodad",
    f"addr add 2001:db8:1::3/64 dev {DEVICE}",
    f"addr add 2001:db8:1::2/64 dev {DEVICE} nodad noprefixroute",
    f"addr add 2001:db8:2::1/128 dev {DEVICE} preferred_lft 0",
    f"route add 10.1.0.0/16 via 192.0.2.254 dev {DEVICE} metric 20 mtu 1300 proto 42",
    f"route add 10.2.0.0/16 via 10.99.0.1 dev {DEVICE} onlink table 100",
    f"route add 10.3.0.0/16 dev {DEVICE} scope link src 192.0.2.2 realm 3",
    f"route add 10.4.0.0/16 nexthop via 192.0.2.3 dev {DEVICE} weight 2 "
    "nexthop via 10.50.0.2 dev o0",
    "route add 10.5.0.0/16 via 10.50.0.2 dev o0 src 192.0.2.1",
    f"route add 10.6.0.0/16 via inet6 fe80::7 dev {DEVICE}",
    "route add unreachable 10.8.0.0/16",
    "route add blackhole 10.9.0.0/16",
    "route add throw 10.11.0.0/16 table 100",
    f"route add default via 192.0.2.254 dev {DEVICE} metric 4000",
    f"route add 2001:db8:100::/48 via fe80::1 dev {DEVICE} metric 30 expires 3000",
    f"route add 2001:db8:101::/48 via 2001:db8:1::9 dev {DEVICE} table 200 pref high",
    f"route add 2001:db8:102::/48 nexthop via fe80::2 dev {DEVICE} nexthop via fe80::3 dev o0",
    "route add 2001:db8:103::/48 via fe80::3 dev o0 src 2001:db8:1::1",
    f"neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 nud permanent dev {DEVICE}",
    f"neigh add 2001:db8:1::9 lladdr 02:00:00:00:00:19 nud permanent dev {DEVICE}",
    f"neigh add proxy 192.0.2.77 dev {DEVICE}",
    f"neigh add proxy 2001:db8:1::77 dev {DEVICE}",
    f"nexthop add id 11 via 192.0.2.5 dev {DEVICE}",
    "nexthop add id 12 via 10.50.0.2 dev o0",
    "nexthop add id 13 group 11,3/12",
    "route add 10.20.0.0/16 nhid 13",
    "route add 10.21.0.0/16 nhid 11",
    "rule add iif " + DEVICE + " table 100",
]
SETTINGS = {
    f"net/ipv4/conf/{DEVICE}/rp_filter": "2",
    f"net/ipv4/conf/{DEVICE}/forwarding": "1",
    f"net/ipv4/conf/{DEVICE}/proxy_arp": "1",
    f"net/ipv4/conf/{DEVICE}/arp_announce": "2",
    f"net/ipv6/conf/{DEVICE}/accept_ra": "0",
    f"net/ipv6/conf/{DEVICE}/forwarding": "1",
    f"net/ipv6/conf/{DEVICE}/dad_transmits": "0",
    f"net/ipv6/conf/{DEVICE}/hop_limit": "55",
    f"net/ipv4/neigh/{DEVICE}/gc_stale_time": "33",
    f"net/ipv6/neigh/{DEVICE}/retrans_time_ms": "700",
}
BRIDGED = [
    f"link set {DEVICE} master br0",
    # A bridge without any port loses its carrier, and with it its next hop objects.
    "link set o1 master br0",
    f"link set {DEVICE} type bridge_slave cost 7 learning off isolated on neigh_suppress on",
    f"addr add 2001:db8:7::1/64 dev {DEVICE} nodad",
    "addr add 192.0.2.1/24 dev br0",
    "nexthop add id 9 via 192.0.2.5 dev br0",
]


def configured(how: str) -> None:
    """One of HOW on sfp0."""
    if how == "routed":
        for path, value in SETTINGS.items():
            Path("/proc/sys", path).write_text(value)
        plain(ROUTED)
        run(["ethtool", "-K", DEVICE, "tx", "off", "gro", "on"])
    elif how == "probed":
        Path("/proc/sys/net/ipv6/conf", DEVICE, "accept_dad").write_text("1")
        plain([f"addr add 2001:db8:1::1/64 dev {DEVICE}"])
    elif how == "bridged":
        plain(BRIDGED)
        run(["bridge", "fdb", "add", "02:00:00:00:00:31", "dev", DEVICE, "master", "static"])
        run(["bridge", "fdb", "add", "02:00:00:00:00:32", "dev", DEVICE, "self"])
    elif how == "down":
        plain([f"link set {DEVICE} down", f"addr add 192.0.2.1/24 dev {DEVICE}"])
    elif how == "promiscuous":
        plain([f"link set {DEVICE} promisc on arp off allmulticast on multicast off"])
    settle()
