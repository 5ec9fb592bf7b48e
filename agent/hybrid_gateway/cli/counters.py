# SPDX-License-Identifier: GPL-2.0-or-later
"""Each counter of the data path in a short phrase, in the order in which they are shown."""

from collections.abc import Mapping

GROUPS: dict[str, dict[str, str]] = {
    "Sent by XDP": {
        "FORWARD": "translated and sent",
        "REPLY": "answered with an ICMP error",
        "BRIDGE": "bridged to a port or a VTEP",
    },
    "Left to the kernel": {
        "PUNT_KERNEL_MODE": "the port has no part in NAT44, or everything is the kernel's",
        "PUNT_NOT_IPV4": "ARP, IPv6 and other protocols",
        "PUNT_VLAN": "tagged with a VLAN",
        "PUNT_OTHER_MAC": "bridged, broadcast or multicast",
        "PUNT_HOST": "to the gateway itself",
        "PUNT_NOT_NAT": "forwarded where NAT does not stand between",
        "PUNT_SOURCE": "a source address that does not belong behind this port",
        "PUNT_OPTIONS": "IPv4 options",
        "PUNT_FRAGMENT": "a fragment whose first one was not seen, or is the kernel's",
        "PUNT_PROTOCOL": "neither TCP, UDP nor ICMP",
        "PUNT_ICMP": "neither an echo nor an error about a session of XDP",
        "PUNT_TTL": "TTL ran out: the kernel answers",
        "PUNT_TOO_BIG": "does not fit the next link: the kernel answers",
        "PUNT_NO_SESSION": "in the middle of a TCP connection that the kernel translates",
        "PUNT_NO_ROUTE": "no route: the kernel answers",
        "PUNT_NO_NEIGHBOUR": "translated; the next hop's MAC address is not known yet",
        "PUNT_FDB_MISS": "translated; the bridge has not learned the station yet",
        "PUNT_NOT_A_PORT": "translated; the way out is not a port of ours",
        "PUNT_CUT": "translated; has to be fragmented for the next link",
        "PUNT_REPLAY": "translated; fragments that came before their first one follow it",
        "PUNT_TUNNEL_CUT": "encapsulated; has to be fragmented for the underlay",
        "PUNT_FLOOD": "bridged: broadcast, multicast, or a station that nobody knows",
        "PUNT_LEARN": "bridged: from or to a station that is not known to be there",
        "PUNT_RESOLUTION": "bridged: ARP or neighbour discovery",
        "PUNT_BRIDGE_PORT": "bridged: by a port that XDP does not bridge to",
        "PUNT_UNDERLAY": "bridged: no way to the VTEP is known that leaves by a port of ours",
        "PUNT_VXLAN": "VXLAN for a device of the kernel's own, or with IP options",
        "PUNT_NO_POOL": "there is no outside address yet",
    },
    "Dropped": {
        "DROP_MALFORMED": "headers contradict each other or the frame",
        "DROP_TRUNCATED": "the frame ends before its headers do",
        "DROP_CHECKSUM": "wrong checksum, of the IPv4 header, an ICMP error or VXLAN",
        "DROP_SOURCE": "from outside, with a source address of ours or of inside",
        "DROP_NO_MAPPING": "from outside, to a port that no host holds",
        "DROP_FILTERED": "from outside, refused by the filtering that is configured",
        "DROP_NO_SESSION": "from outside, in the middle of an unknown TCP connection",
        "DROP_NO_PORT": "no outside port is free",
        "DROP_TABLE_FULL": "the session table is full (nat44.sessions)",
        "DROP_HOST_LIMIT": "the host has used its share (nat44.per-host)",
        "DROP_RACE": "another session has the same endpoints, or had just now",
        "DROP_TTL": "TTL ran out and nobody may be told",
        "DROP_TOO_BIG": "does not fit the next link and nobody may be told",
        "DROP_NO_ROUTE": "from outside, no way to the inside host",
        "DROP_ICMP": "an ICMP error that contradicts itself",
        "DROP_VXLAN": "VXLAN without a VNI, or without a whole frame in it",
        "DROP_VNI": "VXLAN with a VNI that does not exist here",
        "DROP_VTEP": "VXLAN from a sender that is not a VTEP of its VNI",
        "DROP_INNER": "VXLAN around a frame that no bridge may pass on",
        "DROP_SPLIT_HORIZON": "VXLAN for a station behind the same VXLAN device",
        "DROP_ECN": "VXLAN that met congestion around a packet that cannot say so",
        "DROP_GUARD": "an inside address on its way out, stopped at the outside port",
        "DROP_HANDOVER": "the kernel could not send a frame that XDP handed over",
    },
    "Events (on top of the above)": {
        "HANDED_OVER": "frames that the kernel sent for XDP",
        "NAT_NEW_MAPPING": "an inside endpoint got an outside port",
        "NAT_NEW_SESSION": "a session was opened",
        "NAT_CLOSED_SESSION": "a session ended, for whatever reason",
        "NAT_EXPIRED_SESSION": "a packet came for a session that had expired",
        "NAT_ICMP_ERROR": "an ICMP error was translated",
        "NAT_REFUSAL": "a sender inside was told that there is no room (ICMP 3/13)",
        "NAT_MSS_CLAMPED": "a SYN announced larger segments than nat44.mss-clamp",
        "FRAGMENT_KEPT": "came before its first fragment; a copy was kept",
        "FRAGMENT_NOT_KEPT": "likewise, but its sender has as many kept as it may",
        "FRAGMENT_REPLAYED": "a kept fragment was sent after its first one",
        "VXLAN_DECAP": "a frame was taken out of VXLAN",
        "VXLAN_ENCAP": "a frame was put into VXLAN",
        "VXLAN_CUT": "an outer packet was fragmented for the underlay",
        "LOG_LOST": "an event for the log that came too fast for it",
    },
}

