# SPDX-License-Identifier: GPL-2.0-or-later
"""Which routes matter to NAT44."""

import socket

from ..events import RouteEvent
from ..model import Wanted


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
