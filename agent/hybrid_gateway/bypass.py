# SPDX-License-Identifier: GPL-2.0-or-later
"""The owner's firewall and shaping that XDP would go past, by name.

XDP forwards before the kernel's forward hook and sends without a qdisc. Whoever wrote rules
there has to know: the names found here have to stand in `bypass:`, or nothing is attached.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import RefusedError
from .model import BYPASS_ALL, Link
from .netlink import Qdisc
from .nft import BaseChain

UNSHAPED = frozenset(
    {"noqueue", "pfifo_fast", "fq_codel", "fq", "mq", "noop", "pfifo", "clsact", "ingress", ""}
)
"""Qdiscs that a device has without anybody's doing, and the ones that only hold filters."""
FORWARDING_HOOKS = {
    "ip": ("forward",),
    "inet": ("forward", "ingress"),
    "netdev": ("ingress", "egress"),
    "bridge": ("forward",),
}
"""By family: the hooks that a packet passes which the kernel forwards, and XDP does not.
IPv6 is not here: the kernel forwards it."""
LEGACY_TABLES = Path("/proc/net/ip_tables_names")
IPT_SO_GET_INFO = 64
IPT_INFO = struct.Struct("=32sI5I5III")
NF_INET_FORWARD = 2


def chains(found: Iterable[BaseChain], devices: frozenset[str]) -> list[str]:
    """Chains that judge forwarded packets: "nft inet filter forward"."""
    names = []
    for chain in found:
        if chain.hook not in FORWARDING_HOOKS.get(chain.family, ()):
            continue
        if chain.devices and not devices & set(chain.devices):
            continue
        if chain.rules or chain.policy == "drop":
            names.append(f"nft {chain.family} {chain.table} {chain.name}")
    return sorted(names)


def qdiscs(found: Iterable[Qdisc], links: Iterable[Link], devices: frozenset[str]) -> list[str]:
    """Root qdiscs that somebody chose: "qdisc wan0 htb"."""
    names = {link.ifindex: link.name for link in links if link.name in devices}
    return sorted(
        f"qdisc {names[qdisc.ifindex]} {qdisc.kind}"
        for qdisc in found
        if qdisc.ifindex in names and qdisc.kind not in UNSHAPED
    )


def legacy_tables() -> list[str]:
    """Rules of the old iptables, which nftables does not list: "iptables filter FORWARD"."""
    try:
        present = LEGACY_TABLES.read_text().split()
    except OSError:
        return []  # the kernel has no such tables in this namespace, and so no rules
    return [
        f"iptables {table} FORWARD"
        for table in ("filter", "mangle")
        if table in present and _legacy_rules(table)
    ]


def _legacy_rules(table: str) -> bool:
    """Whether FORWARD has rules; one that cannot be read counts as having some."""
    query = IPT_INFO.pack(table.encode(), 0, *([0] * 12))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as probe:
            answer = _get_info(probe, query)
    except OSError:
        return True
    fields = IPT_INFO.unpack(answer)
    entries, underflows = fields[2:7], fields[7:12]
    return bool(entries[NF_INET_FORWARD] != underflows[NF_INET_FORWARD])


def _get_info(probe: socket.socket, query: bytes) -> bytes:
    """getsockopt with input, which Python's own cannot pass."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(query, len(query))
    size = ctypes.c_uint32(len(query))
    if libc.getsockopt(probe.fileno(), socket.SOL_IP, IPT_SO_GET_INFO, buffer, ctypes.byref(size)):
        raise OSError(ctypes.get_errno(), "getsockopt")
    return buffer.raw


def refuse(found: Sequence[str], accepted: Sequence[str], where: str) -> None:
    """RefusedError that names everything found and not accepted."""
    if BYPASS_ALL in accepted:
        return
    missing = [name for name in found if name not in accepted]
    if missing:
        raise RefusedError(
            "XDP would go past the owner's "
            + ", ".join(missing)
            + "; name them under bypass: to accept that, or remove them",
            code="bypass.refused",
            where=where,
        )
