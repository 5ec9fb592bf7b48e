# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet from inside, as bpf/src/outbound.h and mapping.h treat it."""

from typing import NoReturn

from ...bpf import DEV_INSIDE, DEV_OUTSIDE
from ...bpf.lookup import exactly
from ...bpf.scan import SessionFilter
from ...bpf.sessions import Endpoint
from .steps import ICMP, Steps, Verdict, show


def outbound(steps: Steps, ingress: int) -> NoReturn:
    """nat44() for the inside, where the packet came in by the device `ingress`."""
    packet, lookup = steps.packet, steps.lookup
    session = lookup.session(
        SessionFilter(
            inside=exactly(packet.source),
            remote=exactly(packet.destination),
            protocol=packet.number,
        ),
        SessionFilter(
            inside=exactly(packet.source),
            outside=exactly(packet.destination),
            protocol=packet.number,
            origin="hairpin",
        ),
    )
    hairpin = lookup.is_outside(packet.destination[0])
    side = DEV_INSIDE if hairpin else DEV_OUTSIDE
    if session:
        steps.found(session)
        answering = hairpin and session.outside == packet.destination
        if answering:
            steps.deliver(session.remote, session.inside, side)
        # Whoever answers has been found already, and the share has been taken.
        target = _called(steps, admit=False) if hairpin else packet.destination
        steps.deliver(session.outside, target, side)
    steps.say("session", "there is none yet")
    if not packet.opening:
        text = "only a SYN opens a session; the kernel may know the connection"
        raise Verdict("PUNT_NO_SESSION", text)
    if packet.reply:
        raise Verdict("PUNT_ICMP", "an echo reply opens no session")
    destination = packet.destination
    if hairpin:
        destination = _called(steps, admit=True)
    else:
        _way_out(steps, ingress)
    if not lookup.pool:
        raise Verdict("PUNT_NO_POOL", "there is no outside address yet")
    steps.room()
    steps.share(packet.source[0], lookup.settings.host_sessions)
    steps.deliver(_translated(steps), destination, side)


def _called(steps: Steps, *, admit: bool) -> Endpoint:
    """hairpin_destination(): the inside host behind an outside endpoint of ours.

    `admit`: the call is a new one, and has to fit into that host's share.
    """
    packet, at = steps.packet, steps.packet.destination
    fixed = steps.static(at, outwards=False)
    if fixed:
        return fixed.to
    mapping = None
    if packet.protocol != ICMP and at[0] in steps.lookup.pool:
        mapping = steps.lookup.mapping_at(packet.number, at)
    if mapping is None:
        raise Verdict("PUNT_HOST", f"nobody inside has {show(at)}: the gateway answers")
    steps.say("hairpin", f"{show(at)} leads back to {show(mapping.inside)}")
    if admit:
        steps.share(mapping.inside[0], steps.share_of_others())
    return mapping.inside


def _way_out(steps: Steps, ingress: int) -> None:
    """outbound_route(): NAT has to stand between."""
    target = steps.packet.destination[0]
    way = steps.netlink.way(target, steps.packet.source[0], ingress)
    if way is None:
        raise Verdict("PUNT_NO_ROUTE", f"there is no route to {target}")
    if way.local:
        raise Verdict("PUNT_HOST", f"{target} is an address of the gateway")
    device, name = steps.lookup.device(way.ifindex), steps.name(way.ifindex)
    via = f" via {way.gateway}" if way.gateway else ""
    if device is None or not device.flags & DEV_OUTSIDE:
        raise Verdict("PUNT_NOT_NAT", f"{target} is reached{via} on {name}, which is not outside")
    steps.say("route", f"{target} is reached{via} on {name}, the outside")


def _translated(steps: Steps) -> Endpoint | None:
    """translate_source(): the outside endpoint, None while its port is not known."""
    packet = steps.packet
    fixed = steps.static(packet.source, outwards=True)
    if fixed:
        return fixed.to
    mapping = steps.lookup.mapping_of(packet.number, packet.source)
    if mapping is None:
        _new_mapping(steps)
        return None
    users = "1 session" if mapping.users == 1 else f"{mapping.users} sessions"
    steps.say("mapping", f"{show(packet.source)} has {show(mapping.outside)}, used by {users}")
    return mapping.outside


def _new_mapping(steps: Steps) -> None:
    """mapping_create(): which address, and whether a port is left."""
    packet, lookup, settings = steps.packet, steps.lookup, steps.lookup.settings
    host = packet.source[0]
    share = lookup.share(host)
    if share.ports >= settings.host_ports:
        raise Verdict("DROP_HOST_LIMIT", f"{host} has all its ports (nat44.per-host)")
    address = share.address or lookup.pool_address(host)
    kept = ", which it keeps while it has sessions" if share.address else ""
    steps.say("pool", f"{host} goes out as {address}{kept}")
    what = "identifier" if packet.protocol == ICMP else "port"
    parity = "odd" if packet.source[1] % 2 else "even"
    total = settings.port_high - settings.port_low + 1
    used, resting = lookup.ports_taken(packet.number, address)
    steps.say(
        "mapping",
        f"{show(packet.source)} has none and gets a random {what} of "
        f"{settings.port_low}-{settings.port_high}, {parity} if possible; "
        f"{used} of {total} are used, {resting} rest",
    )
    if used + resting >= total:
        raise Verdict("DROP_NO_PORT", f"no {what} of {address} is free")
