# SPDX-License-Identifier: GPL-2.0-or-later
"""gw-bench for frames between stations: one process for each way through a path."""

from contextlib import AbstractContextManager, ExitStack
from enum import Enum

from tests.bench.generator import PROGRAMS, Result, Sender, Tool, Traffic
from tests.bench.vxlan.path import VNI, BridgedPath

TUNNEL_PROGRAMS = PROGRAMS.with_name("bench_vxlan.bpf.o")


class Form(Enum):
    """enum bench_form: what frames are."""

    INNER = "inner"
    VXLAN4 = "vxlan4"
    VXLAN6 = "vxlan6"
    VXLAN6_CUT = "vxlan6-cut"


def outer_form(path: BridgedPath) -> Form:
    return Form.VXLAN4 if path.setup.family == 4 else Form.VXLAN6


def _arguments(path: BridgedPath, sends: Form) -> list[str]:
    underlay = path.setup.underlay
    return [
        *("--sends", sends.value, "--size", str(path.setup.size), "--vni", str(VNI)),
        *("--vtep-source", underlay.first_vtep, "--vtep-destination", underlay.local),
    ]


class OneWay(Sender):
    """Sends from one end of a path and counts at the other: inner frames out, VXLAN back."""

    def __init__(
        self, path: BridgedPath, *, backwards: bool, expects: Form, verify: bool = False
    ) -> None:
        names = path.names
        ends = [(names.generator, "gen0"), (names.sink, "sink0")]
        if backwards:
            ends.reverse()
        (sender, sends_by), (receiver, receives_by) = ends
        argv = ["generate", "--in-netns", sender, "--in-device", sends_by]
        argv += ["--out-netns", receiver, "--out-device", receives_by]
        argv += ["--gateway-mac", path.mac(names.middle, "wan0"), "--expects", expects.value]
        argv += _arguments(path, outer_form(path) if backwards else Form.INNER)
        super().__init__([*argv, *(["--verify"] if verify else [])], TUNNEL_PROGRAMS)


class BothWays(AbstractContextManager["BothWays"]):
    """What comes out of the middle is the same frame, or what it is inside or outside of VXLAN."""

    def __init__(
        self, path: BridgedPath, *, unchanged: bool = False, cut: bool = False, verify: bool = False
    ) -> None:
        outer = outer_form(path)
        out = Form.INNER if unchanged else Form.VXLAN6_CUT if cut else outer
        back = outer if unchanged else Form.INNER
        with ExitStack() as stack:
            self._ways = [
                stack.enter_context(
                    OneWay(path, backwards=backwards, expects=expects, verify=verify)
                )
                for backwards, expects in ((False, out), (True, back))
            ]
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, traffic: Traffic) -> Result:
        return self._ways[traffic.backwards].send(traffic)


class BridgedRedirect(Tool):
    """The bare redirect of one way, in the middle of a path."""

    def __init__(self, path: BridgedPath, *, backwards: bool) -> None:
        names = path.names
        devices, peer = ["lan0", "wan0"], path.mac(names.sink, "sink0")
        if backwards:
            devices, peer = ["wan0", "lan0"], path.mac(names.generator, "gen0")
        argv = ["redirect", "--in-netns", names.middle, "--in-device", devices[0]]
        argv += ["--out-netns", names.middle, "--out-device", devices[1], "--gateway-mac", peer]
        sends = outer_form(path) if backwards else Form.INNER
        super().__init__([*argv, *_arguments(path, sends)], TUNNEL_PROGRAMS)
        self.read_line()  # "attached"
