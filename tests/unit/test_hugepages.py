# SPDX-License-Identifier: GPL-2.0-or-later
"""Hugepages: as many as are missing, exactly those given back; and networkd's files for TAPs."""

from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway.devices import hugepages, networkd
from hybrid_gateway.devices.hugepages import PAGE, Hugepages
from hybrid_gateway.devices.record import Record
from hybrid_gateway.errors import DeviceError

POOL = "hugepages/hugepages-2048kB"


class Kernel:
    """Pools of hugepages that grow as far as `room` allows."""

    def __init__(self, root: Path, nodes: int, total: int, used: int, room: int) -> None:
        self.root = root
        self.room = room
        names = [f"devices/system/node/node{node}/{POOL}" for node in range(nodes)]
        self.pools = [root / name for name in names] or [root / "kernel" / "mm" / POOL]
        for pool in {*self.pools, root / "kernel" / "mm" / POOL}:
            pool.mkdir(parents=True)
            (pool / "nr_hugepages").write_text(f"{total}\n")
            (pool / "free_hugepages").write_text(f"{total - used}\n")
            (pool / "resv_hugepages").write_text("0\n")

    def write(self, path: Path, count: int) -> None:
        before = int(path.read_text())
        more = min(count - before, self.room)
        free = path.with_name("free_hugepages")
        path.write_text(f"{before + more}\n")
        free.write_text(f"{int(free.read_text()) + more}\n")

    def total(self) -> list[int]:
        return [int((pool / "nr_hugepages").read_text()) for pool in self.pools]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(nodes: int = 1, total: int = 0, used: int = 0, room: int = 1000) -> Any:
        kernel = Kernel(tmp_path / "sys", nodes, total, used, room)
        monkeypatch.setattr(hugepages, "_write", kernel.write)
        return kernel, Hugepages(tmp_path / "run" / "taken.json", tmp_path / "sys")

    return make


@pytest.mark.parametrize(
    ("total", "used", "wanted", "after"),
    [(0, 0, 128, 128), (100, 0, 128, 128), (100, 90, 128, 218), (300, 0, 128, 300)],
)
def test_what_is_missing_is_added(
    made: Any, total: int, used: int, wanted: int, after: int
) -> None:
    kernel, pages = made(total=total, used=used)
    pages.reserve(wanted * PAGE)
    assert kernel.total() == [after]
    assert pages.status().reserved == (after - total) * PAGE
    pages.release()
    assert kernel.total() == [total]
    assert pages.status().reserved == 0
    pages.release()
    assert kernel.total() == [total]


def test_nodes_share_it(made: Any) -> None:
    kernel, pages = made(nodes=2)
    pages.reserve(129 * PAGE)
    assert kernel.total() == [65, 64]
    pages.release()
    assert kernel.total() == [0, 0]


def test_fewer_than_the_minimum(made: Any) -> None:
    """Memory is in pieces: it is said, and what was had is given back."""
    kernel, pages = made(total=8, room=40)
    with pytest.raises(DeviceError, match="96 MB of hugepages are free or could be had, and 256"):
        pages.reserve(256 << 20)
    assert kernel.total() == [8]
    assert pages.status().reserved == 0


