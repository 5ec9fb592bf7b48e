# SPDX-License-Identifier: GPL-2.0-or-later
"""What a namespace of the lab looks like now, in the words of `topology.wanted_facts`."""

import json
import socket

from .namespaces import entered, run

RTMGRP_LINK = 1


def facts(namespace: str) -> set[str]:
    """Devices with their MAC and IPv4 addresses, bridge membership and routes, one a string."""
    found: set[str] = set()
    for link in json.loads(run(["ip", "-n", namespace, "-j", "addr"])):
        device = link["ifname"]
        found.add(f"{device} is {link.get('address')}")
        if "UP" in link["flags"]:
            found.add(f"{device} is up")
        if "LOWER_UP" in link["flags"] and link["operstate"] in ("UP", "UNKNOWN"):
            found.add(f"{device} has carrier")
        if master := link.get("master"):
            found.add(f"{device} is in {master}")
        found |= {
            f"{device} has {address['local']}/{address['prefixlen']}"
            for address in link["addr_info"]
            if address["family"] == "inet"
        }
    for route in json.loads(run(["ip", "-n", namespace, "-4", "-j", "route"])):
        if gateway := route.get("gateway"):
            found.add(f"{route['dst']} via {gateway}")
    return found


def link_events(namespace: str) -> socket.socket:
    """A netlink socket that becomes readable whenever a device of the namespace changes."""
    with entered(namespace):
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        events.bind((0, RTMGRP_LINK))
    return events
