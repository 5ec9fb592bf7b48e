# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP plane without the agent, in the middle of a bridged path: `--bare` of the group vxlan.

Run as a program inside the middle namespace it loads, attaches, fills the tables with what the
kernel was told of stations, and serves what dataplane.py says.
"""

import json
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict
from ipaddress import IPv4Address, ip_address
from typing import Any

from tests.bench.dataplane import Served, object_dir, serve
from tests.bench.vxlan.path import (
    BRIDGE,
    DEVICE,
    LOCAL,
    PORT,
    REMOTE,
    VNI,
    BridgedPath,
    TunnelSetup,
    mac,
)

DEVICES = ("lan0", "wan0", BRIDGE, DEVICE)
FORWARDING = ("net.ipv4.conf.lo.forwarding", "net.ipv6.conf.lo.forwarding")
SESSIONS = 1024
"""Of NAT44, which is off: as few as there can be."""


class BareTunnels(Served):
    def __init__(self, path: BridgedPath) -> None:
        for name in FORWARDING:
            path.sysctl(name, 1)
        # As the agent does: frames that are to be cut would wait there, and be overtaken.
        path.middle("ethtool", "-K", "lan0", "gro", "off")
        macs = [path.mac(path.names.middle, device) for device in DEVICES]
        setup = json.dumps(asdict(path.setup))
        super().__init__(path, "tests.bench.vxlan.bare", setup, *macs)


def _mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Tables:
    """What an agent would write."""

    def __init__(self, plane: Any, setup: TunnelSetup, macs: list[bytes]) -> None:
        self._plane = plane
        self._setup = setup
        self._macs = dict(zip(DEVICES, macs, strict=True))
        self._index = {name: socket.if_nametoindex(name) for name in DEVICES}

    def fill(self) -> None:
        self._settings()
        self._devices()
        self._segment()
        for number in range(self._setup.vteps):
            self._vtep(number)
        for n in range(self._setup.stations):
            self._station(LOCAL + n, "lan0", 0)
            self._station(REMOTE + n, DEVICE, 1 + n % self._setup.vteps)

    def attach(self) -> list[str]:
        return [self._plane.attach(self._index[name], name, False) for name in ("lan0", "wan0")]

    def serve(self) -> None:
        serve(self._plane, [self._index[name] for name in ("lan0", "wan0")])

    def _settings(self) -> None:
        from hybrid_gateway import bpf

        off = dict.fromkeys(
            ("filtering", "udp", "icmp", "tcp_transitory", "tcp_established", "port_rest"), 0
        )
        settings = bpf.NatSettings(
            enabled=False,
            addresses=(),
            ports=(0, 0),
            host_sessions=0,
            host_ports=0,
            vxlan=bpf.VXLAN_ON,
            vxlan_ports=(PORT,),
            **off,
        )
        self._plane.set_settings(settings)

    def _devices(self) -> None:
        from hybrid_gateway import bpf

        index, bridge = self._index, self._index[BRIDGE]
        records = (
            ("lan0", bpf.DEV_PORT | bpf.DEV_BRIDGED, bridge, BRIDGE),
            ("wan0", bpf.DEV_PORT | bpf.DEV_UNDERLAY, index["wan0"], "wan0"),
            (BRIDGE, bpf.DEV_BRIDGE, bridge, BRIDGE),
            (DEVICE, bpf.DEV_TUNNEL, bridge, BRIDGE),
        )
        self._plane.set_devices(
            [
                bpf.DeviceRecord(index[name], flags, l3, self._macs[owner], name)
                for name, flags, l3, owner in records
            ]
        )

    def _segment(self) -> None:
        from hybrid_gateway.model import VNI_OTHER, VniEntry

        local = ip_address(self._setup.underlay.local)
        entry = VniEntry(VNI, PORT, local, self._index[DEVICE], self._index[BRIDGE])
        self._plane.set_vnis([entry, VniEntry(VNI_OTHER, PORT, local)])

    def _vtep(self, number: int) -> None:
        from _gw_native import lib

        from hybrid_gateway import abi

        setup, device = self._setup, self._index[DEVICE]
        remote, local = (
            {"bytes": list(ip_address(text).packed.ljust(16, b"\0"))}
            for text in (setup.underlay.vtep(number), setup.underlay.local)
        )
        over_ipv6 = lib.GW_TUNNEL_IPV6 | lib.GW_TUNNEL_CHECKSUM
        tunnel = abi.new(
            "gw_tunnel",
            ifindex=device,
            flags=lib.GW_TUNNEL_FRAGMENT | (over_ipv6 if setup.family == 6 else 0),
            generation=1,
            vni=VNI,
            local=local,
            remote=remote,
            port=socket.htons(PORT),
            port_low=49152,
            port_high=65535,
            mtu=1500,
            ttl=64,
        )
        self._plane.table("gw_tunnels").set(number, tunnel)
        key = abi.new("gw_vtep_key", ifindex=device, vni=VNI, address=remote)
        self._plane.table("gw_vteps").set(key, abi.new("gw_vtep", tunnel=1 + number))

    def _station(self, address: IPv4Address, port: str, tunnel: int) -> None:
        from hybrid_gateway import abi

        key = abi.new("gw_fdb_key", bridge=self._index[BRIDGE], mac=list(_mac_bytes(mac(address))))
        value = abi.new("gw_fdb_entry", port=self._index[port], tunnel=tunnel)
        self._plane.table("gw_fdb").set(key, value)


def main(instance: str, setup: TunnelSetup, macs: Iterable[str]) -> None:
    # The native extension is built; the benchmark's other modules do without it.
    from hybrid_gateway import bpf

    plane = bpf.DataPlane(instance, object_dir())
    try:
        plane.load(bpf.MapSizes(SESSIONS))
        tables = Tables(plane, setup, [_mac_bytes(text) for text in macs])
        tables.fill()
        print("attached", *tables.attach(), flush=True)
        tables.serve()
    finally:
        plane.remove()


if __name__ == "__main__":
    main(sys.argv[1], TunnelSetup(**json.loads(sys.argv[2])), sys.argv[3:])
