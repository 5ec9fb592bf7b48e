# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions over a reboot: saved at the end, restored before anything new can take their place.

A reboot takes away what is pinned and attached; the file stays.
"""

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP

from tests.lib.gateway import Gateway, eventually, nat44
from tests.lib.packets import LAN, LAN2, SERVER, WAN, from_lan, from_wan, same, tcp, to_lan, udp
from tests.lib.traffic import Wires

pytestmark = pytest.mark.usefixtures("leak_watch")

PERSIST = nat44("persist: true")


@dataclass(frozen=True)
class Opened:
    """The outside ports of a UDP and an established TCP session."""

    udp: int
    tcp: int


@pytest.fixture
def opened(gateway: Gateway, wires: Wires) -> Iterator[Opened]:
    gateway.apply(PERSIST)
    first = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    syn = from_lan(tcp(LAN2.ip, SERVER, 4000, 80), LAN2)
    port = wires.send_and_expect(syn, at="lan2", to="wan")[TCP].sport
    answer = from_wan(tcp(SERVER, WAN.ip, 80, port, "SA"))
    wires.send_and_expect(answer, at="wan", to="lan2")
    wires.send_and_expect(from_lan(tcp(LAN2.ip, SERVER, 4000, 80, "A"), LAN2), at="lan2", to="wan")
    yield Opened(first[UDP].sport, port)
    if not gateway.process.running:
        gateway.config.write_text(PERSIST)
        gateway.start()
    gateway.ready()
    assert not file_of(gateway).exists()


def file_of(gateway: Gateway) -> Path:
    return gateway.instance.sessions_file


def go_on(wires: Wires, opened: Opened) -> None:
    """As if nothing had been, from outside and from inside."""
    back = from_wan(udp(SERVER, WAN.ip, 53, opened.udp))
    got = wires.send_and_expect(back, at="wan", to="lan")
    same(got, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))
    middle = from_lan(tcp(LAN2.ip, SERVER, 4000, 80, "A"), LAN2)
    assert wires.send_and_expect(middle, at="lan2", to="wan")[TCP].sport == opened.tcp


def switch_off(gateway: Gateway) -> None:
    """A reboot as far as it concerns the agent's things; the clock of the kernel goes on."""
    gateway.process.stop()
    shutil.rmtree(gateway.instance.pin_dir)
    eventually(lambda: " xdp" not in gateway.lab.run("gw", ["ip", "link"]), "XDP is gone")


@contextmanager
def addressless(gateway: Gateway) -> Iterator[None]:
    """The outside device has no address meanwhile, as before a DHCP client asks for one."""
    run = gateway.lab.run
    run("gw", ["ip", "address", "flush", "dev", WAN.device])
    try:
        yield
    finally:
        run("gw", ["ip", "address", "replace", str(WAN.network), "dev", WAN.device])
        run("gw", ["ip", "route", "replace", "default", "via", "203.0.113.1"])


def test_a_reboot(gateway: Gateway, wires: Wires, opened: Opened) -> None:
    before = {s["outside"][1]: s["state"] for s in gateway.sessions()}
    switch_off(gateway)
    assert stat.S_IMODE(file_of(gateway).stat().st_mode) == 0o600

    gateway.start()
    assert {s["outside"][1]: s["state"] for s in gateway.sessions()} == before
    assert before == {opened.udp: "active", opened.tcp: "established"}
    assert "2 sessions restored" in gateway.call("status")["warnings"]
    go_on(wires, opened)


def test_a_reboot_with_another_size(gateway: Gateway, wires: Wires, opened: Opened) -> None:
    switch_off(gateway)
    gateway.config.write_text(nat44("persist: true", "sessions: 1024"))
    gateway.start()
    go_on(wires, opened)


def test_the_address_comes_late(gateway: Gateway, wires: Wires, opened: Opened) -> None:
    """The sessions wait for it on disk, over another end of the agent; nothing is opened before
    they are there."""
    switch_off(gateway)
    saved = file_of(gateway).read_bytes()
    with addressless(gateway):
        for end in ("stop", "kill"):
            gateway.start()
            assert gateway.sessions() == []
            getattr(gateway.process, end)()
            assert file_of(gateway).read_bytes() == saved
        gateway.start()
    eventually(lambda: len(gateway.sessions()) == 2, "both sessions are back")
    assert "2 sessions restored" in gateway.call("status")["warnings"]
    go_on(wires, opened)


def test_another_address(gateway: Gateway, opened: Opened) -> None:
    """Sessions of one that is not ours any more are not restored, and it is told."""
    assert opened
    switch_off(gateway)
    with addressless(gateway):
        gateway.lab.run("gw", ["ip", "address", "add", "203.0.113.77/24", "dev", WAN.device])
        gateway.start()
        assert gateway.sessions() == []
        (note,) = [w for w in gateway.call("status")["warnings"] if "not restored" in w]
        assert note == "2 sessions not restored: their outside address is not ours any more"
        gateway.lab.run("gw", ["ip", "address", "flush", "dev", WAN.device])


def test_a_damaged_file(gateway: Gateway, opened: Opened) -> None:
    assert opened
    switch_off(gateway)
    file = file_of(gateway)
    file.write_bytes(file.read_bytes()[:-5])
    gateway.start()

    status = gateway.call("status")
    assert status["state"] == "forwarding"
    (note,) = [w for w in status["warnings"] if "not restored" in w]
    assert str(file) in note
    assert file.with_name("sessions.bad").exists()
    assert not file.exists()


def test_a_live_session_knows_better(gateway: Gateway, wires: Wires, opened: Opened) -> None:
    """Of a killed agent whose pins are there, not the file counts."""
    gateway.process.stop()
    gateway.start()
    cleared = gateway.call("clear.sessions")["cleared"]
    assert cleared == 2
    gateway.process.kill()
    gateway.start()
    assert gateway.sessions() == []
    assert opened
    assert wires


@pytest.mark.parametrize("how", ["detach", "persist: false"])
def test_nothing_is_left_of_it(gateway: Gateway, opened: Opened, how: str) -> None:
    gateway.process.stop()
    gateway.start()
    assert file_of(gateway).exists()
    if how == "detach":
        gateway.ctl("detach", "--stay")
        assert not file_of(gateway).exists()
        gateway.process.stop()
    else:
        gateway.apply(nat44("persist: false"))
    assert not file_of(gateway).exists()
    assert opened
