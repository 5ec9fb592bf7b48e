# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot or should not be taken is refused with the reason, and everything stays as it is."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hybrid_gateway.lab import EAST, SFP0, WEST, namespaces
from tests.lib.fibre import datagram, from_east, to_west
from tests.lib.packets import same
from tests.vm.dpdk.box import SECONDS, Fibre
from tests.vm.dpdk.setup import (
    HUGEPAGES,
    KERNEL,
    MEMORY,
    NETDEVS,
    NICS,
    PORTS,
    TAKEN,
    WORKER,
    configured,
)
from tests.vm.site import Site

pytestmark = pytest.mark.vm

SSH_PORT = 2222
"""The agent knows sshd's sockets, wherever it listens."""
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


def test_drivers_are_shown(free: Fibre) -> None:
    found = {one["address"]: one for one in free.ctl("show", "drivers")["devices"]}
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


def refused(free: Fibre, text: str, *reasons: str, code: int) -> None:
    said = free.refusal(text, code=code)
    for reason in reasons:
        assert reason in said
    free.returned()
    assert free.hugepages() == 0


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_had(free: Fibre, case: str) -> None:
    port, code, reason = REFUSALS[case]
    text = configured(f"{PORTS}  sfp3: {port}\n")
    if "enp0s19" in port:
        # Without NAT44, whose outside port it is.
        text = f"version: 1\nports:\n  sfp3: {port}\n{MEMORY}"
    refused(free, text, reason, code=code)


def test_interrupts_that_never_come(free: Fibre) -> None:
    """Of the two ports only the e1000e has none; neither is taken then."""
    wrong = PORTS.replace("plane: dpdk}", "plane: dpdk, polling: interrupt}", 1)
    reason = "its driver has no receive interrupts: polling has to be adaptive or busy"
    refused(free, configured(wrong), "sfp0", reason, code=1)


@contextmanager
def with_driver(free: Fibre, driver: str) -> Iterator[None]:
    """The function of sfp1, by somebody else's hand."""
    place = f"/sys/bus/pci/devices/{NICS['sfp1'].pci}"
    bind = f"""
    modprobe {driver}
    echo {driver} >{place}/driver_override
    echo {NICS["sfp1"].pci} >{place}/driver/unbind
    echo {NICS["sfp1"].pci} >/sys/bus/pci/drivers_probe
    """
    free.guest.check("sh", "-ec", bind)
    try:
        yield
    finally:
        free.guest.check(
            "sh",
            "-ec",
            bind.replace(f"{driver} >", f"{KERNEL['sfp1'].driver} >")
            + f"echo >{place}/driver_override",
        )
        free.returned()


def test_a_function_of_another_program(free: Fibre) -> None:
    """It is bound as for us, but we have not done that: whoever did has it, or had."""
    pci = NICS["sfp1"].pci
    with with_driver(free, "vfio-pci"):
        said = free.refusal(configured(f'  sfp1: {{pci: "{pci}", plane: dpdk}}\n'), code=2)
        assert f"{pci} is in use: it has the driver vfio-pci" in said
        assert free.function(NICS["sfp1"]) == WORKER["sfp1"]
        assert free.hugepages() == 0


def test_a_port_of_a_bond(free: Fibre) -> None:
    """A TAP could not take its place there."""
    device = NICS["sfp2"].device
    bond = f"""
    modprobe bonding max_bonds=0
    ip link add fibres type bond
    ip link set {device} down
    ip link set {device} master fibres
    """
    try:
        free.guest.check("sh", "-ec", bond)
        text = configured(f"  sfp2: {{device: {device}, plane: dpdk}}\n")
        refused(free, text, f"{device} is part of fibres (bond)", code=2)
    finally:
        free.guest.check("ip", "link", "delete", "fibres")


@contextmanager
def ssh_server(free: Fibre) -> Iterator[None]:
    script = f"""
    printf '%s\\n' 'LoginGraceTime 0' 'Port {SSH_PORT}' >/etc/ssh/sshd_config.d/gw-test.conf
    systemctl start ssh
    """
    free.guest.check("sh", "-ec", script, seconds=SECONDS)
    try:
        yield
    finally:
        free.guest.check("systemctl", "stop", "ssh", seconds=SECONDS)
        free.guest.check("rm", "/etc/ssh/sshd_config.d/gw-test.conf")


def test_the_port_of_an_ssh_session(free: Fibre, site: Site) -> None:
    """Whoever asks: it may be the owner's only way in. With --force it is taken, and the session
    goes on by the TAP."""
    with ssh_server(free):
        with namespaces.entered(site.namespace("east")):
            client = socket.create_connection((SFP0.ip, SSH_PORT), timeout=SECONDS)
        with client, client.makefile("rb") as said:
            banner = said.readline()
            assert banner.startswith(b"SSH-2.0-OpenSSH")
            reason = f"the SSH session from {EAST.ip} comes by {NICS['sfp0'].device}"
            refused(free, configured(PORTS), reason, "--force takes it all the same", code=1)

            free.apply(configured(PORTS), "--force")
            assert free.serves() == tuple(TAKEN)
            client.sendall(b"SSH-2.0-test\r\n")
            # Its offer of key exchanges: a length, that of its padding, and SSH_MSG_KEXINIT.
            assert said.read(6)[5] == 20


def test_too_little_memory(fibre: Fibre) -> None:
    """The ports stay with the worker that has enough, or are its again."""
    said = fibre.refusal(configured(PORTS, MEMORY.replace("256M", "16M")), code=1)
    assert "16 MB of hugepages are not enough" in said
    fibre.becomes(fibre.serves, tuple(TAKEN))
    fibre.becomes(fibre.netdevs, NETDEVS)
    assert fibre.functions() == WORKER
    assert fibre.hugepages() == HUGEPAGES
    for host in (EAST.ip, WEST.ip):
        fibre.reach(host)
    got = fibre.send(from_east(datagram()), at="east", to="west")
    same(got, to_west(datagram(ttl=63)))
