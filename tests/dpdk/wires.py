# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker's port hangs on: a cable whose other end the test holds, and a TAP."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_RS
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.sniff import PacketSocket

ARRIVES_SECONDS = 3.0

# The kernel must not receive a second time what the port receives. A chain, for the build
# machines' kernel has no TC classifier for it; packet sockets see a frame before.
DEAF = """
table netdev {wire} {{
    chain ingress {{
        type filter hook ingress device "{wire}" priority 0; policy drop;
    }}
}}
"""


def is_chatter(packet: Packet) -> bool:
    """What a kernel says by itself wherever IPv6 is on: memberships, and asking for routers."""
    return ICMPv6MLReport2 in packet or ICMPv6ND_RS in packet


class End:
    """Where frames are sent and caught by hand; open from when it is made."""

    def __init__(self, namespace: str, device: str, stack: ExitStack) -> None:
        self.namespace = namespace
        self.device = device
        self._socket = PacketSocket(namespace, device)
        stack.callback(self._socket.close)

    def send(self, frames: Sequence[Packet | bytes]) -> None:
        for frame in frames:
            self._socket.send(bytes(frame))

    def forget(self) -> None:
        """What has arrived so far."""
        self._socket.discard()

    def arrived(self) -> list[Packet]:
        """What is here now and was not looked at, without chatter; does not wait."""
        packets = (Ether(frame.data) for frame in self._socket.frames())
        return [packet for packet in packets if not is_chatter(packet)]

    def arriving(self, seconds: float = ARRIVES_SECONDS) -> Iterator[Packet]:
        """As they come, without chatter, until nothing more has come by then."""
        for frame in self._socket.frames_until(time.monotonic() + seconds):
            packet = Ether(frame.data)
            if not is_chatter(packet):
                yield packet

    def expect(self, count: int, seconds: float = ARRIVES_SECONDS) -> list[Packet]:
        """The next `count` frames; AssertionError that shows those that came when it were fewer."""
        packets: list[Packet] = []
        if count:
            for packet in self.arriving(seconds):
                packets.append(packet)
                if len(packets) == count:
                    return packets
        seen = "; ".join(packet.summary() for packet in packets[:10])
        assert len(packets) == count, f"{len(packets)} of {count} at {self.device}: {seen}"
        return packets


@dataclass(frozen=True, slots=True)
class Cable:
    """What `plug` makes for a port called NAME, all in place before the worker sees any of it.

    In the gateway's namespace a TAP `NAME`, up, and the netdev `NAME-wire`; in the far namespace
    the other end, also called `NAME`. TAP and wire have one MAC address, as with a real NIC.
    """

    name: str
    mac: str
    """Of the port."""
    far_mac: str
    """Of whoever is at the other end."""
    far: End
    kernel: End
    """What the worker gives the kernel by the TAP arrives here, not what the kernel sends."""

    @property
    def wire(self) -> str:
        return f"{self.name}-wire"

    @property
    def device(self) -> str:
        """For DPDK."""
        return f"net_af_packet_{self.name},iface={self.wire}"


def plug(
    near: str, far: str, name: str, number: int, stack: ExitStack, *, mtu: int = 1500
) -> Cable:
    """Between two namespaces, which take all of it with them when they go."""
    mac, far_mac = f"02:00:00:00:01:{number:02x}", f"02:00:00:00:02:{number:02x}"
    wire = f"{name}-wire"
    namespaces.ip_batch(
        near,
        [
            f"link add {wire} address {mac} mtu {mtu} type veth"
            f" peer name {name} address {far_mac} mtu {mtu} netns {far}",
            f"tuntap add dev {name} mode tap",
            f"link set {name} address {mac} mtu {mtu}",
        ],
    )
    namespaces.write_sysctl(near, f"net/ipv6/conf/{wire}/disable_ipv6", "1")
    namespaces.write_sysctl(far, f"net/ipv6/conf/{name}/disable_ipv6", "1")
    deaf = DEAF.format(wire=wire)
    namespaces.run(namespaces.inside(near, ["nft", "-f", "-"]), stdin=deaf)
    namespaces.ip_batch(near, [f"link set {wire} up", f"link set {name} up"])
    namespaces.ip_batch(far, [f"link set {name} up"])
    return Cable(name, mac, far_mac, End(far, name, stack), End(near, name, stack))
