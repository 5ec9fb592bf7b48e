# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs on whole frames through BPF_PROG_TEST_RUN, and what they leave in the maps."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from _gw_native import ffi, lib
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway import abi
from hybrid_gateway.bpf import DataPlane, MapSizes, NatSettings, SessionInfo, StaticRecord
from hybrid_gateway.bpf.sessions import read_counters
from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import LAN, LAN2, WAN
from tests.lib.packets import from_lan, from_wan, same

from .own_maps import OwnMaps
from .site import PORTS, Site
from .stations import Stations

ACTIONS = ("ABORTED", "DROP", "PASS", "TX", "REDIRECT")
ROOM = 3400
"""Bytes of the largest frame, a little below what the kernel's test run takes in one piece."""
HANDOVER = ffi.sizeof("struct gw_handover")
HANDED_OVER = (
    "PUNT_NO_NEIGHBOUR",
    "PUNT_FDB_MISS",
    "PUNT_NOT_A_PORT",
    "PUNT_CUT",
    "PUNT_REPLAY",
    "PUNT_TUNNEL_CUT",
)
VERDICTS = frozenset(abi.counter_names()[: lib.GW_VERDICTS])
OUTSIDE = IPv4Address(WAN.ip)
ONE_TO_ONE = IPv4Address("203.0.113.9")

SETTINGS = NatSettings(
    enabled=True,
    addresses=(OUTSIDE,),
    ports=(20000, 49999),
    filtering=lib.GW_FILTER_ADDRESS_DEPENDENT,
    udp=300,
    icmp=60,
    tcp_transitory=240,
    tcp_established=7440,
    port_rest=0,
    host_sessions=8192,
    host_ports=2048,
)


def object_dir() -> Path:
    """The objects that `make build` leaves in this checkout."""
    default = Path(__file__).resolve().parents[2] / "build" / "bpf"
    return Path(os.environ.get("GW_BPF_DIR", default))


