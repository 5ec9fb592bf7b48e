# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenes of the demo: real traffic through one feature each, and what came of it.

A scene leaves the gateway as it found it, but for sessions.
"""

from collections.abc import Callable

from ..stage import Row, Stage
from . import changes, evpn, forwards, packets, records, stretch, traffic, worker

Scene = Callable[[Stage], Row]

SCENES: tuple[Scene, ...] = (
    traffic.ping,
    traffic.download,
    traffic.exchange,
    traffic.filtering,
    traffic.own_traffic,
    forwards.port_forward,
    forwards.port_range,
    forwards.shared,
    forwards.one_to_one,
    forwards.hairpin,
    packets.traceroute,
    packets.path_mtu,
    packets.mss_clamp,
    packets.fragments,
    packets.fragments_backwards,
    records.share_used,
    records.session_log,
    stretch.stretched,
    stretch.stretched6,
    stretch.both_ends,
    stretch.moved_host,
    stretch.strangers,
    stretch.branch_behind_nat,
    worker.routed,
    worker.routed6,
    worker.to_the_internet,
    worker.gateway_itself,
    worker.traceroute,
    worker.too_big,
    worker.bridged,
    worker.route_changed,
    worker.down_and_up,
    worker.killed,
    worker.graph,
    evpn.reached,
    evpn.full_frames,
    evpn.full_everywhere,
    evpn.bound,
    evpn.moved_station,
    evpn.nonsense,
    evpn.daemon_killed,
    evpn.site_lost,
    changes.agent_killed,
    changes.another_size,
    changes.reboot,
    changes.guard,
)
