# SPDX-License-Identifier: GPL-2.0-or-later
"""What is configured on the ports, by whom, and how that is seen in the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_gateway.lab import EAST, SFP0, SFP1, WEST
from hybrid_gateway.lab.sfp import SFP_IPV6
from tests.vm.gateway import CONFIGURATION
from tests.vm.site import BARE, BARE_PORT, CABLES

NICS = {"sfp0": CABLES[EAST], "sfp1": CABLES[WEST], "sfp2": CABLES[BARE]}
"""By the port that has it. sfp0 is an e1000e, sfp1 virtio; sfp2's the IOMMU does not cover."""
MEMORY = "worker: {hugepages: 256M}\n"
HUGEPAGES = 128
PORTS = f"""\
  sfp0: {{device: {NICS["sfp0"].device}, plane: dpdk}}
  sfp1: {{device: {NICS["sfp1"].device}, plane: dpdk, polling: interrupt}}
"""

FAR = "192.0.2.0/24"
"""Beyond the first host: a route that is no device's own."""
BY_HAND = f"""\
link set {NICS["sfp0"].device} up
addr add {SFP0.network} dev {NICS["sfp0"].device}
addr add {SFP_IPV6[SFP0]}/64 dev {NICS["sfp0"].device} nodad
route add {FAR} via {EAST.ip} dev {NICS["sfp0"].device}
"""
NETPLAN_FILE = "/etc/netplan/50-fibre.yaml"
NETPLAN = f"""\
network:
  version: 2
  renderer: networkd
  ethernets:
    fibre:
      match: {{macaddress: "{SFP1.mac}"}}
      accept-ra: false
      addresses: [{SFP1.network}, "{SFP_IPV6[SFP1]}/64"]
"""
"""As cloud-init writes it: by the MAC address that is burnt in, which no TAP has."""
BARE_BY_HAND = f"""\
link set {NICS["sfp2"].device} up
addr add {BARE_PORT.network} dev {NICS["sfp2"].device}
"""
WINDOW = "/etc/systemd/system/gw-agent.service.d/window.conf"
PATIENT = """\
[Service]
Environment=PYTHONPATH=/gw:/gw/agent:/gw/build/lib GW_BPF_DIR=/gw/build/bpf
ExecStart=
ExecStart=/usr/bin/python3 -P -m tests.vm.dpdk.patient
"""
PREPARE = f"""
set -e
cat >{WINDOW} <<'END'
{PATIENT}
END
systemctl daemon-reload
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# What expires is answered each time, however soon after the last one.
echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
echo 0 >/proc/sys/net/ipv6/icmp/ratelimit
ip -batch - <<'END'
{BY_HAND}
END
cat >{NETPLAN_FILE} <<'END'
{NETPLAN}
END
chmod 600 {NETPLAN_FILE}
netplan apply
"""
FORGET = f"""
rm -f {NETPLAN_FILE} {WINDOW}
systemctl daemon-reload
netplan apply
systemctl stop systemd-networkd.socket systemd-networkd gw-worker
for device in {" ".join(nic.device for nic in NICS.values())}; do
    ip addr flush dev $device scope global
    ip link set $device down
done
"""


def configured(ports: str, worker: str = MEMORY) -> str:
    """The configuration of the other tests, with more ports; NAT44 stays XDP's."""
    return CONFIGURATION.replace("ports:\n", f"ports:\n{ports}", 1) + worker


@dataclass(frozen=True)
class Netdev:
    """What the kernel has configured on a device; addresses and routes that somebody put there."""

    mac: str
    mtu: int
    up: bool
    addresses: frozenset[str]
    routes: frozenset[str]


@dataclass(frozen=True)
class Function:
    """A PCI function: its driver, and what is written in driver_override."""

    driver: str
    override: str


TAKEN = {"sfp0": NICS["sfp0"], "sfp1": NICS["sfp1"]}
NETDEVS = {
    "sfp0": Netdev(
        SFP0.mac,
        1500,
        True,
        frozenset({str(SFP0.network), f"{SFP_IPV6[SFP0]}/64"}),
        frozenset({f"{FAR} via {EAST.ip}"}),
    ),
    "sfp1": Netdev(
        SFP1.mac, 1500, True, frozenset({str(SFP1.network), f"{SFP_IPV6[SFP1]}/64"}), frozenset()
    ),
}
"""What is configured on the ports' devices, whoever has them."""
KERNEL = {"sfp0": Function("e1000e", "(null)"), "sfp1": Function("virtio-pci", "(null)")}
WORKER = {"sfp0": Function("vfio-pci", "vfio-pci"), "sfp1": Function("vfio-pci", "vfio-pci")}
