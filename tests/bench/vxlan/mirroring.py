# SPDX-License-Identifier: GPL-2.0-or-later
"""The mirror of the FDBs without the agent, in the middle of a bridged path: `--bare`.

Run as a program inside the middle namespace it follows the kernel until its standard input ends,
and says for each line how often the kernel has dropped events.
"""

import os
import select
import socket
import sys
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.bench.dataplane import Served, object_dir
from tests.bench.vxlan.path import BRIDGE, DEVICE, PORT, VNI, BridgedPath

if TYPE_CHECKING:
    from hybrid_gateway.bpf.stations import FdbMirror

SESSIONS = 1024


class BareMirror(Served):
    def __init__(self, path: BridgedPath) -> None:
        underlay = path.setup.underlay
        super().__init__(path, "tests.bench.vxlan.mirroring", underlay.local)

    def lost(self) -> int:
        return int(self._ask("lost"))


def follow(instance: str, local: str) -> None:
    # The native extension is built; the benchmark's other modules do without it.
    from hybrid_gateway import bpf
    from hybrid_gateway.bpf.stations import FdbMirror
    from hybrid_gateway.model import MirrorPort, Segment, Stations

    device, bridge, lan = (socket.if_nametoindex(name) for name in (DEVICE, BRIDGE, "lan0"))
    address = ip_address(local)
    plane = bpf.DataPlane(instance, object_dir())
    ports = (MirrorPort(lan, bridge, "lan0", xdp=True), MirrorPort(device, bridge, tunnel=True))
    segment = Segment(
        ifindex=device,
        name=DEVICE,
        vni=VNI,
        bridge=bridge,
        bridge_name=BRIDGE,
        port=PORT,
        family=address.version,
        local=address,
    )
    with ExitStack() as stack:
        stack.callback(plane.remove)
        plane.load(bpf.MapSizes(SESSIONS))
        maps = ("gw_fdb", "gw_tunnels", "gw_vteps", "gw_floods")
        mirror = FdbMirror(*(plane.table(name).fd for name in maps))
        stack.callback(mirror.close)
        mirror.configure(Stations(ports=ports, segments=(segment,)))
        print("mirroring", flush=True)
        _serve(mirror)


def _serve(mirror: "FdbMirror") -> None:
    events = mirror.read()
    asked = sys.stdin.fileno()
    while True:
        wait = 0.0 if events.more or events.syncing else None
        ready, _, _ = select.select([mirror.fileno, asked], [], [], wait)
        if asked in ready:
            if not os.read(asked, 64):
                return
            print(events.lost, flush=True)
        events = mirror.read()


if __name__ == "__main__":
    follow(*sys.argv[1:])