def test_fewer_than_wanted(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    kernel, pages = made(room=100)
    assert pages.reserve(256 << 20, minimum=190 << 20) == 200 << 20
    assert "200 MB of hugepages instead of 256" in caplog.text
    assert kernel.total() == [100]


def test_what_others_add_stays_theirs(made: Any) -> None:
    kernel, pages = made()
    pages.reserve(10 * PAGE)
    kernel.write(kernel.pools[0] / "nr_hugepages", 15)
    pages.release()
    assert kernel.total() == [5]


@pytest.mark.parametrize("when", [0, 1, 2])
def test_killed_while_it_reserves(made: Any, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """Before it is written down, between that and the kernel's doing, and after."""
    kernel, pages = made(total=7, used=7)
    saved = Record.save
    calls = 0

    def save(*arguments: Any) -> None:
        nonlocal calls
        if calls == when:
            raise KeyboardInterrupt
        calls += 1
        saved(*arguments)
        if when == 2 and calls == 1:
            monkeypatch.setattr(hugepages, "_write", lambda *_: (_ for _ in ()).throw(SystemExit))

    monkeypatch.setattr(Record, "save", save)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pages.reserve(5 * PAGE)
    monkeypatch.setattr(Record, "save", saved)
    monkeypatch.setattr(hugepages, "_write", kernel.write)
    pages.release()
    assert kernel.total() == [7]


@pytest.mark.parametrize("when", [0, 1, 2])
def test_killed_while_it_releases(made: Any, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """Whoever goes on takes nothing of what the host had before."""
    kernel, pages = made(total=7, used=7)
    pages.reserve(5 * PAGE)
    saved, calls = Record.save, 0

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    def save(*arguments: Any) -> None:
        nonlocal calls
        if calls == when:
            raise KeyboardInterrupt
        calls += 1
        saved(*arguments)
        if when == 2:
            monkeypatch.setattr(hugepages, "_write", killed)

    monkeypatch.setattr(Record, "save", save)
    with pytest.raises(KeyboardInterrupt):
        pages.release()
    monkeypatch.setattr(Record, "save", saved)
    monkeypatch.setattr(hugepages, "_write", kernel.write)
    pages.release()
    assert kernel.total() == [7]
    assert pages.status().reserved == 0


def test_a_kernel_without_hugepages(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no hugepages of 2 MB"):
        Hugepages(tmp_path / "run" / "taken.json", tmp_path).reserve(PAGE)


# ---- networkd -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("[Match]\nName=enp0s18\n\n[Network]\nAddress=192.0.2.1/24\n", ""),
        ("[Match]\nName=en*\nType=ether\n", ""),
        (
            "[Match]\nPermanentMACAddress=02:00:c6:12:01:01\n\n[Network]\nDHCP=ipv4\n",
            "[Match]\nPermanentMACAddress=\nMACAddress=02:00:c6:12:01:01\nType=ether\n",
        ),
        (
            "[Match]\n# netplan's\nPermanentMACAddress=02:00:00:00:00:01\nName=sfp0\n"
            "Driver = igb\n[Network]\nDriver=none\n",
            "[Match]\nDriver=\nPermanentMACAddress=\nMACAddress=02:00:00:00:00:01\nType=ether\n",
        ),
        (
            "[Match]\nPermanentMACAddress=02:00:00:00:00:01\nPermanentMACAddress="
            "02:00:00:00:00:02\nType=ether wlan\n",
            "[Match]\nPermanentMACAddress=\nMACAddress=02:00:00:00:00:01 02:00:00:00:00:02\n",
        ),
        ("[Match]\nPath=pci-0000:04:00.0\n", ""),
        ("", ""),
    ],
)
def test_what_makes_a_network_file_match_a_tap(network: str, said: str) -> None:
    kept = [line for line in networkd.dropin(network).splitlines() if line]
    assert sorted(kept) == sorted(line for line in said.splitlines() if line)


def test_before_networkd_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At boot: the file that will be the device's, by its permanent MAC address."""
    etc, run = tmp_path / "etc", tmp_path / "run" / "network"
    for folder, name, mac in (
        (run, "05-hidden", "02:00:00:00:00:01"),
        (run, "10-netplan-sfp0", "02:00:00:00:00:01"),
        (run, "20-later", "02:00:00:00:00:01"),
        (run, "10-netplan-sfp1", "02-00-00-00-00-03 02-00-00-00-00-02"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.network").write_text(f"[Match]\nPermanentMACAddress={mac}\n")
    etc.mkdir()
    (etc / "05-hidden.network").write_bytes(b"# B\xfcro, not UTF-8\n[Match]\nName=sfp0\n")
    monkeypatch.setattr(networkd, "RUN", tmp_path / "run")
    monkeypatch.setattr(networkd, "FOLDERS", (etc, run))
    monkeypatch.setattr(networkd, "is_here", lambda: True)

    assert networkd.network_file(7, "02:00:00:00:00:01") == run / "10-netplan-sfp0.network"
    assert networkd.network_file(7, "02:00:00:00:00:02") == run / "10-netplan-sfp1.network"
    assert networkd.network_file(7, "02:00:00:00:00:04") is None
    link = tmp_path / "run" / "netif" / "links" / "7"
    link.parent.mkdir(parents=True)
    link.write_text(f"NETWORK_FILE={run}/20-later.network\n")
    assert networkd.network_file(7, "02:00:00:00:00:01") == run / "20-later.network"


def test_files_of_a_tap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networkd, "RUN", tmp_path)
    monkeypatch.setattr(networkd, "is_here", lambda: True)
    monkeypatch.setattr(networkd, "_reload", lambda: None)
    folder = tmp_path / "network"
    networkd.announce("sfp0", wire="sfp0-wire", file="10-netplan-sfp.network", text="[Match]\n")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {
        "00-gw-sfp0.link",
        "00-gw-sfp0.network",
        "10-netplan-sfp.network.d/gw-sfp0.conf",
    }
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in folder.rglob("*.*o*k"))
    assert "Name=sfp0-wire\n" in (folder / "00-gw-sfp0.network").read_text()
    networkd.announce("sfp1")
    networkd.forget("sfp0")
    networkd.forget("sfp0")
    assert [path.name for path in folder.iterdir()] == ["00-gw-sfp1.link"]


def test_files_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full or read-only /run is no reason to take a port by halves, or not to give it back."""
    monkeypatch.setattr(networkd, "RUN", tmp_path)
    monkeypatch.setattr(networkd, "is_here", lambda: True)
    monkeypatch.setattr(networkd, "_reload", lambda: None)
    (tmp_path / "network" / "00-gw-sfp0.link").mkdir(parents=True)
    (tmp_path / "network" / "10-sfp.network.d").write_text("")

    networkd.announce("sfp0", wire="sfp0-wire", file="10-sfp.network", text="[Match]\n")
    networkd.forget("sfp0")

    assert "00-gw-sfp0.link: Is a directory" in caplog.text
    assert "gw-sfp0.conf" in caplog.text
    assert not (tmp_path / "network" / "00-gw-sfp0.network").exists()
