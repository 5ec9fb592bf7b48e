# SPDX-License-Identifier: GPL-2.0-or-later
"""Where inner frames go: ports, other VTEPs, the bridge itself, and what the kernel has to see."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.dpdk.stretched import Stretched
from tests.dpdk.vxlan import (
    FAMILIES,
    FAR,
    FARTHER,
    HERE,
    OTHER,
    PEER,
    THERE,
    Station,
    between,
)
from tests.lib.gateway import eventually
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk
families = pytest.mark.parametrize("family", FAMILIES)

BRIDGE_MAC = "02:00:00:00:09:01"
NOBODY = Station("10.9.0.99", "02:00:00:00:0a:99")
OUTSIDE = "198.51.100.9"


@pytest.fixture(scope="module")
def made() -> Iterator[Stretched]:
    with Stretched.running("vb") as running:
        yield running


@pytest.fixture
def sides(made: Stretched) -> Stretched:
    made.as_made()
    return made


def changed(frame: Packet, **fields: str) -> Packet:
    for name, value in fields.items():
        setattr(frame, name, value)
    return frame


@families
def test_to_the_port_of_the_station(sides: Stretched, family: int) -> None:
    segment = sides.segments[family]
    frames = [between(FAR, HERE), between(FAR, THERE), between(FAR, HERE)]
    counting = sides.bench.counting("core")
    sides.second[family].far.forget()
    seen = sides.bench.burst(
        [segment.arriving(frame) for frame in frames],
        via=sides.core.far,
        at=sides.access[family].far,
        count=2,
    )
    assert [bytes(one) for one in seen] == [bytes(frames[0]), bytes(frames[2])]
    (other,) = sides.second[family].far.expect(1)
    assert bytes(other) == bytes(frames[1])
    counting.expect(VXLAN_DECAP=3)


@families
def test_sources_that_no_host_has(sides: Stretched, family: int) -> None:
    for mac in ("00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "03:00:00:00:00:01"):
        inner = changed(between(FAR, HERE), src=mac)
        sides.dropped(sides.segments[family].arriving(inner), DROP_INNER=1)


@families
def test_what_concerns_one_link(sides: Stretched, family: int) -> None:
    """Spanning tree, LACP, LLDP: 01:80:c2:00:00:00 to 0f; the next one is like others."""
    segment = sides.segments[family]
    for last in (0x00, 0x02, 0x0E, 0x0F):
        inner = changed(between(FAR, HERE), dst=f"01:80:c2:00:00:{last:02x}")
        sides.dropped(segment.arriving(inner), DROP_INNER=1)
    inner = changed(between(FAR, HERE), dst="01:80:c2:00:00:10")
    sides.punted(segment.arriving(inner), PUNT_MULTICAST=1)


@families
def test_never_into_a_tunnel_again(sides: Stretched, family: int) -> None:
    """Neither to another VTEP of the segment nor back (RFC 7432 section 8.3 is for many; this
    is the plain rule of split horizon)."""
    segment = sides.segments[family]
    counting = sides.bench.counting("core")
    sides.core.far.forget()
    sides.core.far.send(
        [
            segment.arriving(between(FAR, FARTHER)),
            segment.arriving(between(FARTHER, FAR), source=OTHER[family]),
            segment.arriving(between(NOBODY, FAR)),
        ]
    )
    counting.expect(DROP_SPLIT_HORIZON=3)
    assert not sides.core.far.arrived()


@families
def test_what_the_kernel_floods(sides: Stretched, family: int) -> None:
    """What the host wants to hear, of which the worker is not told how."""
    segment = sides.segments[family]
    multicast = changed(between(FAR, HERE), dst="01:00:5e:01:02:03")
    sides.punted(segment.arriving(multicast), PUNT_MULTICAST=1)
    asked = ARP(op=1, hwsrc=FAR.mac, psrc=FAR.ip, pdst=HERE.ip)
    everybody = Ether(src=FAR.mac, dst="ff:ff:ff:ff:ff:ff") / asked
    sides.punted(segment.arriving(everybody), PUNT_ARP=1)


@families
def test_tagged_frames(sides: Stretched, family: int) -> None:
    inner = Ether(src=FAR.mac, dst=HERE.mac) / Dot1Q(vlan=5) / udp(FAR.ip, HERE.ip, 1, 2)
    sides.punted(sides.segments[family].arriving(inner), PUNT_VLAN=1)


@families
def test_a_segment_that_learns(sides: Stretched, family: int) -> None:
    """Who is not known to be behind the sender is the kernel's to learn; who is, is not."""
    segment = sides.segments[family]
    sides.options(family, learns=True)
    sides.delivered(between(FAR, HERE), family)
    sides.punted(segment.arriving(between(NOBODY, HERE)), PUNT_LEARN=1)
    sides.punted(segment.arriving(between(FARTHER, HERE)), PUNT_LEARN=1)
    sides.punted(segment.arriving(between(FAR, HERE), source=OTHER[family]), PUNT_LEARN=1)
    # One that has moved here from an access port.
    sides.punted(segment.arriving(between(THERE, HERE)), PUNT_LEARN=1)


