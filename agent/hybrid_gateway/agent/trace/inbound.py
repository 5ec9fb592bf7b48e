# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet from outside, as bpf/src/inbound.h treats it."""

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from typing import NoReturn

from ...bpf import DEV_INSIDE
from ...bpf.lookup import exactly
from ...bpf.scan import SessionFilter
from ...bpf.sessions import Endpoint
from ...bpf.tables import address_number
from .steps import ICMP, Packet, Steps, Verdict, show

ANY = IPv4Address(0)
LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes it."""
MAPPED = "0000000000000000FFFF0000"
"""::ffff:0:0/96 there: the IPv4 side of a socket for both."""


def inbound(steps: Steps) -> NoReturn:
    """nat44() for the outside."""
    packet = steps.packet
    session = steps.lookup.session(
        SessionFilter(
            outside=exactly(packet.destination),
            remote=exactly(packet.source),
            protocol=packet.number,
        )
    )
    if session:
        steps.found(session)
        steps.deliver(packet.source, session.inside, DEV_INSIDE)
    steps.say("session", "there is none")
    fixed = steps.static(packet.destination, outwards=False)
    if fixed and not packet.opening:
        text = "only a SYN opens a session; the kernel may know the connection"
        raise Verdict("PUNT_NO_SESSION", text)
    inside = fixed.to if fixed else _mapped(steps)
    steps.share(inside[0], steps.share_of_others())
    steps.room()
    steps.deliver(packet.source, inside, DEV_INSIDE)


def _mapped(steps: Steps) -> Endpoint:
    """inbound_mapping(): who has the port, and may this sender use it?"""
    packet, at, remote = steps.packet, steps.packet.destination, steps.packet.source[0]
    if not steps.lookup.is_outside(at[0]):
        way = steps.netlink.way(at[0])
        if way and way.local:
            raise Verdict("PUNT_HOST", f"{at[0]} is an address of the gateway, but not of NAT")
        raise Verdict("PUNT_NOT_NAT", f"{at[0]} is no outside address of the gateway")
    if at[0] not in steps.lookup.pool or packet.protocol == ICMP:
        raise Verdict("PUNT_HOST", "no host inside has asked: the gateway itself answers")
    mapping = steps.lookup.mapping_at(packet.number, at)
    if mapping is None:
        _unmapped(steps)
    steps.say("mapping", f"{show(at)} is {show(mapping.inside)}'s")
    if not steps.lookup.permits(packet.number, at, remote):
        _host_or(steps, "DROP_FILTERED", f"{show(mapping.inside)} has sent nothing to {remote}")
    steps.say("filtering", f"{remote} may use it")
    if not packet.opening:
        _host_or(steps, "DROP_NO_SESSION", "only a SYN opens a session")
    return mapping.inside


def _unmapped(steps: Steps) -> NoReturn:
    at, settings = steps.packet.destination, steps.lookup.settings
    if not settings.port_low <= at[1] <= settings.port_high:
        text = f"port {at[1]} is not one that NAT gives out (nat44.ports): the gateway answers"
        raise Verdict("PUNT_HOST", text)
    rest = steps.lookup.rests(steps.packet.number, at)
    resting = f"; it was freed and rests for {rest:.0f} s more" if rest else ""
    _host_or(steps, "DROP_NO_MAPPING", f"nobody inside has {show(at)}{resting}")


def _host_or(steps: Steps, verdict: str, text: str) -> NoReturn:
    """host_or(): a socket of the gateway is asked last."""
    if has_socket(steps.packet):
        raise Verdict("PUNT_HOST", f"{text}, but a socket of the gateway has the port")
    raise Verdict(verdict, text)


def has_socket(packet: Packet) -> bool:
    """host_wants(): a socket for the port here that is open to all, or connected to the sender.

    One for IPv6 may be for both (of a TCP or UDP socket that is not, /proc says nothing).
    """
    if packet.protocol == ICMP:
        return False
    here = {*_proc(packet.destination), *_proc((ANY, packet.destination[1]))}
    there, everybody = set(_proc(packet.source)), set(_proc((ANY, 0)))
    return any(
        local in here
        and (
            remote in there
            or (remote in everybody and (packet.protocol == "udp" or state == LISTEN))
        )
        for local, remote, state in _sockets(packet.protocol)
    )


def _sockets(protocol: str) -> Iterator[tuple[str, str, str]]:
    """(local, remote, state) of each; a kernel without IPv6 has no second table."""
    for name in (protocol, f"{protocol}6"):
        with suppress(FileNotFoundError), open(f"/proc/net/{name}", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                _, local, remote, state, *_ = line.split()
                yield local, remote, state


def _proc(at: Endpoint) -> tuple[str, ...]:
    """An endpoint as /proc/net/tcp and tcp6 write it, the address in the order of the machine."""
    number, port = f"{address_number(at[0]):08X}", f"{at[1]:04X}"
    whole = "0" * len(MAPPED) if at[0] == ANY else MAPPED
    return f"{number}:{port}", f"{whole}{number}:{port}"
