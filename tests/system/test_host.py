# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings and offloads: changed, remembered, put back."""

import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hybrid_gateway import sysctl
from hybrid_gateway.apply.host import HostSteps
from hybrid_gateway.devices import Ethtool
from hybrid_gateway.errors import GwError, KernelError
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import IP_FORWARD, LO_FORWARDING, LO_FORWARDING6, NextHop, Offload, Sysctl
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.restore import Changes, RestoreFile, SysctlChange
from tests.lib.gateway import eventually

RESERVED = sysctl.RESERVED_PORTS


@pytest.mark.usefixtures("site")
def test_reserved_ports_without_ours() -> None:
    change = Changes({RESERVED: SysctlChange("8080", "8080,20000-49999")})

    sysctl.write(RESERVED, "8080,20000-49999")
    assert Sysctl(RESERVED, "8080,20000-49999", "8080") in sysctl.observe(change)
    sysctl.write(RESERVED, "9,8080,20000-49999")  # the owner added one meanwhile
    assert Sysctl(RESERVED, "9,8080,20000-49999", "9,8080") in sysctl.observe(change)
    sysctl.write(RESERVED, "")
    assert sysctl.read(RESERVED) == ""


@pytest.mark.usefixtures("site")
def test_a_long_list_of_reserved_ports() -> None:
    """As many ranges as there may be static mappings."""
    listed = ",".join(f"{port}-{port + 2}" for port in range(30000, 30000 + 1024 * 30, 30))
    sysctl.write(RESERVED, listed)
    assert sysctl.read(RESERVED) == listed


@pytest.mark.usefixtures("site")
def test_a_setting_that_the_kernel_refuses() -> None:
    with pytest.raises(KernelError, match=r"net\.ipv4\.ip_local_reserved_ports"):
        sysctl.write(RESERVED, "not ports")
    with pytest.raises(KernelError, match=r"net\.ipv4\.no_such"):
        sysctl.read("net.ipv4.no_such")


def announce_router(device: str) -> None:
    """One router advertisement (RFC 4861 4.2) to all nodes, of a router for half an hour."""
    address = "fe80::99"
    run(["ip", "addr", "add", f"{address}/64", "dev", device, "nodad"])
    index = socket.if_nametoindex(device)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.bind((address, 0, 0, index))
        advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
        sender.sendto(advertisement, ("ff02::1", 0, 0, index))


@pytest.mark.parametrize("accepts", ["1", "2"])
def test_default_routers_outlive_forwarding(site: str, tmp_path: Path, accepts: str) -> None:
    sysctl.write("net.ipv6.conf.br0.accept_ra", accepts)
    with namespaces.entered(f"{site}-h"):
        announce_router("h0")
    eventually(lambda: "fe80::99" in run(["ip", "-6", "route", "show", "default"]), "a router")
    steps = HostSteps(Netlink(), RestoreFile(tmp_path / "state.json"))

    undo = steps.set_sysctl(Sysctl(LO_FORWARDING6, "1", "0"))
    assert sysctl.read(LO_FORWARDING6) == "1"
    assert "fe80::99" in run(["ip", "-6", "route", "show", "default"])
    assert sysctl.read("net.ipv6.conf.br0.accept_ra") == accepts
    undo()
    assert sysctl.read(LO_FORWARDING6) == "0"
    assert "fe80::99" in run(["ip", "-6", "route", "show", "default"])
    assert not RestoreFile(tmp_path / "state.json").changes


@pytest.mark.usefixtures("site")
def test_forwarding_of_lo_belongs_to_whoever_changed_it(tmp_path: Path) -> None:
    """ip_forward takes it along; what remains of VXLAN after NAT puts back what was before both."""
    restore = RestoreFile(tmp_path / "state.json")
    steps = HostSteps(Netlink(), restore)

    def lo() -> Sysctl:
        return next(s for s in sysctl.observe(restore.changes) if s.name == LO_FORWARDING)

    steps.set_sysctl(Sysctl(IP_FORWARD, "1", "0"))
    assert lo() == Sysctl(LO_FORWARDING, "1", "0")
    steps.restore_sysctl(Sysctl(IP_FORWARD, "1", "0"))
    assert lo() == Sysctl(LO_FORWARDING, "0", "0")
    steps.set_sysctl(Sysctl(LO_FORWARDING, "1", "0"))
    steps.set_sysctl(Sysctl(IP_FORWARD, "1", "0"))
    steps.restore_sysctl(Sysctl(IP_FORWARD, "1", "0"))
    assert lo() == Sysctl(LO_FORWARDING, "1", "0")
    steps.restore_sysctl(lo())
    assert lo() == Sysctl(LO_FORWARDING, "0", "0")


@pytest.mark.usefixtures("site")
def test_offloads() -> None:
    with Ethtool() as tool:
        assert tool.driver("wan0") == "veth"
        assert tool.features("wan0")["rx-vlan-hw-parse"]
        tool.switch("wan0", "rx-vlan-hw-parse", False)
        assert not tool.features("wan0")["rx-vlan-hw-parse"]
        tool.switch("wan0", "rx-vlan-hw-parse", True)
        assert tool.features("wan0")["rx-vlan-hw-parse"]
        assert tool.features("nosuch0") == {}
        assert tool.driver("nosuch0") == ""
        with pytest.raises(KernelError, match="nosuch0"):
            tool.switch("nosuch0", "rx-vlan-hw-parse", False)


def filled(path: Path) -> RestoreFile:
    record = RestoreFile(path)
    record.changes.sysctls[RESERVED] = SysctlChange("", "20000-49999")
    record.changes.offloads.add(
        Offload(socket.if_nametoindex("lo"), "lo", "rx-vlan-hw-parse", True)
    )
    record.changes.managed.add(NextHop(1, IPv4Address("203.0.113.1")))
    record.save()
    return record


@pytest.mark.usefixtures("site")
def test_the_record_outlives_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "gw" / "state.json"
    written = filled(path)
    assert RestoreFile(path).changes == written.changes
    written.remove()
    assert not path.parent.exists()
    assert not RestoreFile(path).changes


def test_the_record_is_void_in_another_namespace(site: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    filled(path)
    with namespaces.entered(f"{site}-h"):
        assert not RestoreFile(path).changes
    assert RestoreFile(path).changes


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"version": 1}')
    with pytest.raises(GwError, match=r"state\.json"):
        RestoreFile(path)


def test_a_feature_that_a_bridge_has_by_its_ports(site: str, tmp_path: Path) -> None:
    """The wish is the kernel's to keep, until there is a port again that has the feature."""
    feature = "tx-udp-segmentation"
    vxlan = "link add vni100 type vxlan id 100 dstport 4789"
    run(["ethtool", "-K", "p0", feature, "off"])
    namespaces.ip_batch(site, [vxlan, "link set vni100 master br0"])
    state = RestoreFile(tmp_path / "state.json")
    steps = HostSteps(Netlink(), state)
    offload = Offload(socket.if_nametoindex("br0"), "br0", feature, True)
    with Ethtool() as tool:
        assert tool.features("br0", (feature,)) == {feature: True}
        steps.switch_off(offload)
        assert tool.features("br0", (feature,)) == {feature: False}
        run(["ip", "link", "del", "vni100"])

        steps.restore_offload(offload)
        assert not state.changes
        namespaces.ip_batch(site, [vxlan, "link set vni100 master br0"])
        assert tool.features("br0", (feature,)) == {feature: True}
