# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet from outside, as bpf/src/inbound.h treats it."""

from typing import NoReturn

from ...bpf import DEV_INSIDE
from ...bpf.lookup import exactly
from ...bpf.scan import SessionFilter
from ...bpf.sessions import Endpoint
from .steps import ICMP, Steps, Verdict, show

PROC_NET = "/proc/net"


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
    if has_socket(steps.packet.protocol, steps.packet.destination[1]):
        raise Verdict("PUNT_HOST", f"{text}, but a socket of the gateway has the port")
    raise Verdict(verdict, text)


def has_socket(protocol: str, port: int) -> bool:
    """Whether a socket of this network namespace is bound to the port, on any address."""
    if protocol == ICMP:
        return False
    with open(f"{PROC_NET}/{protocol}", encoding="ascii") as table:
        return any(line.split()[1].endswith(f":{port:04X}") for line in table.readlines()[1:])
