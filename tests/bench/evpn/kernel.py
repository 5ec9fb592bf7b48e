# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's VXLAN device on the same kind of frames, over a bare redirect of them in XDP."""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.generator import Flows, Traffic
from tests.bench.group import costs
from tests.bench.measure import Case, Note, alternate
from tests.bench.vxlan.cases import FRAMES
from tests.bench.vxlan.contenders import BridgedBaseline, KernelVxlan, TunnelContender
from tests.bench.vxlan.path import STATIONS, TunnelSetup

from .cases import BESIDE, SMALL
from .frames import VTEPS

FLOWS = Flows(STATIONS, destinations=VTEPS)
REDIRECT, DEVICE = "redirect", "kernel"
SMALL_TIMES, LARGE_TIMES = 4.0, 2.5


def measure(rounds: int, note: Note) -> Iterator[tuple[str, float, float]]:
    """(the case's name, what the device takes a frame in ns, how many times cheaper ours has to
    be). Not of frames that do not fit their underlay: those it does not cut over IPv6."""
    for case in BESIDE:
        mtu = case.underlay_mtu
        setup = TunnelSetup(case.family, case.size, mtu, vteps=VTEPS, access_mtu=mtu)
        sent = Case(
            case.name,
            Traffic(FRAMES, FLOWS, backwards=case.inwards),
            Traffic(STATIONS, FLOWS, backwards=case.inwards),
        )
        with ExitStack() as stack:
            contenders: tuple[TunnelContender, ...] = (
                stack.enter_context(BridgedBaseline(REDIRECT, setup)),
                stack.enter_context(KernelVxlan(DEVICE, setup)),
            )
            series = alternate(sent, contenders, rounds, note)
        (kernels,) = costs(series, REDIRECT, DEVICE)
        yield case.name, kernels, SMALL_TIMES if case in SMALL else LARGE_TIMES
