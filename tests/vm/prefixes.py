# SPDX-License-Identifier: GPL-2.0-or-later
"""A routing instance of two sites in one guest: the gateway's VRF, and FRR's in a namespace.

    near-host  eth0 .10 ── near0 ┐                                ┌ far0 ── eth0 .10  far-host
        198.18.10.0/24           ├ red: br5000: vni5000 (wire) vni5000 :br5000 :red  198.18.20.0/24
    2001:db8:10::/64            gw          192.0.2.1   192.0.2.2          far  2001:db8:20::/64

Only a guest's kernel has VRFs; FRR is the suite's, so the underlay is IPv4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from hybrid_gateway.lab.sites import ASN, vxlan_kind
from tests.vm import gateway
from tests.vm.gateway import GuestGateway
from tests.vm.machine import Guest

VNI, VRF, BRIDGE, DEVICE = 5000, "red", "br5000", "vni5000"
TABLE = 1077


@dataclass(frozen=True)
class End:
    """A site: the namespace of its gateway, none for the guest's own, and its host."""

    name: str
    vtep: str
    prefix: str
    prefix6: str
    namespace: str = ""

    @property
    def host(self) -> str:
        return f"{self.name}-host"

    def address(self, number: int) -> tuple[str, str]:
        """Of both families, in its network."""
        return self.prefix.replace("0/", f"{number}/"), self.prefix6.replace("::/", f"::{number}/")

    def script(self) -> list[str]:
        """Lines of `ip -batch` in the gateway's namespace; the underlay is there."""
        port = f"{self.name}0"
        return [
            f"link add {VRF} type vrf table {TABLE}",
            f"link set {VRF} up",
            f"link add {BRIDGE} type bridge forward_delay 0",
            f"link set {BRIDGE} master {VRF} addrgenmode none",
            f"link add {DEVICE} mtu 1450 {vxlan_kind(self.vtep, vni=VNI)}",
            f"link set {DEVICE} master {BRIDGE} addrgenmode none",
            f"link set {DEVICE} type bridge_slave learning off",
            f"link set {BRIDGE} up",
            f"link set {DEVICE} up",
            f"link add {port} type veth peer name eth0 netns {self.host}",
            f"link set {port} master {VRF} up",
            *(f"addr add {address} dev {port}{nodad(address)}" for address in self.address(1)),
        ]

    def host_script(self) -> list[str]:
        gateways = [address.split("/")[0] for address in self.address(1)]
        return [
            "link set eth0 up",
            *(f"addr add {address} dev eth0{nodad(address)}" for address in self.address(10)),
            *(f"route add default via {address}" for address in gateways),
        ]


def nodad(address: str) -> str:
    return " nodad" if ":" in address else ""


NEAR = End("near", "192.0.2.1", "198.18.10.0/24", "2001:db8:10::/64")
FAR = End("far", "192.0.2.2", "198.18.20.0/24", "2001:db8:20::/64", "far")
NAMESPACES = (FAR.namespace, NEAR.host, FAR.host)

CONFIGURATION = f"""\
{gateway.CONFIGURATION}vxlan:
  - {{device: {DEVICE}, vni: {VNI}}}
evpn:
  asn: {ASN}
  router-id: {NEAR.vtep}
  hold-time: 60
  neighbors:
    - {{address: {FAR.vtep}}}
  prefixes:
    - {{vni: {VNI}, vrf: {VRF}, advertise: ["{NEAR.prefix}", "{NEAR.prefix6}"]}}
"""
FRR = f"""\
vrf {VRF}
 vni {VNI}
exit-vrf
router bgp {ASN}
 bgp router-id {FAR.vtep}
 no bgp default ipv4-unicast
 neighbor {NEAR.vtep} remote-as {ASN}
 neighbor {NEAR.vtep} timers 20 60
 neighbor {NEAR.vtep} timers connect 1
 address-family l2vpn evpn
  neighbor {NEAR.vtep} activate
  advertise-all-vni
 exit-address-family
exit
router bgp {ASN} vrf {VRF}
 bgp router-id {FAR.vtep}
 address-family ipv4 unicast
  redistribute connected
 exit-address-family
 address-family ipv6 unicast
  redistribute connected
 exit-address-family
 address-family l2vpn evpn
  advertise ipv4 unicast
  advertise ipv6 unicast
 exit-address-family
exit
"""
# From FRR 10 on, mgmtd is who takes the VRF's line.
START = """
install -d -o frr -g frr /run/frr /run/frr/far /etc/frr/far
touch /etc/frr/far/vtysh.conf
for daemon in mgmtd zebra bgpd; do
    [ -x /usr/lib/frr/$daemon ] || continue
    systemd-run --quiet --unit=far-$daemon -p NetworkNamespacePath=/run/netns/far \\
        /usr/lib/frr/$daemon -N far -P 0 --log stdout --log-level warning
    until vtysh -N far -d $daemon -c "show version" >/dev/null; do
        systemctl is-active --quiet far-$daemon
    done
done
vtysh -N far -f /tmp/frr.conf
"""
# With its first VRF the kernel makes rules, which outlive it; other tests go without.
STOP = f"""
systemctl stop "far-*"
for name in {" ".join(NAMESPACES)}; do ip netns delete $name; done
for device in {DEVICE} {BRIDGE} {VRF} wire; do ip link delete $device; done
for family in -4 -6; do ip $family rule delete priority 1000; done
"""


@dataclass(frozen=True)
class Instance:
    """Both sites; the guest's own daemons are the test's to start."""

    gateway: GuestGateway

    @property
    def guest(self) -> Guest:
        return self.gateway.guest

    def ip(self, end: End, *arguments: str) -> Any:
        where = ["-n", end.namespace] if end.namespace else []
        return json.loads(self.guest.check("ip", *where, "-json", *arguments) or "[]")

    def routes(self, end: End, protocol: str) -> set[str]:
        """Prefixes of the VRF by whose routes they are."""
        return {
            route["dst"]
            for family in ("-4", "-6")
            for route in self.ip(end, family, "route", "show", "table", str(TABLE))
            if route.get("protocol") == protocol
        }

    def answered(self, here: End, there: End, number: int) -> int:
        """Of five echo requests from one host to that address of the other site, by each family."""
        found = 0
        for address in there.address(number):
            argv = ["ping", "-n", "-c", "5", "-i", "0.2", "-W", "5", address.split("/")[0]]
            said = self.guest.run("ip", "netns", "exec", here.host, *argv).stdout
            found += said.count("bytes from")
        return found


def commands(guest: Guest, lines: Sequence[str], namespace: str = "") -> None:
    """Of `ip`, there or in the guest itself."""
    guest.write("/tmp/lines", "\n".join(lines).encode())
    where = ("-n", namespace) if namespace else ()
    guest.check("ip", *where, "-batch", "/tmp/lines")


@contextmanager
def instance(gateway: GuestGateway) -> Iterator[Instance]:
    guest = gateway.guest
    with ExitStack() as stack:
        stack.callback(guest.run, "sh", "-c", STOP)
        for name in NAMESPACES:
            guest.check("ip", "netns", "add", name)
        commands(guest, ["link add wire type veth peer name wire netns far"])
        for end in (NEAR, FAR):
            wire = ["link set wire up", f"addr add {end.vtep}/24 dev wire"]
            commands(guest, [*wire, *end.script()], end.namespace)
            commands(guest, end.host_script(), end.host)
        forwarding = "sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        guest.check("sh", "-ec", f"{forwarding}; ip netns exec far {forwarding}")
        guest.write("/tmp/frr.conf", FRR.encode())
        guest.check("sh", "-ec", START)
        yield Instance(gateway)
