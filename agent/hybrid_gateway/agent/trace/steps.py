# SPDX-License-Identifier: GPL-2.0-or-later
"""What both directions of a trace have: the steps so far, limits, static mappings, sending."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, NoReturn

from ...bpf import DEV_BRIDGE, DEV_OUTSIDE, DEV_PORT, SessionInfo
from ...bpf.lookup import Fixed, Lookup
from ...bpf.sessions import Endpoint
from ...netlink import Netlink, Way
from ..filters import PROTOCOLS

ICMP = "icmp"


@dataclass(frozen=True, slots=True)
class Packet:
    """Ports are ICMP identifiers, 0 where there is none; `opening`: a SYN, if TCP."""

    protocol: str
    source: Endpoint
    destination: Endpoint
    opening: bool

    @property
    def number(self) -> int:
        return PROTOCOLS[self.protocol]

    @property
    def reply(self) -> bool:
        """An ICMP echo reply, not a request."""
        return self.protocol == ICMP and self.destination[1] != 0


class Verdict(Exception):
    """What becomes of the packet: the name of a counter, and why. It ends the way there.

    `becomes` are its source, None while the outside port is not known, and its destination.
    """

    def __init__(
        self, name: str, text: str, becomes: tuple[Endpoint | None, Endpoint] | None = None
    ) -> None:
        super().__init__(name)
        self.name = name
        self.text = text
        self.becomes = becomes


def show(at: Endpoint) -> str:
    return f"{at[0]}:{at[1]}" if at[1] else str(at[0])


class Steps:
    """One packet's way; `names` are those of the devices. Whatever ends it raises Verdict."""

    def __init__(
        self, packet: Packet, lookup: Lookup, netlink: Netlink, names: dict[int, str]
    ) -> None:
        self.packet = packet
        self.lookup = lookup
        self.netlink = netlink
        self.said: list[dict[str, str]] = []
        self._names = names

    def say(self, step: str, text: str) -> None:
        self.said.append({"step": step, "text": text})

    def name(self, ifindex: int) -> str:
        return self._names.get(ifindex, f"device {ifindex}")

    def found(self, session: SessionInfo) -> None:
        self.say(
            "session",
            f"{session.state}, {session.origin}, expires in {session.expires_in:.0f} s: "
            f"{show(session.inside)} as {show(session.outside)} with {show(session.remote)}",
        )

    # ---- what both need ---------------------------------------------------------------

    def share_of_others(self) -> int:
        """share_of_others(): sessions that others may open to one inside host."""
        limit = int(self.lookup.settings.host_sessions)
        return limit - limit // 4

    def share(self, host: IPv4Address, limit: int) -> None:
        """host_acquire()."""
        share = self.lookup.share(host)
        self.say(
            "host",
            f"{host} has {share.sessions} of {limit} sessions and {share.ports} of "
            f"{self.lookup.settings.host_ports} ports",
        )
        if share.sessions >= limit:
            raise Verdict("DROP_HOST_LIMIT", f"{host} has all its sessions (nat44.per-host)")

    def room(self) -> None:
        """record_left()."""
        used, limit = self.lookup.sessions_used(), self.lookup.settings.sessions
        self.say("table", f"{used} of {limit} sessions are used")
        if used >= limit:
            raise Verdict("DROP_TABLE_FULL", "the table of sessions is full (nat44.sessions)")

    def static(self, at: Endpoint, *, outwards: bool) -> Fixed | None:
        """static_find(); outwards an identity mapping of the gateway's own says nothing."""
        packet = self.packet
        fixed = self.lookup.static(packet.number, at, packet.source, outwards=outwards)
        if fixed is None or (fixed.host and outwards):
            return None
        if fixed.host:
            raise Verdict("PUNT_HOST", f"{show(at)} is the gateway's own (identity mapping)")
        several = f", one of {fixed.backends}, for this sender" if fixed.backends > 1 else ""
        what = "stays as it is" if fixed.to == at else f"is {show(fixed.to)}{several}"
        self.say("static", f"{show(at)} {what} by a static mapping")
        return fixed

    # ---- sending ----------------------------------------------------------------------

    def deliver(self, source: Endpoint | None, destination: Endpoint, side: int) -> NoReturn:
        """session_send(): the route of the translated packet, then the next hop's MAC address."""
        target = destination[0]
        way = self.netlink.way(target)
        device = self.lookup.device(way.ifindex) if way else None
        if way is None or device is None or way.local or not device.flags & side:
            verdict = "DROP_NO_ROUTE"
            if side == DEV_OUTSIDE:
                verdict = "PUNT_NO_ROUTE" if way is None else "PUNT_NOT_NAT"
            where = "outside" if side == DEV_OUTSIDE else "inside"
            raise Verdict(verdict, f"no route leads to {target} on the {where}")
        self._send(way, device, target, (source, destination))

    def _send(
        self, way: Way, device: Any, target: IPv4Address, becomes: tuple[Endpoint | None, Endpoint]
    ) -> NoReturn:
        """egress_port()."""
        hop, name = way.gateway or target, self.name(way.ifindex)
        macs = [n.mac for n in self.netlink.neighbours(way.ifindex) if n.address == hop]
        if not macs or not macs[0]:
            text = f"the MAC address of {hop} on {name} is not known yet: the kernel asks and sends"
            raise Verdict("PUNT_NO_NEIGHBOUR", text, becomes)
        mac, port = macs[0].hex(":"), way.ifindex
        if device.flags & DEV_BRIDGE:
            place = self.lookup.station(device, macs[0])
            if place is None:
                text = f"{name} has not learned where {mac} is: the kernel sends it"
                raise Verdict("PUNT_FDB_MISS", text, becomes)
            port = place.port
            if place.vtep:
                text = f"by VXLAN ({self.name(port)}) to {place.vtep}, for {hop} ({mac}) there"
                raise Verdict("FORWARD", text, becomes)
        found = self.lookup.device(port)
        if found is None or not found.flags & DEV_PORT:
            text = f"{self.name(port)} is no port of ours: the kernel sends it"
            raise Verdict("PUNT_NOT_A_PORT", text, becomes)
        raise Verdict("FORWARD", f"out of {self.name(port)} to {hop} ({mac})", becomes)