WORKER_GROUPS: dict[str, dict[str, str]] = {
    "Forwarded by the worker": {
        "FORWARD_IP4": "IPv4, routed",
        "FORWARD_IP6": "IPv6, routed",
        "FORWARD_BRIDGE": "bridged",
        "VXLAN_ENCAP": "bridged to a VTEP, in VXLAN",
        "VXLAN_DECAP": "came in VXLAN, bridged to a port",
        "VXLAN_FLOOD": "for an unknown station, or a group: sent to each VTEP and each port",
        "ANSWERED_ARP": "an ARP request, answered from what is known",
        "ANSWERED_ND": "a neighbour solicitation, answered from what is known",
        "FROM_KERNEL": "sent by the kernel, out of this port",
    },
    "Left to the kernel": {
        "PUNT_NO_ROUTE": "no route: the kernel answers",
        "PUNT_LOCAL": "to the gateway itself",
        "PUNT_UNREACHABLE": "the route says unreachable or prohibit: the kernel answers",
        "PUNT_OTHER_DEVICE": "the way out is no port of the worker",
        "PUNT_NEIGHBOUR": "the next hop's MAC address is not known yet",
        "PUNT_TTL": "TTL ran out: the kernel answers",
        "PUNT_TOO_BIG": "does not fit the next link: the kernel cuts it, or answers",
        "PUNT_REDIRECT": "leaves by the port that it came in by: the kernel may send a redirect",
        "PUNT_OPTIONS": "IPv4 options, or IPv6 hop-by-hop options",
        "PUNT_MULTICAST": "multicast or broadcast",
        "PUNT_LINK_LOCAL": "a link-local IPv6 address",
        "PUNT_ARP": "ARP",
        "PUNT_ETHERTYPE": "neither IPv4, IPv6 nor ARP",
        "PUNT_VLAN": "tagged with a VLAN",
        "PUNT_SOURCE": "a source address that the kernel has to judge",
        "PUNT_NOT_FORWARDING": "forwarding is off on the device",
        "PUNT_RP_FILTER": "the way back has to be looked at (rp_filter)",
        "PUNT_POLICY": "policy routing, or more routes than worker.routes has room for",
        "PUNT_BRIDGE_MISS": "bridged: a station that the worker does not know behind its ports",
        "PUNT_PROMISCUOUS": "for somebody else, and the device is promiscuous",
        "PUNT_MALFORMED": "headers contradict each other: the kernel counts it",
        "PUNT_LEARN": "VXLAN around a frame from a station that is not known to be there",
        "PUNT_VXLAN": "VXLAN for a device of the kernel's own, or with IP options",
    },
    "Dropped": {
        "DROP_SHORT": "shorter than its headers, or than they say",
        "DROP_NOT_FOR_US": "for another MAC address",
        "DROP_BLACKHOLE": "the route says blackhole",
        "DROP_PORT_DOWN": "the port is down, coming in or going out, or a VTEP's way has just gone",
        "DROP_BRIDGE_STATE": "the bridge port does not forward (spanning tree)",
        "DROP_SAME_PORT": "bridged back to where it came from",
        "DROP_PUNT_FULL": "came faster than the kernel takes it",
        "DROP_TAP": "the kernel's device refused it: down, or too long",
        "DROP_TX_FULL": "came faster than the port sends",
        "DROP_TX_TOO_LONG": "longer than the port can send",
        "DROP_VXLAN": "VXLAN without a VNI, or without a whole frame in it",
        "DROP_VNI": "VXLAN with a VNI that does not exist here",
        "DROP_VTEP": "VXLAN from a sender that is not a VTEP of its VNI",
        "DROP_CHECKSUM": "VXLAN with a wrong UDP checksum",
        "DROP_INNER": "VXLAN around a frame that no bridge may pass on",
        "DROP_ECN": "VXLAN that met congestion around a packet that cannot say so",
        "DROP_SPLIT_HORIZON": "VXLAN for a station behind the same VXLAN device",
        "DROP_PIECES": "fragments that overlap, are too many, or do not fit together",
        "DROP_PIECES_LATE": "fragments whose others did not come in time, or without room",
        "DROP_NO_BUFFER": "no memory for frames was left",
    },
    "Events (on top of the above)": {
        "VXLAN_COPY": "a copy of such a frame, which was sent to each VTEP and each port",
        "VXLAN_HEARD": "a copy of such a frame for the gateway itself",
        "VXLAN_CUT": "a further fragment of an outer packet that was cut",
        "VXLAN_PIECE": "a fragment that waited for the others",
    },
}
"""Of the worker's ports, by the port that a frame came in by."""

OTHER = "Others"


def grouped(
    names: set[str], known_groups: Mapping[str, Mapping[str, str]] = GROUPS
) -> dict[str, dict[str, str]]:
    """The groups with the counters that exist; a newer agent's go to the end, unexplained."""
    groups = {
        title: {name: phrase for name, phrase in counters.items() if name in names}
        for title, counters in known_groups.items()
    }
    known = {name for counters in known_groups.values() for name in counters}
    groups[OTHER] = dict.fromkeys(sorted(names - known), "")
    return {title: counters for title, counters in groups.items() if counters}
