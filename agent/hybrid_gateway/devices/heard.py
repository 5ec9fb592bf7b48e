# SPDX-License-Identifier: GPL-2.0-or-later
"""TAPs by which bridges hear what the worker floods for them: gwh12 for the bridge of ifindex 12.

A frame that the worker has sent to every port of a bridge has to reach the host, too, and must not
be flooded once more, as it would be if it came in by a port. So each such bridge has a TAP that is
no port of it, and whose program passes everything on to the bridge itself.
"""

import contextlib
from collections.abc import Iterable, Iterator

from .. import sysctl
from ..errors import GwError, KernelError
from ..model import HEARD, Link, heard_bridge, heard_name
from ..rtnl import RTM_NEWLINK, Rtnl
from . import messages, networkd, tap
from .capture import links
from .restore_state import IFF_NOARP, IFF_UP

KIND = "heard"
"""As files for networkd and udev are called by, of all of them together."""


def make(bridge: int) -> None:
    """Up, with its program; one that is there by that name is made anew. GwError, and nothing of
    it stays."""
    from ..bpf import heard

    name = heard_name(bridge)
    with _rtnl() as rtnl:
        try:
            tap.delete(rtnl, name)
            networkd.disown(KIND, f"{HEARD}[0-9]*")
            ifindex = tap.create(rtnl, name, tap.made_up_mac(name))
            with contextlib.suppress(KernelError):  # a kernel without IPv6
                sysctl.write(f"net/ipv6/conf/{name}/disable_ipv6", "1")
            heard.attach(ifindex, name, bridge)
            flags = IFF_UP | IFF_NOARP
            rtnl.request_raw(RTM_NEWLINK, 0, messages.link(ifindex, flags=flags, change=flags))
        except GwError:
            with contextlib.suppress(GwError):  # the first error says more
                _remove(rtnl, name)
            raise


def remove(bridge: int) -> None:
    """Whether or not it is there, and whoever has it open."""
    with _rtnl() as rtnl:
        _remove(rtnl, heard_name(bridge))


def sweep() -> None:
    """All of them: nobody is left who would write to one."""
    with _rtnl() as rtnl:
        for name in _taps(rtnl):
            _remove(rtnl, name)


def observe(every: Iterable[Link]) -> tuple[frozenset[int], frozenset[int]]:
    """Bridges that have one which works, and those that have one in whatever state."""
    from ..bpf import heard

    taps = {heard_bridge(link.name): link for link in every if tap.is_tap(link.kind)}
    there = {bridge: link for bridge, link in taps.items() if bridge is not None}
    works = {b for b, link in there.items() if link.up and heard.is_attached(link.ifindex)}
    return frozenset(works), frozenset(there)


def _taps(rtnl: Rtnl) -> list[str]:
    every = links(rtnl).values()
    return [
        one.name for one in every if heard_bridge(one.name) is not None and tap.is_tap(one.kind)
    ]


def _remove(rtnl: Rtnl, name: str) -> None:
    tap.delete(rtnl, name)
    if not _taps(rtnl):
        networkd.forget(KIND)


@contextlib.contextmanager
def _rtnl() -> Iterator[Rtnl]:
    opened = Rtnl()
    try:
        yield opened
    finally:
        opened.close()
