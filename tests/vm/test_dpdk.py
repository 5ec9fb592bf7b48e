# SPDX-License-Identifier: GPL-2.0-or-later
"""Real PCI devices: taken from the kernel, used by the worker, and given back as they were."""

from collections.abc import Iterator
from contextlib import ExitStack

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
from tests.lib.traffic import Wires
from tests.vm import dpdk
from tests.vm.conftest import Appliance
from tests.vm.dpdk import FAR, NICS, PORTS, Fibre, Function, Netdev, configured
from tests.vm.site import BARE, BARE_PORT

pytestmark = pytest.mark.vm

HOSTS = {4: (EAST.ip, WEST.ip), 6: (EAST6, WEST6)}
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
families = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])


@pytest.fixture(scope="module")
def box(appliance: Appliance) -> Iterator[Fibre]:
    """The services run; the kernel has all ports, configured by hand and by netplan."""
    site, guest = appliance.site, appliance.guest
    with ExitStack() as stack:
        places = {host: (host, "eth0") for host in ("east", "west", "lan2")}
        built = Fibre(guest, Wires(site, stack, places))
        built.install()
        stack.callback(guest.check, "sh", "-c", dpdk.FORGET)
        guest.check("sh", "-c", dpdk.PREPARE)
        built.start_worker()
        built.start()
        stack.callback(guest.run, "gwctl", "detach", seconds=dpdk.SECONDS)
        yield built


@pytest.fixture
def fibre(box: Fibre) -> Fibre:
    """The worker has the ports, and every host is known to the kernel."""
    box.ready()
    return box


def netdevs(box: Fibre) -> dict[str, Netdev]:
    return {name: box.netdev(nic.device) for name, nic in TAKEN.items()}


def functions(box: Fibre) -> dict[str, Function]:
    return {name: box.function(nic) for name, nic in TAKEN.items()}


def returns(box: Fibre) -> None:
    """The kernel has its devices again, as they were, or soon has."""
    box.becomes(lambda: (functions(box), netdevs(box)), (KERNEL, NETDEVS))


def test_drivers_are_shown(box: Fibre) -> None:
    found = {one["address"]: one for one in box.ctl("show", "drivers")["devices"]}
    for name, driver, binding in (
        ("sfp0", "net_e1000_em", "vfio-pci"),
        ("sfp1", "net_virtio", "vfio-pci"),
        ("sfp2", "net_e1000_em", "uio_pci_generic"),
    ):
        shown = found[NICS[name].pci]
        assert shown["netdev"] == NICS[name].device
        assert shown["driver"] == driver
        assert shown["package"].startswith("librte-net-")
        assert shown["binding"] == binding


