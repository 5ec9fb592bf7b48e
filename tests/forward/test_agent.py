# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwarding does not depend on the agent's life: restarts and kills lose nothing."""

import pytest
from scapy.layers.inet import UDP

from tests.lib.gateway import Gateway
from tests.lib.packets import LAN, SERVER, WAN, from_lan, from_wan, same, to_lan, to_wan, udp
from tests.lib.programs import blob_digest, digest, downloading
from tests.lib.traffic import Wires

SIZE = 12_000_000
RATE = "8M"


def read_all(process: "object", first: int = 0) -> bytes:
    """What the download prints, from `first` bytes on until its end."""
    stdout = getattr(process, "stdout", None)
    assert stdout is not None
    return bytes(stdout.read(first) if first else stdout.read())


@pytest.mark.usefixtures("internet")
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_download_survives_the_agent(gateway: Gateway, end: str) -> None:
    """SIGTERM and SIGKILL in the middle of a transfer, and a new agent before its end."""
    with downloading(gateway.lab, "lan", f"http://{SERVER}/blob/{SIZE}", RATE) as download:
        got = read_all(download, 1_000_000)
        getattr(gateway.process, end)()
        got += read_all(download, 4_000_000)
        assert not gateway.process.running
        gateway.start()
        got += read_all(download)
        assert download.wait(10) == 0
    assert digest(got) == blob_digest(SIZE)


def test_sessions_survive_a_restart(wires: Wires, gateway: Gateway) -> None:
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    before = gateway.sessions()

    gateway.process.kill()
    without = wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan", to="lan")
    same(without, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))
    # New sessions, too: the slow path is in the data path.
    other = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4001, 53)), at="lan", to="wan")
    assert other["IP"].src == WAN.ip

    gateway.start()
    counts = gateway.counting()
    assert len(gateway.sessions()) == len(before) + 1
    again = wires.send_and_expect(first, at="lan", to="wan")
    assert again[UDP].sport == port
    counts.expect(FORWARD=1)


def test_counters_survive_a_restart(wires: Wires, gateway: Gateway) -> None:
    wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    before = gateway.counters()["FORWARD"]
    gateway.process.stop()
    gateway.start()
    assert gateway.counters()["FORWARD"] >= before > 0


@pytest.mark.parametrize("end", ["stop", "kill", "detach"])
def test_ready_means_forwarding(wires: Wires, gateway: Gateway, end: str) -> None:
    """Nobody has to wait for anything once systemd was told; also not where nothing was left that
    forwards. How long that takes is for the bench to say."""
    if end == "detach":
        gateway.ctl("detach")
    getattr(gateway.process, "kill" if end == "kill" else "stop")()
    gateway.process.start()

    assert gateway.call("status")["state"] == "forwarding"
    counts = gateway.counting()
    sent = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    received = wires.send_and_expect(sent, at="lan", to="wan")
    same(received, to_wan(udp(WAN.ip, SERVER, received[UDP].sport, 53, ttl=63)))
    counts.expect(FORWARD=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_a_second_agent_of_the_instance_is_refused(gateway: Gateway) -> None:
    from hybrid_gateway.lab import GatewayProcess
    from hybrid_gateway.lab.namespaces import LabError

    second = GatewayProcess(gateway.lab, gateway.config)
    second.log = gateway.lab.directory / "second.log"
    with pytest.raises(LabError, match="ended before it was ready"):
        second.start()
    assert gateway.call("status")["pid"] == gateway.process.pid


def test_status_tells_a_stopped_agent(gateway: Gateway) -> None:
    gateway.process.stop()
    status = gateway.ctl("status", check=False)
    assert status.returncode == 1
    assert "not" in status.stdout + status.stderr
    as_json = gateway.ctl("--json", "status", check=False)
    assert as_json.returncode == 1
    assert as_json.stdout.startswith("{")
