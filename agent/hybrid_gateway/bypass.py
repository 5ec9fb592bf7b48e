# SPDX-License-Identifier: GPL-2.0-or-later
"""The owner's firewall and shaping that the data planes would go past, by name.

XDP forwards before the kernel's forward hook and sends without a qdisc; what it takes out of
VXLAN was not at the input hook, and what it bridges at none of the bridge's. What the worker
forwards meets no hook at all. Whoever wrote rules there has to know: the names found here have to
stand in `bypass:`, or nothing is attached.
"""

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import RefusedError
from .model import BYPASS_ALL, Config, Link
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
OUTER_HOOKS = ("prerouting", "input", "output")
"""That the packets around VXLAN pass as the host's own."""
VXLAN_HOOKS = {
    "inet": (*OUTER_HOOKS, "ingress"),
    "netdev": ("ingress", "egress"),
    "bridge": ("prerouting", "input", "forward", "output", "postrouting"),
}
"""By family likewise; those of "ip" and "ip6" hang on what the VTEPs have."""
WORKER_HOOKS = {
    "ip": ("prerouting", "forward", "postrouting"),
    "ip6": ("prerouting", "forward", "postrouting"),
    "inet": ("prerouting", "forward", "postrouting", "ingress"),
    "netdev": ("ingress", "egress"),
    "bridge": ("prerouting", "forward", "postrouting"),
}
"""By family: those that a packet meets which the kernel forwards, translation among them."""
BRIDGE_CALLS = Path("/proc/sys/net/bridge")
"""There if bridged packets may pass the hooks of IP (br_netfilter)."""
Hooks = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Legacy:
    """What the old iptables of one family is asked by."""

    command: str
    names: Path
    family: int
    level: int


LEGACY = {
    "ip": Legacy("iptables", Path("/proc/net/ip_tables_names"), socket.AF_INET, socket.IPPROTO_IP),
    "ip6": Legacy(
        "ip6tables", Path("/proc/net/ip6_tables_names"), socket.AF_INET6, socket.IPPROTO_IPV6
    ),
}
IPT_SO_GET_INFO = 64
IPT_INFO = struct.Struct("=32sI5I5III")
NF_INET = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
"""enum nf_inet_hooks."""
LEGACY_CHAINS = {
    "filter": ("input", "forward", "output"),
    "mangle": ("prerouting", "input", "forward", "output", "postrouting"),
    "nat": ("prerouting", "postrouting"),
}


def hooks(
    *, nat: bool, families: frozenset[int], bridged: bool, worker: bool = False
) -> dict[str, tuple[str, ...]]:
    """What is gone past, by family of nftables; `families` are those of VTEPs (4, 6).

    `bridged`: bridged packets pass the hooks of IP, which is about all that they carry.
    """
    passed: dict[str, tuple[str, ...]] = dict(FORWARDING_HOOKS) if nat else {}

    def add(family: str, more: tuple[str, ...]) -> None:
        passed[family] = tuple(dict.fromkeys((*passed.get(family, ()), *more)))

    for family, found in WORKER_HOOKS.items() if worker else ():
        add(family, found)
    if not families:
        return passed
    for family, found in VXLAN_HOOKS.items():
        add(family, found)
    for version, family in ((4, "ip"), (6, "ip6")):
        add(family, OUTER_HOOKS if version in families else ())
    if bridged:
        for family in ("ip", "ip6", "inet", "arp"):
            add(family, ("prerouting", "forward"))
    return passed


def bridges_call_ip(links: Iterable[Link]) -> bool:
    """Whether any bridge hands its packets to IP's hooks."""
    if any(link.bridge and link.bridge.calls_iptables for link in links):
        return True
    try:
        return any(path.read_text().strip() != "0" for path in BRIDGE_CALLS.glob("*-call-*"))
    except OSError:
        return False


def chains(
    found: Iterable[BaseChain], devices: frozenset[str], passed: Hooks = FORWARDING_HOOKS
) -> list[str]:
    """Chains that judge packets at these hooks: "nft inet filter forward"."""
    names = []
    for chain in found:
        if chain.hook not in passed.get(chain.family, ()):
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


def legacy_tables(passed: Hooks = FORWARDING_HOOKS) -> list[str]:
    """Rules of the old iptables, which nftables does not list: "iptables filter FORWARD"."""
    names = []
    for family, legacy in LEGACY.items():
        try:
            present = legacy.names.read_text().split()
        except OSError:
            continue  # the kernel has no such tables in this namespace, and so no rules
        for table, there in LEGACY_CHAINS.items():
            asked = [hook for hook in there if hook in passed.get(family, ())]
            if asked and table in present:
                judging = _legacy_rules(legacy, table, asked)
                names += [f"{legacy.command} {table} {hook.upper()}" for hook in judging]
    return names


def _legacy_rules(legacy: Legacy, table: str, asked: Sequence[str]) -> list[str]:
    """Those of the chains that have rules; ones that cannot be read count as having some."""
    query = IPT_INFO.pack(table.encode(), 0, *([0] * 12))
    try:
        with socket.socket(legacy.family, socket.SOCK_RAW, socket.IPPROTO_RAW) as probe:
            answer = _get_info(probe, legacy.level, query)
    except OSError:
        return list(asked)
    fields = IPT_INFO.unpack(answer)
    entries, underflows = fields[2:7], fields[7:12]
    return [hook for hook in asked if entries[NF_INET[hook]] != underflows[NF_INET[hook]]]


def _get_info(probe: socket.socket, level: int, query: bytes) -> bytes:
    """getsockopt with input, which Python's own cannot pass."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(query, len(query))
    size = ctypes.c_uint32(len(query))
    if libc.getsockopt(probe.fileno(), level, IPT_SO_GET_INFO, buffer, ctypes.byref(size)):
        raise OSError(ctypes.get_errno(), "getsockopt")
    return buffer.raw


def passers(config: Config) -> str:
    """Who goes past them, in words."""
    xdp = config.nat44 is not None or bool(config.vxlan)
    return " and ".join(("XDP",) * xdp + ("the worker",) * (config.worker is not None))


def refused(found: Sequence[str], config: Config) -> list[str]:
    """Those that the owner does not accept."""
    accepted = config.bypass
    return [name for name in found if name not in accepted and BYPASS_ALL not in accepted]


def refuse(found: Sequence[str], config: Config) -> None:
    """RefusedError that names everything found and not accepted."""
    missing = refused(found, config)
    if missing:
        raise RefusedError(
            f"{passers(config)} would go past the owner's "
            + ", ".join(missing)
            + "; name them under bypass: to accept that, or remove them",
            code="bypass.refused",
            where=config.path,
        )
