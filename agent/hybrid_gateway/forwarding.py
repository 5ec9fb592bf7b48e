# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel sets by itself when net.ipv4.ip_forward changes, and how that is undone.

A change of ip_forward sets conf.*.forwarding, of every device and the default, and
conf.all.accept_redirects (inet_forward_change() in the kernel): the values of a router when
it is turned on, those of a host when it is turned off, whatever they were before.

When any device begins to forward IPv6, the kernel forgets the default routers that devices learned
from advertisements, but for those of devices that have an accept_ra of 2, which take routers even
while they forward themselves (rt6_purge_dflt_routers()).
"""

import contextlib
from collections.abc import Iterator, Mapping

from . import sysctl
from .errors import KernelError
from .model import LO_FORWARDING6
from .restore import SysctlChange

CONF = "net/ipv4/conf"
DEFAULT = f"{CONF}/default/forwarding"
REDIRECTS = f"{CONF}/all/accept_redirects"
ITSELF = f"{CONF}/all/forwarding"
"""Another name of ip_forward."""


def current() -> dict[str, str]:
    """The settings that depend on ip_forward, as they are."""
    found = {}
    for path in sorted((sysctl.PROC / CONF).glob("*/*")):
        name = str(path.relative_to(sysctl.PROC))
        if name == REDIRECTS or (path.name == "forwarding" and name != ITSELF):
            with contextlib.suppress(KernelError):  # a device that has just gone
                found[name] = sysctl.read(name)
    return found


def consequences(ip_forward: str, before: Mapping[str, str]) -> dict[str, SysctlChange]:
    """What writing this value into ip_forward will make of them."""
    redirects = "0" if ip_forward == "1" else "1"
    return {
        name: SysctlChange(value, redirects if name == REDIRECTS else ip_forward)
        for name, value in before.items()
    }


def without_us(recorded: Mapping[str, SysctlChange]) -> dict[str, str]:
    """What each would be had we never changed ip_forward; what the owner has set since stays."""
    if not recorded:
        return {}
    # A device that appeared later began with what the default was then.
    return {
        name: change.original if change and value == change.ours else value
        for name, value in current().items()
        for change in (recorded.get(name) or recorded.get(DEFAULT),)
    }


CONF6 = "net/ipv6/conf"
TAKES_AS_HOST, TAKES_ALWAYS = "1", "2"
"""Values of accept_ra; for a device that does not forward they come to the same."""


@contextlib.contextmanager
def _keeping_routers() -> Iterator[None]:
    """The default routers that there are stay, whichever device begins to forward IPv6."""
    changed = []
    for path in sorted((sysctl.PROC / CONF6).glob("*/accept_ra")):
        if path.parent.name in ("all", "default"):
            continue
        name = str(path.relative_to(sysctl.PROC))
        with contextlib.suppress(KernelError):  # a device that has just gone
            forwards = sysctl.read(f"{CONF6}/{path.parent.name}/forwarding") != "0"
            if not forwards and sysctl.read(name) == TAKES_AS_HOST:
                sysctl.write(name, TAKES_ALWAYS)
                changed.append(name)
    try:
        yield
    finally:
        for name in changed:
            with contextlib.suppress(KernelError):
                sysctl.write(name, TAKES_AS_HOST)


def write(name: str, value: str, others: Mapping[str, str]) -> None:
    """Sets one and, after it, those of the others that are not so already."""
    with _keeping_routers() if name == LO_FORWARDING6 else contextlib.nullcontext():
        sysctl.write(name, value)
    for other, wanted in others.items():
        with contextlib.suppress(KernelError):  # a device that has just gone
            if sysctl.read(other) != wanted:
                sysctl.write(other, wanted)