@families
def test_a_segment_that_does_not(sides: Stretched, family: int) -> None:
    sides.delivered(between(NOBODY, HERE), family)
    sides.delivered(between(FARTHER, HERE), family)


@families
def test_a_port_that_takes_less(sides: Stretched, family: int) -> None:
    """The kernel drops what is longer, and counts it where its owner looks."""
    name = sides.access[family].name
    sides.bench.ip(f"link set {name} mtu 1000")
    sides.bench.settle()
    fits = Ether(src=FAR.mac, dst=HERE.mac, type=0x9000) / Raw(bytes(1000))
    sides.delivered(fits, family)
    sides.punted(sides.segments[family].arriving(fits / Raw(b"x")), PUNT_TOO_BIG=1)
    sides.bench.ip(f"link set {name} mtu 1500")
    sides.bench.settle()


@families
def test_ports_that_are_blocked(sides: Stretched, family: int) -> None:
    """Either end of the way; the kernel keeps its stations."""
    segment = sides.segments[family]
    for device in (sides.access[family].name, segment.device):
        sides.bench.run("bridge", "link", "set", "dev", device, "state", "0")
        sides.bench.settle()
        sides.dropped(segment.arriving(between(FAR, HERE)), DROP_BRIDGE_STATE=1)
        sides.bench.run("bridge", "link", "set", "dev", device, "state", "3")
        sides.bench.settle()
    sides.delivered(between(FAR, HERE), family)


@families
def test_a_station_at_a_port_of_the_kernel(sides: Stretched, family: int) -> None:
    segment, name = sides.segments[family], f"k{family}"
    sides.bench.ip(
        f"link add {name} type veth peer name {name}x",
        f"link set {name} up master {segment.bridge}",
        f"link set {name}x up",
    )
    segment.fdb("replace", NOBODY.mac, "dev", name, "master", "static")
    sides.bench.settle()
    sides.punted(segment.arriving(between(FAR, NOBODY)), PUNT_BRIDGE_MISS=1)
    sides.bench.ip(f"link del {name}")
    sides.bench.settle()


# ---- the bridge itself ----------------------------------------------------------------------


@pytest.fixture
def routed(sides: Stretched) -> Iterator[Stretched]:
    """Both bridges route, to a host behind the core's gateway."""
    lines = [f"route replace {OUTSIDE}/32 via {PEER[4]}"]
    for family, segment in sides.segments.items():
        lines.append(f"address replace 10.{family}.0.1/24 dev {segment.bridge}")
        lines.append(
            f"neigh replace 10.{family}.0.10 lladdr {HERE.mac} dev {segment.bridge} nud permanent"
        )
    sides.bench.ip(*lines)
    sides.bench.settle()
    yield sides
    sides.bench.ip(
        f"route del {OUTSIDE}/32",
        *(f"address flush dev {segment.bridge}" for segment in sides.segments.values()),
    )
    sides.bench.settle()


def to_bridge(packet: Packet) -> Packet:
    return Ether(src=FAR.mac, dst=BRIDGE_MAC) / packet


@families
def test_routed_by_the_bridge(routed: Stretched, family: int) -> None:
    """A host behind a VTEP has the bridge for its gateway."""
    packet = udp(f"10.{family}.0.40", OUTSIDE, 4000, 53, ttl=9)
    frame = routed.segments[family].arriving(to_bridge(packet))
    counting = routed.bench.counting("core")
    seen = routed.bench.send_and_expect(frame, via=routed.core.far, at=routed.core.far)
    wanted = Ether(src=routed.core.mac, dst=routed.core.far_mac) / udp(
        f"10.{family}.0.40", OUTSIDE, 4000, 53, ttl=8
    )
    assert bytes(seen) == bytes(wanted)
    counting.expect(FORWARD_IP4=1)


@families
def test_for_the_host_itself(routed: Stretched, family: int) -> None:
    """The kernel gets the outer frame, takes it out itself, and answers through the tunnel."""
    segment = routed.segments[family]
    routed.bench.ip(
        f"neigh replace 10.{family}.0.40 lladdr {FAR.mac} dev {segment.bridge} nud permanent"
    )
    routed.bench.settle()
    echo = IP(src=f"10.{family}.0.40", dst=f"10.{family}.0.1") / ICMP(id=7) / Raw(bytes(20))
    counting = routed.bench.counting("core")
    seen = routed.bench.send_and_expect(
        segment.arriving(to_bridge(echo)), via=routed.core.far, at=routed.core.far
    )
    inner = Ether(bytes(seen[UDP].payload)[8:])
    assert (inner[IP].dst, inner[ICMP].type) == (f"10.{family}.0.40", 0)
    counting.expect(PUNT_LOCAL=1)


