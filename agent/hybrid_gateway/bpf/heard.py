# SPDX-License-Identifier: GPL-2.0-or-later
"""The program of a TAP by which a bridge hears: what comes in there arrives at the bridge's own
device, as if the bridge had passed it up, and nothing is flooded or learned.

It stands for itself, beside the XDP plane: a gateway may have no XDP port at all. Its filter keeps
it loaded, so there is nothing to pin.
"""

from _gw_native import lib

from ..errors import KernelError
from .attach import TC_HANDLE, TC_PRIORITY, has_filter


def attach(tap: int, name: str, bridge: int) -> None:
    """Both by ifindex; the bridge need not be there, and then nobody hears."""
    program = lib.gw_heard_program(bridge)
    if program < 0:
        raise KernelError(f"{name}: loading its program", program, code="bpf.load")
    try:
        made = lib.gw_tc_prepare(tap)
        if made < 0:
            raise KernelError(f"{name}: adding clsact", made, code="bpf.tc")
        result = lib.gw_tc_attach(tap, False, program, TC_HANDLE, TC_PRIORITY)
        if result:
            raise KernelError(f"{name}: attaching its program", result, code="bpf.tc")
    finally:
        lib.gw_close(program)


def is_attached(tap: int) -> bool:
    return has_filter(tap, egress=False)
