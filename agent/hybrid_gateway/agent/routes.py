# SPDX-License-Identifier: GPL-2.0-or-later
"""Which routes matter to NAT44, and to EVPN."""

import socket

from ..events import RouteEvent
from ..model import Config, Wanted
from ..resolve_evpn import section_of


def concern(route: RouteEvent, added: bool, wanted: Wanted) -> bool:
    """Whether a route changes who is inside, or which next hops there are.

    A box with the Internet's routes hears of them all the time; one more by a next hop
    that is known changes nothing, and one less may leave a next hop managed in vain.
    """
    if route.family != socket.AF_INET:
        return False
    if route.devices & {device.l3_ifindex for device in wanted.devices if device.inside}:
        return True
    if not route.devices & {device.ifindex for device in wanted.devices if device.outside}:
        return False
    known = {hop.address for hop in wanted.managed}
    return not route.length or (added and route.gateway not in known)


def is_advertised(route: RouteEvent, config: Config | None) -> bool:
    """Whether it is to one of the prefixes that EVPN is to advertise, in whichever table."""
    section = section_of(config)
    return any(
        route.length == prefix.prefixlen
        and route.family == (socket.AF_INET if prefix.version == 4 else socket.AF_INET6)
        and route.destination == int(prefix.network_address)
        for entry in (section.prefixes if section else ())
        for prefix in entry.advertise
    )
