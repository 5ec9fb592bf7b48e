# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN's side of the kernel in a guest: prints as JSON what came of it.

Runs in a network namespace of its own. VLANs of bridges and VRFs are here, for the machine that
builds has neither.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from hybrid_gateway.evpn.entries import (
    Binding,
    FloodEntry,
    KernelEntry,
    LocalStation,
    PrefixEntry,
    RemoteMac,
)
from hybrid_gateway.evpn.kernel import EvpnKernel
from hybrid_gateway.model import Segment

VLAN, TABLE = 7, 1077
STATION, SECOND, ROUTER = "02:00:00:00:00:99", "02:00:00:00:00:98", "02:00:00:00:0a:01"
HERE, FAR = ip_address("192.0.2.1"), ip_address("192.0.2.2")
FAR6 = ip_address("2001:db8:0:2::11")
HOST = ip_address("10.55.0.9")
DEVICES = f"""
link set lo up
addr add {HERE}/32 dev lo
addr add 2001:db8:0:1::11/128 dev lo
link add aware type bridge vlan_filtering 1
link add plain type bridge
link add routed type bridge
link add routed6 type bridge
link add red type vrf table {TABLE}
link set red up
link set routed master red
link set routed6 master red
link add p0 type veth peer name h0
link set p0 master aware
link add vx550 type vxlan id 550 local {HERE} dstport 4789 nolearning
link add vx551 type vxlan id 551 local {HERE} dstport 4789 nolearning
link add vx5000 type vxlan id 5000 local {HERE} dstport 4789 nolearning
link add vx6000 type vxlan id 6000 local 2001:db8:0:1::11 dstport 4789 nolearning
link set vx550 master aware
link set vx551 master plain
link set vx5000 master routed
link set vx6000 master routed6
"""
FLUSHED = ("vx550", "vx551", "vx5000", "routed")
UP = ("aware", "plain", "routed", "routed6", "p0", "h0", "vx550", "vx551", "vx5000", "vx6000")


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def shown(*argv: str) -> list[dict[str, Any]]:
    done = subprocess.run([argv[0], "-j", *argv[1:]], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.stdout.strip().endswith("]") else []
    return [row for row in found if row]


def fdb(rows: list[dict[str, Any]], device: str, station: str) -> list[dict[str, Any]]:
    """Without the default VLAN, in which a bridge keeps entries of no VLAN as well."""
    return [
        row
        for row in rows
        if (row["ifname"], row["mac"]) == (device, station) and row.get("vlan", VLAN) == VLAN
    ]


def segment(vni: int, bridge: str, family: int = 4, vlan: int = 0) -> Segment:
    index = socket.if_nametoindex
    return Segment(
        index(f"vx{vni}"), f"vx{vni}", vni, index(bridge), bridge, 4789, family, vlan=vlan
    )


def state() -> dict[str, Any]:
    """Of ours, as the kernel's tools show it."""
    rows = shown("bridge", "fdb", "show")
    return {
        "vlan": fdb(rows, "vx550", STATION),
        "sticky": fdb(rows, "vx551", STATION),
        "flood": [row.get("dst") for row in fdb(rows, "vx550", "00:00:00:00:00:00")],
        "binding": ours(shown("ip", "-d", "neigh", "show", "dev", "plain", "nud", "noarp")),
        "router": fdb(rows, "vx5000", ROUTER) + fdb(rows, "vx6000", ROUTER),
        "routes": [
            row
            for family in ("-4", "-6")
            for row in ours(shown("ip", "-d", family, "route", "show", "table", str(TABLE)))
        ],
    }


def ours(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("protocol") == "179"]


def entries() -> Iterator[KernelEntry]:
    yield RemoteMac(550, mac(STATION), FAR)
    yield RemoteMac(551, mac(STATION), FAR, sticky=True)
    yield FloodEntry(550, FAR)
    yield Binding(551, HOST, mac(STATION))
    yield PrefixEntry(ip_network("10.77.0.0/16"), 5000, FAR, mac(ROUTER), TABLE)
    yield PrefixEntry(ip_network("2001:db8:77::/48"), 5000, FAR, mac(ROUTER), TABLE)
    yield PrefixEntry(ip_network("10.78.0.0/16"), 6000, FAR6, mac(ROUTER), TABLE)


def batch(tool: str, *lines: str) -> None:
    subprocess.run([tool, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def told(kernel: EvpnKernel) -> list[list[object]]:
    """Stations in VLANs, one of them a segment's."""
    vlans = (VLAN, VLAN + 1)
    batch("bridge", *(f"vlan add dev p0 vid {vlan}" for vlan in vlans))
    batch("bridge", *(f"fdb add {SECOND} dev p0 master static vlan {vlan}" for vlan in vlans))
    found = kernel.read().changes
    return [
        [one.fact.vni, one.fact.mac.hex(":"), one.gone]
        for one in found
        if isinstance(one.fact, LocalStation) and one.fact.mac == mac(SECOND)
    ]


def main() -> None:
    batch("ip", DEVICES, *(f"link set {device} up" for device in UP))
    batch("bridge", f"vlan add dev vx550 vid {VLAN} pvid untagged")
    wanted = list(entries())
    segments = [
        segment(550, "aware", vlan=VLAN),
        segment(551, "plain"),
        segment(5000, "routed"),
        segment(6000, "routed6", 6),
    ]
    kernel = EvpnKernel()
    kernel.follow(segments)
    kernel.read()
    own = shown("ip", "link", "show", "plain")[0]["address"]
    refused = kernel.put([*wanted, RemoteMac(551, mac(own), FAR)])
    answer: dict[str, Any] = {"refused": [[one.entry.key[0], one.errno] for one in refused]}
    answer["first"] = state()
    answer["told"] = told(kernel)
    # The kernel forgets, and is reminded.
    for wished in ("down", "up"):
        batch("ip", *(f"link set {device} {wished}" for device in FLUSHED))
        kernel.read()
    kernel.read()
    answer["again"] = state()
    kernel.put([replace(entry, sticky=False) for entry in wanted if isinstance(entry, RemoteMac)])
    answer["free"] = state()["sticky"]
    second = EvpnKernel()
    second.follow(segments)
    second.read()
    # Members of flood lists are only known by a record, and there is none.
    answer["found"] = sorted({entry.key[0] for entry in second.found()})
    second.delete(second.found())
    kernel.delete(wanted)
    answer["last"] = state()
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
