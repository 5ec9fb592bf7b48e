# SPDX-License-Identifier: GPL-2.0-or-later
"""Real PCI devices: taken from the kernel, used by the worker, and taken again after a crash."""

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6

from hybrid_gateway.lab import EAST, INTERNET, SFP0, SFP1, WEST
from hybrid_gateway.lab.sfp import SFP_IPV6
from tests.lib.fibre import (
    EAST6,
    SFP0_6,
    WEST6,
    datagram,
    from_east,
    from_west,
    is_error,
    to_east,
    to_west,
)
from tests.lib.packets import same
from tests.vm.dpdk.box import Fibre, to_bare
from tests.vm.dpdk.setup import (
    BARE_BY_HAND,
    HUGEPAGES,
    KERNEL,
    NETDEVS,
    NICS,
    PORTS,
    TAKEN,
    WORKER,
    Function,
    configured,
)
from tests.vm.site import BARE, BARE_PORT, Site

pytestmark = pytest.mark.vm

HOSTS = {4: (EAST.ip, WEST.ip), 6: (EAST6, WEST6)}
families = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])


def test_a_tap_takes_the_place(free: Fibre) -> None:
    """With name, MAC address, addresses and routes; whoever had configured them."""
    free.apply(configured(PORTS))
    assert all(free.is_tap(nic.device) for nic in TAKEN.values())
    free.becomes(free.netdevs, NETDEVS)
    assert free.functions() == WORKER
    assert free.hugepages() == HUGEPAGES
    free.guest.check("gwctl", "plan", "--exit-code")
    for nic in TAKEN.values():
        # No other file, which may say that udev makes up a MAC address of its own.
        said = free.guest.check("udevadm", "info", "-q", "property", f"/sys/class/net/{nic.device}")
        assert f"ID_NET_LINK_FILE=/run/systemd/network/00-gw-{nic.device}.link\n" in said


def test_the_gateway_itself(fibre: Fibre, site: Site) -> None:
    """Over the TAPs, in both directions."""
    for host, addresses in (("east", (SFP0.ip, SFP0_6)), ("west", (SFP1.ip, SFP_IPV6[SFP1]))):
        for address in addresses:
            with fibre.counts(PUNT_LOCAL=3, FROM_KERNEL=3):
                site.run(host, ["ping", "-c", "3", "-i", "0.2", "-W", "5", address])


@families
def test_forwarded(fibre: Fibre, family: int) -> None:
    """By the worker, whole frames, from an e1000e to virtio and back."""
    east, west = HOSTS[family]
    with fibre.counts(**{f"FORWARD_IP{family}": 4}):
        for size in (60, 1500):
            sent = datagram(east, west, size=size)
            got = fibre.send(from_east(sent), at="east", to="west")
            same(got, to_west(datagram(east, west, size=size, ttl=63)))
            sent = datagram(west, east, size=size)
            got = fibre.send(from_west(sent), at="west", to="east")
            same(got, to_east(datagram(west, east, size=size, ttl=63)))


@families
def test_the_kernel_says_time_exceeded(fibre: Fibre, family: int) -> None:
    sent = datagram(*HOSTS[family], ttl=1)
    with fibre.counts(PUNT_TTL=1):
        error = fibre.send(from_east(sent), at="east", to="east", wanted=is_error)
    layer, source = {4: (IP, SFP0.ip), 6: (IPv6, SFP0_6)}[family]
    assert error[layer].src == source
    assert error.haslayer({4: ICMP, 6: ICMPv6TimeExceeded}[family])
    assert bytes(sent) in bytes(error)


def test_sleeps_when_nothing_comes(fibre: Fibre, site: Site) -> None:
    """virtio waits for interrupts; the e1000e's never come to DPDK, so it is looked at."""
    assert fibre.port("sfp1")["dpdk"]["rx_interrupts"]
    assert not fibre.port("sfp0")["dpdk"]["rx_interrupts"]
    used = fibre.busy()
    # Something that takes eight seconds, and is none of the worker's business.
    site.run("lan", ["ping", "-c", "9", "-i", "1", "-W", "5", INTERNET[0]])
    assert fibre.busy() - used < 4
    fibre.becomes(lambda: fibre.port("sfp1")["dpdk"]["sleeping"], True)


def test_xdp_forwards_beside(fibre: Fibre, site: Site) -> None:
    with fibre.forwards(packets=8):
        site.run("lan", ["ping", "-c", "5", "-i", "0.2", "-W", "5", INTERNET[0]])


def test_goes_on_without_the_agent(fibre: Fibre) -> None:
    before = fibre.counters()
    fibre.guest.check("systemctl", "stop", "gw-agent")
    try:
        got = fibre.send(from_east(datagram()), at="east", to="west")
        same(got, to_west(datagram(ttl=63)))
    finally:
        fibre.start()
    assert fibre.moved(before)["FORWARD_IP4"] >= 1
    fibre.becomes(fibre.serves, tuple(TAKEN))
    assert fibre.netdevs() == NETDEVS


def test_a_killed_worker_comes_back(fibre: Fibre) -> None:
    fibre.kill()
    fibre.becomes(fibre.serves, tuple(TAKEN))
    fibre.becomes(fibre.netdevs, NETDEVS)
    fibre.ready()
    got = fibre.send(from_east(datagram()), at="east", to="west")
    same(got, to_west(datagram(ttl=63)))


def test_three_crashes_are_enough(fibre: Fibre) -> None:
    """The kernel has the ports, and nobody takes them until the owner says so."""
    fibre.apply(configured(PORTS))  # it forgives those of other tests
    for _ in range(3):
        fibre.becomes(fibre.serves, tuple(TAKEN))
        fibre.kill()
    fibre.returned()
    fibre.start_worker()
    worker = fibre.worker()
    assert worker["state"] == "given back"
    assert "3 times" in worker["reason"]
    assert "3 times" in fibre.guest.run("gwctl", "status").stdout
    fibre.returned()
    fibre.apply(configured(PORTS))
    assert fibre.serves() == tuple(TAKEN)
    assert fibre.functions() == WORKER


def test_a_port_that_goes_is_given_back(fibre: Fibre) -> None:
    """Alone: the other one stays the worker's."""
    [_, other] = PORTS.splitlines(keepends=True)
    fibre.apply(configured(other))
    fibre.becomes(fibre.netdevs, NETDEVS)
    assert fibre.functions() == {"sfp0": KERNEL["sfp0"], "sfp1": WORKER["sfp1"]}


def test_without_an_iommu(fibre: Fibre) -> None:
    """The function whose host bridge the IOMMU does not cover, beside one that it does."""
    bare = NICS["sfp2"]
    before = fibre.function(bare)
    ports = PORTS.splitlines(keepends=True)[1] + f"  sfp2: {{device: {bare.device}, plane: dpdk}}\n"
    fibre.guest.check("sh", "-c", f"echo '{BARE_BY_HAND}' | ip -batch -")
    fibre.apply(configured(ports))
    assert fibre.function(bare) == Function("uio_pci_generic", "uio_pci_generic")
    assert fibre.function(NICS["sfp1"]) == WORKER["sfp1"]
    fibre.reach(BARE.ip)
    fibre.reach(WEST.ip)
    got = fibre.send(from_west(datagram(WEST.ip, BARE.ip)), at="west", to="lan2")
    same(got, to_bare(datagram(WEST.ip, BARE.ip, ttl=63)))
    fibre.apply(configured(PORTS))
    assert fibre.function(bare) == before
    assert str(BARE_PORT.network) in fibre.netdev(bare.device).addresses