REFUSALS = {
    "nothing-there": (
        '{pci: "0000:00:1e.7", plane: dpdk}',
        2,
        "there is no PCI device 0000:00:1e.7",
    ),
    "no-device": ("{device: enp0s99, plane: dpdk}", 2, "there is no device enp0s99"),
    # SATA, behind the IOMMU as well: DPDK has no driver for it.
    "no-driver": ('{pci: "0000:00:1f.2", plane: dpdk}', 2, "no DPDK driver"),
    "default-route": ("{device: enp0s19, plane: dpdk}", 1, "the last default route of IPv4"),
    "taken": (f'{{pci: "{NICS["sfp0"].pci}", plane: dpdk}}', 2, "sfp0"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_had_is_refused(box: Fibre, case: str) -> None:
    """With the reason, and everything stays as it is."""
    port, code, reason = REFUSALS[case]
    text = configured(f"{PORTS}  sfp3: {port}\n")
    if "enp0s19" in port:
        # Without NAT44, whose outside port it is.
        text = f"version: 1\nports:\n  sfp3: {port}\n{dpdk.WORKER}"
    said = box.refusal(text, code=code)
    assert reason in said
    returns(box)
    assert box.hugepages() == 0


def test_a_tap_takes_the_place(box: Fibre) -> None:
    """With name, MAC address, addresses and routes; whoever had configured them."""
    returns(box)
    box.apply(configured(PORTS))
    assert all(box.is_tap(nic.device) for nic in TAKEN.values())
    box.becomes(lambda: netdevs(box), NETDEVS)
    assert functions(box) == WORKER
    assert box.hugepages() == dpdk.HUGEPAGES
    box.guest.check("gwctl", "plan", "--exit-code")


def test_the_gateway_itself(fibre: Fibre, appliance: Appliance) -> None:
    """Over the TAPs, in both directions."""
    for host, addresses in (("east", (SFP0.ip, SFP0_6)), ("west", (SFP1.ip, SFP_IPV6[SFP1]))):
        for address in addresses:
            with fibre.counts(PUNT_LOCAL=3, FROM_KERNEL=3):
                appliance.site.run(host, ["ping", "-c", "3", "-i", "0.2", "-W", "5", address])


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


def test_sleeps_when_nothing_comes(fibre: Fibre, appliance: Appliance) -> None:
    """virtio waits for interrupts; the e1000e's never come to DPDK, so it is looked at."""
    assert fibre.port("sfp1")["dpdk"]["rx_interrupts"]
    assert not fibre.port("sfp0")["dpdk"]["rx_interrupts"]
    used = fibre.busy()
    # Something that takes eight seconds, and is none of the worker's business.
    appliance.site.run("lan", ["ping", "-c", "9", "-i", "1", "-W", "5", INTERNET[0]])
    assert fibre.busy() - used < 4
    fibre.becomes(lambda: fibre.port("sfp1")["dpdk"]["sleeping"], True)


def test_xdp_forwards_beside(fibre: Fibre, appliance: Appliance) -> None:
    with fibre.forwards(packets=8):
        appliance.site.run("lan", ["ping", "-c", "5", "-i", "0.2", "-W", "5", INTERNET[0]])


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
    assert netdevs(fibre) == NETDEVS


def test_a_killed_worker_comes_back(fibre: Fibre) -> None:
    fibre.kill()
    fibre.becomes(fibre.serves, tuple(TAKEN))
    fibre.becomes(lambda: netdevs(fibre), NETDEVS)
    fibre.ready()
    got = fibre.send(from_east(datagram()), at="east", to="west")
    same(got, to_west(datagram(ttl=63)))


def test_three_crashes_are_enough(fibre: Fibre) -> None:
    """The kernel has the ports, and nobody takes them until the owner says so."""
    fibre.apply(configured(PORTS))  # it forgives those of other tests
    for _ in range(3):
        fibre.becomes(fibre.serves, tuple(TAKEN))
        fibre.kill()
    returns(fibre)
    fibre.start_worker()
    worker = fibre.worker()
    assert worker["state"] == "given back"
    assert "3 times" in worker["reason"]
    assert "3 times" in fibre.guest.run("gwctl", "status").stdout
    returns(fibre)
    fibre.apply(configured(PORTS))
    assert fibre.serves() == tuple(TAKEN)
    assert functions(fibre) == WORKER


def test_without_an_agent_the_unit_gives_back(fibre: Fibre) -> None:
    fibre.guest.check("systemctl", "stop", "gw-agent")
    try:
        fibre.guest.check("systemctl", "stop", "gw-worker", seconds=dpdk.SECONDS)
        returns(fibre)
        assert fibre.hugepages() == 0
    finally:
        fibre.start_worker()
        fibre.start()


def test_a_port_that_goes_is_given_back(fibre: Fibre) -> None:
    """Alone: the other one stays the worker's."""
    [_, other] = PORTS.splitlines(keepends=True)
    fibre.apply(configured(other))
    fibre.becomes(lambda: netdevs(fibre), NETDEVS)
    assert functions(fibre) == {"sfp0": KERNEL["sfp0"], "sfp1": WORKER["sfp1"]}


def test_without_an_iommu(fibre: Fibre) -> None:
    """The function whose host bridge the IOMMU does not cover, beside one that it does."""
    bare = NICS["sfp2"]
    before = fibre.function(bare)
    ports = PORTS.splitlines(keepends=True)[1] + f"  sfp2: {{device: {bare.device}, plane: dpdk}}\n"
    fibre.guest.check("sh", "-c", f"echo '{dpdk.BARE_BY_HAND}' | ip -batch -")
    fibre.apply(configured(ports))
    assert fibre.function(bare) == Function("uio_pci_generic", "uio_pci_generic")
    assert fibre.function(NICS["sfp1"]) == WORKER["sfp1"]
    fibre.reach(BARE.ip)
    fibre.reach(WEST.ip)
    got = fibre.send(from_west(datagram(WEST.ip, BARE.ip)), at="west", to="lan2")
    same(got, dpdk.to_bare(datagram(WEST.ip, BARE.ip, ttl=63)))
    fibre.apply(configured(PORTS))
    assert fibre.function(bare) == before
    assert str(BARE_PORT.network) in fibre.netdev(bare.device).addresses


def test_detach_gives_everything_back(fibre: Fibre) -> None:
    fibre.guest.check("gwctl", "detach", seconds=dpdk.SECONDS)
    returns(fibre)
    assert fibre.hugepages() == 0
    assert not fibre.guest.run("sh", "-c", "ls /run/systemd/network/*gw*").stdout
    fibre.reach(EAST.ip)
    fibre.reach(WEST6)