@families
def test_what_expires_there(routed: Stretched, family: int) -> None:
    """It was judged without its outer headers, and the kernel gets them nevertheless."""
    packet = udp(f"10.{family}.0.40", OUTSIDE, 4000, 53, ttl=1)
    routed.punted(routed.segments[family].arriving(to_bridge(packet)), PUNT_TTL=1)
    packet = udp(f"10.{family}.0.40", "203.0.113.1", 4000, 53)
    routed.punted(routed.segments[family].arriving(to_bridge(packet)), PUNT_NO_ROUTE=1)


@families
def test_the_filter_of_sources(routed: Stretched, family: int) -> None:
    """Of the bridge that a frame came out of, whoever else is in the burst."""
    other = 10 - family
    key = f"net.ipv4.conf.br{family}.rp_filter"
    routed.bench.run("sysctl", "-q", f"{key}=1")
    routed.bench.settle()
    forged, right = udp("10.250.0.1", OUTSIDE, 1, 2), udp(f"10.{family}.0.40", OUTSIDE, 1, 2)
    frames = [
        routed.segments[other].arriving(to_bridge(forged)),
        routed.segments[family].arriving(to_bridge(forged)),
        routed.segments[family].arriving(to_bridge(right)),
    ]
    counting = routed.bench.counting("core")
    routed.core.far.send(frames * 20)
    counting.expect(FORWARD_IP4=40, PUNT_RP_FILTER=20)
    routed.bench.run("sysctl", "-q", f"{key}=0")
    routed.bench.settle()


@pytest.fixture
def far_hosts(routed: Stretched) -> Stretched:
    """FAR has an address in both bridges' networks."""
    routed.bench.ip(
        *(
            f"neigh replace 10.{family}.0.41 lladdr {FAR.mac} dev {segment.bridge} nud permanent"
            for family, segment in routed.segments.items()
        )
    )
    routed.bench.settle()
    return routed


def routed_there(family: int, size: int = 20, ttl: int = 9) -> Packet:
    return udp(OUTSIDE, f"10.{family}.0.41", 4000, 53, ttl=ttl, payload=bytes(size))


@families
def test_routed_to_a_host_behind_a_vtep(far_hosts: Stretched, family: int) -> None:
    """From one port of the underlay, or from the other segment, into the tunnel."""
    sides, wanted = far_hosts, Ether(src=BRIDGE_MAC, dst=FAR.mac) / routed_there(family, ttl=8)
    other = sides.segments[10 - family]
    plain = Ether(src=sides.core.far_mac, dst=sides.core.mac) / routed_there(family)
    for frame in (plain, other.arriving(to_bridge(routed_there(family)))):
        counting = sides.bench.counting("core")
        sides.core.far.forget()
        sides.core.far.send([frame])
        (seen,) = sides.core.far.expect(1)
        assert bytes(seen) == bytes(sides.leaving(wanted, family, seen))
        counting.expect(VXLAN_ENCAP=1)


@families
def test_what_is_routed_there_and_too_long(far_hosts: Stretched, family: int) -> None:
    """The kernel gets it as it came, unless the segment cuts."""
    sides = far_hosts
    frame = Ether(src=sides.core.far_mac, dst=sides.core.mac) / routed_there(family, 1472)
    frame["IP"].flags = 0
    frame = Ether(bytes(frame))
    del frame["IP"].chksum
    sides.punted(Ether(bytes(frame)), PUNT_BRIDGE_MISS=1)
    sides.options(family, fragment=True)
    counting = sides.bench.counting("core")
    sides.core.far.send([Ether(bytes(frame))])
    counting.expect(VXLAN_ENCAP=1, VXLAN_CUT=1)


@families
def test_routed_there_with_a_last_hop(far_hosts: Stretched, family: int) -> None:
    frame = Ether(src=far_hosts.core.far_mac, dst=far_hosts.core.mac) / routed_there(family, ttl=1)
    far_hosts.punted(frame, PUNT_TTL=1)


# ---- an underlay that is a bridge -------------------------------------------------------------


def test_a_host_of_the_bridge_that_claims_to_be_a_vtep(routed: Stretched) -> None:
    """The way back to that address is another one."""
    segment = routed.segments[4]
    forged = segment.arriving(between(FAR, HERE), macs=(THERE.mac, BRIDGE_MAC))
    counting = routed.bench.counting()
    routed.second[4].far.send([forged])
    counting.expect(DROP_VTEP=1)


def test_the_device_goes_and_comes_back(sides: Stretched) -> None:
    """While it is down, its VNI is the kernel's, which has it no more."""
    segment = sides.segments[4]
    sides.bench.ip(f"link set {segment.device} down")
    sides.bench.settle()
    counting = sides.bench.counting("core")
    sides.core.far.send([segment.arriving(between(FAR, HERE))])
    eventually(lambda: sum(counting.now().values()) == 1, "it is counted")
    assert "VXLAN_DECAP" not in counting.now()

    sides.bench.ip(f"link set {segment.device} up")
    segment.station(FAR, PEER[4])
    sides.as_made()
    sides.delivered(between(FAR, HERE), 4)
