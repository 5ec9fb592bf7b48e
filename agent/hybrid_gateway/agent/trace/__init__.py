# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables would do with a packet, told step by step; nothing is opened or counted.

It goes the way that nat44() in bpf/src/nat44.h goes, with the tables that the data path has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, NoReturn

from ...bpf import DEV_INSIDE, DEV_OUTSIDE
from ...bpf.lookup import Lookup
from ...bpf.sessions import Endpoint
from ...errors import UsageError
from .. import filters
from ..engine import Engine
from .inbound import inbound
from .outbound import outbound
from .steps import Packet, Steps, Verdict

SOMEWHERE = IPv4Address("192.0.2.1")
"""An address of nobody (RFC 5737), for a packet to or from "the Internet"."""
SOME_PORT = 50000
SERVICE = {"tcp": 443, "udp": 443, "icmp": 0}
KEYS = ("address", "from", "to", "protocol", "middle")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that makes sense; ports None: not given."""

    address: IPv4Address
    port: int | None
    sender: tuple[IPv4Address, int | None] | None
    receiver: tuple[IPv4Address, int | None] | None
    protocol: str
    middle: bool


def _endpoint(key: str, value: Any) -> tuple[IPv4Address, int | None]:
    text = str(value)
    address, colon, port = text.partition(":")
    if not colon:
        return filters.address(key, text), None
    low, high = filters.ports(key, port)
    if low != high:
        raise UsageError(f"{key}: one port, not a range", code="filter")
    return filters.address(key, address), low


def _read(given: Mapping[str, Any]) -> Asked:
    for key in given:
        if key not in KEYS:
            raise UsageError(f"{str(key)[:40]}: there are {', '.join(KEYS)}", code="filter")
    if "address" not in given:
        raise UsageError("address: is missing", code="filter")
    if "from" in given and "to" in given:
        raise UsageError("from, to: give one of them; address is the other end", code="filter")
    protocol = given.get("protocol", "tcp")
    filters.protocol("protocol", protocol)
    address, port = _endpoint("address", given["address"])
    return Asked(
        address,
        port,
        _endpoint("from", given["from"]) if "from" in given else None,
        _endpoint("to", given["to"]) if "to" in given else None,
        protocol,
        bool(given.get("middle")) and protocol == "tcp",
    )


def trace(engine: Engine, given: Mapping[str, Any]) -> dict[str, Any]:
    """The steps in words, the verdict by the name of its counter, and the packet afterwards."""
    asked = _read(given)
    if not engine.wanted.sizes:
        raise UsageError("the gateway forwards nothing: there are no tables", code="trace.off")
    lookup = Lookup(engine.dataplane)
    packet, assumed = _packet(asked, lookup)
    names = {link.ifindex: link.name for link in engine.links}
    steps = Steps(packet, lookup, engine.netlink, names)
    for text in assumed:
        steps.say("assumed", text)
    try:
        _go(steps)
    except Verdict as verdict:
        steps.say("next hop" if verdict.becomes else "why", verdict.text)
        return _answer(steps, verdict)


def _go(steps: Steps) -> NoReturn:
    """Role and device that the packet comes in by: those that an answer would leave by."""
    address = steps.packet.source[0]
    if not steps.lookup.settings.enabled:
        raise Verdict("PUNT_KERNEL_MODE", "NAT on XDP is off: everything is the kernel's")
    way = steps.netlink.way(address)
    if way is None:
        raise Verdict("PUNT_SOURCE", f"there is no route back to {address}")
    if way.local or steps.lookup.is_outside(address):
        raise Verdict("PUNT_HOST", f"{address} is the gateway: what it sends is the kernel's")
    device, name = steps.lookup.device(way.ifindex), steps.name(way.ifindex)
    flags = device.flags if device is not None else 0
    if flags & DEV_INSIDE:
        steps.say("sender", f"{address} is inside, behind {name}")
        outbound(steps, way.ifindex)
    if flags & DEV_OUTSIDE:
        steps.say("sender", f"{address} is outside, behind {name}")
        inbound(steps)
    text = f"{address} is behind {name}, which NAT has nothing to do with"
    raise Verdict("PUNT_KERNEL_MODE", text)


def _answer(steps: Steps, verdict: Verdict) -> dict[str, Any]:
    packet, becomes = steps.packet, verdict.becomes
    return {
        "packet": {
            "protocol": packet.protocol,
            "source": _json(packet.source),
            "destination": _json(packet.destination),
        },
        "steps": steps.said,
        "verdict": verdict.name,
        "becomes": {"source": _json(becomes[0]), "destination": _json(becomes[1])}
        if becomes
        else None,
    }


def _json(at: Endpoint | None) -> list[Any] | None:
    return [str(at[0]), at[1]] if at else None


def _packet(asked: Asked, lookup: Lookup) -> tuple[Packet, list[str]]:
    """From whom to whom, and what had to be assumed for it."""
    assumed: list[str] = []
    here = asked.address, asked.port
    inwards = asked.sender is not None or (asked.receiver is None and lookup.is_outside(here[0]))
    if inwards:
        sender, receiver = asked.sender or (SOMEWHERE, None), here
        if asked.sender is None:
            assumed.append(
                f"from {SOMEWHERE}, somebody whom nobody inside talks to; --from says whom"
            )
    else:
        sender, receiver = here, asked.receiver or (SOMEWHERE, None)
        if asked.receiver is None:
            assumed.append(f"to {SOMEWHERE}, somewhere in the Internet; --to says where")
    if asked.protocol == "icmp":
        source, destination = _icmp(sender, receiver, lookup, assumed)
    else:
        source, destination = _ports(asked.protocol, sender, receiver, lookup, assumed)
    return Packet(asked.protocol, source, destination, not asked.middle), assumed


Half = tuple[IPv4Address, int | None]


def _ports(
    protocol: str, sender: Half, receiver: Half, lookup: Lookup, assumed: list[str]
) -> tuple[Endpoint, Endpoint]:
    source_port, port = sender[1], receiver[1]
    if port is None:
        if lookup.is_outside(receiver[0]):
            raise UsageError(f"to which port of {receiver[0]}? ADDRESS:PORT", code="filter")
        port = SERVICE[protocol]
        assumed.append(f"to port {port}")
    if source_port is None:
        source_port = SOME_PORT
        assumed.append(f"from port {source_port}")
    return (sender[0], source_port), (receiver[0], port)


def _icmp(
    sender: Half, receiver: Half, lookup: Lookup, assumed: list[str]
) -> tuple[Endpoint, Endpoint]:
    """A request has its identifier as the source port, a reply as the destination port."""
    if lookup.is_outside(receiver[0]) and receiver[1] is not None:
        assumed.append(f"an echo reply with identifier {receiver[1]}")
        return (sender[0], 0), (receiver[0], receiver[1])
    number = sender[1] if sender[1] is not None else 1
    assumed.append(f"an echo request with identifier {number}")
    return (sender[0], number), (receiver[0], 0)