@dataclass(frozen=True, slots=True)
class Handover:
    """What gw_handover is told: the device to send from, and the MTU when it has to cut."""

    ifindex: int
    mtu: int
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one frame."""

    action: str
    frame: bytes
    handover: Handover | None
    counted: dict[str, int]

    @property
    def verdict(self) -> str:
        (name,) = VERDICTS & self.counted.keys()
        return name

    @property
    def packet(self) -> Packet:
        return Ether(self.frame)


class Plane:
    """One loaded data plane, attached to every port of a site."""

    def __init__(self, site: Site, instance: str, sessions: int, ports: Iterable[str]) -> None:
        self.site = site
        self.instance = Instance(instance)
        self.capacity = sessions
        self.dataplane = DataPlane(instance, object_dir())
        self.dataplane.load(MapSizes(sessions, pool=2))
        self.own = OwnMaps(self.dataplane, self.instance)
        self.program = self.dataplane._program("gw_xdp")
        self.guard = self.dataplane._program("gw_guard")
        self.settings = SETTINGS
        self.static_records: tuple[StaticRecord, ...] = ()
        for name in ports:
            assert self.dataplane.attach(site.ifindex(name), name, PORTS[name]) == "native"

    def remove(self) -> None:
        self.own.close()
        self.dataplane.remove()
        assert not self.instance.pin_dir.exists()

    @property
    def stations(self) -> Stations:
        """A test may put another data plane in place of the one before."""
        return Stations(self.dataplane)

    # ---- what the agent sets ----------------------------------------------------------

    def reset(self) -> None:
        """The site's tables, the default settings, no static mappings."""
        self.configure()
        self.dataplane.set_devices(self.site.records())
        self.stations.replace(self.site.fdb())
        self.dataplane.set_addresses([OUTSIDE, ONE_TO_ONE])
        self.statics()
        self.dataplane.set_inside_prefixes([])
        self.own.refill_error_budget()

    def configure(self, **changes: Any) -> None:
        """The default settings but for these."""
        self.settings = replace(SETTINGS, **changes)
        self.dataplane.set_settings(self.settings)

    def statics(self, *records: StaticRecord) -> None:
        self.static_records = records
        self.dataplane.set_statics(records)

    # ---- frames -----------------------------------------------------------------------

    def row(self, port: str) -> int:
        ifindex = self.site.ifindex(port)
        found = self.dataplane.table("gw_devices").get(ifindex % lib.GW_DEVICES_MAX)
        return int(found.row) if found and found.ifindex == ifindex else 0

    def counters(self, port: str) -> dict[str, int]:
        return read_counters(self.dataplane.table("gw_counters"), self.row(port))

    def run(self, frame: Packet | bytes, port: str = "lan0") -> Outcome:
        """One frame arrives at a port. It counts once; what is refused is left as it was.

        Later than the last one: it does not go the way that was asked for then (bpf/src/memo.h).
        """
        sent = bytes(frame)
        self.own.forget_way()
        before = self.counters(port)
        action, left = self.run_uncounted(sent, port)
        after = self.counters(port)
        counted = {name: n - before[name] for name, n in after.items() if n != before[name]}
        assert [counted[name] for name in VERDICTS & counted.keys()] == [1], counted
        verdict = next(iter(VERDICTS & counted.keys()))
        handover = None
        if verdict in HANDED_OVER:
            found = ffi.from_buffer("struct gw_handover *", left[:HANDOVER])
            assert found.magic == lib.GW_HANDOVER_MAGIC
            assert found.mtu or found.flow or not found.serial
            handover, left = Handover(found.ifindex, found.mtu, found.flags), left[HANDOVER:]
        elif "NAT_REFUSAL" in counted:
            answer = _action_of("REPLY", counted)
            assert action == answer, f"{verdict} was answered, and became XDP_{action}"
            return Outcome(action, left, None, counted)
        elif verdict not in ("FORWARD", "REPLY", "BRIDGE") and not (
            verdict.startswith("DROP_") and "VXLAN_DECAP" in counted
        ):
            assert left == sent, f"{verdict}, but the frame was changed"
        assert action == _action_of(verdict, counted), f"{verdict} became XDP_{action}"
        return Outcome(action, left, handover, counted)

    def run_uncounted(self, sent: bytes, port: str) -> tuple[str, bytes]:
        """The action and the frame after it, metadata in front; for thousands of frames."""
        buffer = ffi.new("char[]", ROOM)
        ffi.memmove(buffer, sent, len(sent))
        size, action = ffi.new("__u32 *", len(sent)), ffi.new("__u32 *")
        result = lib.gw_test_run(self.program, buffer, size, ROOM, self.site.ifindex(port), action)
        assert result == 0, os.strerror(-result)
        return ACTIONS[action[0]], bytes(ffi.buffer(buffer, size[0]))

    def lan(self, packet: Packet, host: Any = LAN) -> Outcome:
        """A packet from a host behind the bridge."""
        return self.run(from_lan(packet, host), "lan1" if host is LAN2 else "lan0")

    def wan(self, packet: Packet) -> Outcome:
        """A packet from the Internet."""
        return self.run(from_wan(packet), "wan0")

    # ---- what is in the maps ----------------------------------------------------------

    def sessions(self) -> list[SessionInfo]:
        found, cursor = self.dataplane.sessions(0, self.capacity)
        assert cursor is None
        return found

    def session(self) -> SessionInfo:
        """The only one."""
        (found,) = self.sessions()
        return found

    def expire(self, which: Callable[[SessionInfo], bool] = lambda _: True) -> int:
        """Moves the deadline of these sessions into the past; returns how many there were."""
        records, found = self.dataplane.table("gw_records"), [*filter(which, self.sessions())]
        for session in found:
            record = records.get(session.index)
            assert record is not None
            record.session.deadline = 1
            records.set(session.index, record)
        return len(found)

    def sweep(self) -> int:
        """Does at once what the kernel timer does every second; returns how many it removed."""
        sweeps = self.dataplane.table("gw_sweeps")
        sweeps.set(lib.GW_SWEEPER_AGENT, abi.new("gw_sweep", count=self.capacity))
        self.dataplane._run("gw_sweep_slice")
        done = sweeps.get(lib.GW_SWEEPER_AGENT)
        assert done is not None
        return int(done.removed)

    def swept(self) -> int:
        """How many sessions the kernel timer has removed since the load."""
        status = self.dataplane.table("gw_status").get(0)
        assert status is not None
        return int(status.expired)

    def host(self, address: str) -> tuple[int, int]:
        """Sessions and outside ports that an inside host is charged with."""
        key = int.from_bytes(IPv4Address(address).packed, "little")
        users = self.own.maps["gw_hosts"].get(key)
        return (users.users, users.ports) if users else (0, 0)


def _action_of(verdict: str, counted: dict[str, int]) -> str:
    """An answer into a tunnel may leave by another port than the question came by."""
    answer = "REDIRECT" if "VXLAN_ENCAP" in counted else "TX"
    fixed = {"FORWARD": "REDIRECT", "BRIDGE": "REDIRECT", "REPLY": answer}
    return fixed.get(verdict, "PASS" if verdict.startswith("PUNT_") else "DROP")


def forwarded(outcome: Outcome, expected: Packet) -> None:
    """It was sent by XDP, and it is exactly this frame."""
    assert outcome.verdict == "FORWARD"
    same(outcome.packet, expected)


@contextmanager
def loaded(site: Site, suffix: str, sessions: int, ports: Iterable[str] = PORTS) -> Iterator[Plane]:
    """A data plane of its own name, removed in the end. Inside the site's namespace."""
    name = f"{site.name}{suffix}"
    try:
        yield (plane := Plane(site, name, sessions, ports))
    except BaseException:
        DataPlane(name, object_dir()).remove()
        raise
    plane.remove()
