# SPDX-License-Identifier: GPL-2.0-or-later
"""What gwctl tells of a stretched segment and of its stations, asked of the real agent."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway.lab.places import program
from hybrid_gateway.lab.second import (
    ACCESS,
    ACCESS2,
    BRIDGE,
    LEFT,
    LEFT2,
    RIGHT,
    UPLINK,
    VNI,
    VXLAN,
    Underlay,
)
from tests.forward.sites import Sites
from tests.lib.gateway import eventually

HOSTS = "02:00:cb:00:71"
"""How the addresses of the hosts begin; the far gateway's own ports have spoken, too."""
STRANGER = "02:00:cb:00:72:01"
"""A station that never sends."""


def segments(sites: Sites, *which: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sites.agent.ctl_json("show", "vxlan", *which)["segments"]
    return found


def stations(sites: Sites, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sites.agent.ctl_json("show", "fdb", *options)["fdb"]
    return found


def count(sites: Sites, *options: str) -> int:
    return int(sites.agent.ctl_json("show", "fdb", "--count", *options)["count"])


@contextmanager
def undone(sites: Sites, do: str, undo: str) -> Iterator[None]:
    """Two commands in the gateway's namespace, around the block."""
    sites.lab.run("gw", do.split())
    try:
        yield
    finally:
        sites.lab.run("gw", undo.split())


def test_a_segment(sites: Sites) -> None:
    overhead = {Underlay.IPV4: 50, Underlay.IPV6: 70}[sites.underlay]

    assert segments(sites) == [
        {
            "device": VXLAN,
            "vni": VNI,
            "bridge": BRIDGE,
            "vlan": None,
            "family": {Underlay.IPV4: 4, Underlay.IPV6: 6}[sites.underlay],
            "local": [sites.underlay.near],
            "port": 4789,
            "external": False,
            "sources": "learned",
            "fragment": True,
            "mtu": 1500,
            "outer_mtu": 1500 + overhead,
            "underlay_mtu": 1500,
            "vteps": 1,
            "floods": 1,
            "macs_local": 2,
            "macs_remote": count(sites, "--port", VXLAN),
            "macs_kernel": 0,
            "forwards": "xdp",
            "reason": None,
            "flooded_by": "kernel",
            "flooded_reason": None,
        }
    ]
    head, line = sites.agent.ctl("show", "vxlan").stdout.splitlines()
    assert head.endswith("FORWARDED BY")
    assert line.split()[:3] == [VXLAN, str(VNI), BRIDGE]
    assert line.split()[-2:] == ["cut", "XDP"]


@pytest.mark.parametrize("name", [VXLAN, str(VNI)])
def test_one_segment_in_full(sites: Sites, name: str) -> None:
    answer = sites.agent.ctl_json("show", "vxlan", name)
    (vtep,) = answer["vteps"]
    assert vtep == {
        "device": VXLAN,
        "vni": VNI,
        "address": sites.underlay.far,
        "macs": count(sites, "--vtep", sites.underlay.far),
        "why": ["fdb", "flood"],
        "allowed": True,
        "xdp": True,
    }

    printed = sites.agent.ctl("show", "vxlan", name).stdout
    assert f"{VXLAN}: VNI {VNI} in {BRIDGE}\nforwarded by:  XDP\n" in printed
    assert f"flooded to:    {sites.underlay.far}\n" in printed
    assert "so the largest packets are cut\n" in printed


def test_what_is_not_there(sites: Sites) -> None:
    for arguments in (("vxlan", "vni9"), ("fdb", "--port", "vni9"), ("fdb", "--bridge", ACCESS)):
        done = sites.agent.ctl("show", *arguments, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("gwctl: ")
        assert done.stderr.count("\n") == 1


def test_a_device_of_the_kernel_alone(sites: Sites) -> None:
    made = f"ip link add vni9 type vxlan id 9 local {sites.underlay.near} dstport 4789"

    def told() -> list[tuple[str, str | None]]:
        return [(shown["forwards"], shown["reason"]) for shown in segments(sites)]

    with undone(sites, made, "ip link del vni9"):
        why = "it is not in the vxlan section of the configuration"
        eventually(lambda: told() == [("xdp", None), ("kernel", why)], "vni9 is told of")
        assert f"vni9: {why}" in sites.agent.ctl("show", "vxlan").stdout
    eventually(lambda: told() == [("xdp", None)], "vni9 is gone")


@pytest.mark.parametrize("device", [VXLAN, BRIDGE])
def test_a_device_that_is_down(sites: Sites, device: str) -> None:
    def told() -> Any:
        return segments(sites)[0]["reason"]

    with undone(sites, f"ip link set {device} down", f"ip link set {device} up"):
        eventually(lambda: told() == f"{device} is down", "the reason is told")
        assert "1 of them" not in sites.agent.ctl("status").stdout
    eventually(lambda: told() is None, "XDP forwards again")


def test_stations(sites: Sites) -> None:
    found = {station["mac"]: station for station in stations(sites, "--mac", HOSTS)}

    assert set(found) == {LEFT.mac, LEFT2.mac, RIGHT.mac}
    for station in found.values():
        assert station["bridge"] == BRIDGE
        assert station["state"] == "learned"
        assert station["xdp"] is True
        assert station["seen"] is not None
        assert station["used"] is None
    assert found[LEFT.mac]["port"] == ACCESS
    assert found[LEFT.mac]["vtep"] is found[LEFT.mac]["vni"] is None
    remote = found[RIGHT.mac]
    assert (remote["port"], remote["vtep"], remote["vni"]) == (VXLAN, sites.underlay.far, VNI)

    printed = sites.agent.ctl("show", "fdb", "--mac", RIGHT.mac).stdout
    assert f"  {sites.underlay.far} by {VXLAN}  learned  " in printed
    assert " s ago  -\n" in printed


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--bridge", BRIDGE, "--mac", HOSTS), {LEFT, LEFT2, RIGHT}),
        (("--port", ACCESS), {LEFT}),
        (("--port", VXLAN, "--mac", HOSTS), {RIGHT}),
        (("--mac", LEFT2.mac.upper()), {LEFT2}),
        (("--mac", "02:00:cb"), {LEFT, LEFT2, RIGHT}),
        (("--mac", "02:00:cc"), set()),
        (("--vni", str(VNI), "--mac", HOSTS), {RIGHT}),
        (("--vni", "9"), set()),
        (("--vlan", "10"), set()),
        (("--state", "static"), set()),
        (("--bridge", BRIDGE, "--port", ACCESS, "--state", "learned"), {LEFT}),
    ],
)
def test_stations_that_are_asked_for(
    sites: Sites, options: tuple[str, ...], wanted: set[Any]
) -> None:
    assert {station["mac"] for station in stations(sites, *options)} == {h.mac for h in wanted}
    assert count(sites, *options) == len(wanted)


def test_stations_behind_a_vtep(sites: Sites) -> None:
    (station,) = stations(sites, "--vtep", sites.underlay.far, "--mac", HOSTS)
    assert station["mac"] == RIGHT.mac
    assert not stations(sites, "--vtep", "192.0.2.99")


@pytest.mark.parametrize("kind", ["static", "extern_learn"])
def test_stations_that_others_put_there(sites: Sites, kind: str) -> None:
    """It is where the device floods to, if that is one VTEP."""
    asked = ("--mac", STRANGER)
    entry = f"{STRANGER} dev {VXLAN} master"

    def told() -> list[tuple[Any, ...]]:
        found = stations(sites, *asked)
        return [(station["state"], station["vtep"], station["xdp"]) for station in found]

    with undone(sites, f"bridge fdb add {entry} {kind}", f"bridge fdb del {entry}"):
        state, far = kind.partition("_")[0], sites.underlay.far
        eventually(lambda: told() == [(state, far, True)], "the station is told of")
        other = {Underlay.IPV4: "192.0.2.99", Underlay.IPV6: "2001:db8:1::99"}[sites.underlay]
        flood = f"00:00:00:00:00:00 dev {VXLAN} dst {other}"
        with undone(sites, f"bridge fdb append {flood}", f"bridge fdb del {flood}"):
            eventually(lambda: told() == [(state, None, False)], "only the kernel reaches it")
            assert f"{VXLAN} (kernel)  {state}" in sites.agent.ctl("show", "fdb", *asked).stdout
            assert segments(sites)[0]["macs_kernel"] == 1
            known = f"{STRANGER} dev {VXLAN} dst {other} self"
            with undone(sites, f"bridge fdb add {known}", f"bridge fdb del {known}"):
                eventually(lambda: told() == [(state, other, True)], "XDP has a way")
        assert stations(sites, *asked)[0]["seen"] is None
    eventually(lambda: told() == [], "the station is gone")


def test_addresses_that_the_bridge_answers_for(sites: Sites) -> None:
    entry = f"{RIGHT.ip} dev {BRIDGE} lladdr {RIGHT.mac}"

    def addresses() -> Any:
        return stations(sites, "--mac", RIGHT.mac)[0]["addresses"]

    with undone(sites, f"ip neigh add {entry} nud permanent", f"ip neigh del {entry}"):
        eventually(lambda: addresses() == [RIGHT.ip], "the neighbour is told of")
        assert f"  {RIGHT.ip}\n" in sites.agent.ctl("show", "fdb").stdout
    eventually(lambda: addresses() == [], "the neighbour is gone")


def test_page_after_page(sites: Sites, tmp_path: Path) -> None:
    macs = {f"02:00:cd:00:{number >> 8:02x}:{number & 255:02x}" for number in range(2500)}
    for verb in ("add", "del"):
        lines = (f"fdb {verb} {mac} dev {ACCESS} master static\n" for mac in sorted(macs))
        (tmp_path / verb).write_text("".join(lines))

    sites.lab.run("gw", ["bridge", "-batch", str(tmp_path / "add")])
    try:
        eventually(lambda: count(sites, "--state", "static") == len(macs), "all are told of")
        every = stations(sites, "--state", "static", "--all")
        assert len(every) == len(macs)
        assert {station["mac"] for station in every} == macs

        page = sites.agent.ctl_json("show", "fdb", "--state", "static", "--limit", "10")
        more = f"there are more: --all, or --cursor {page['next']}"
        assert more in sites.agent.ctl("show", "fdb", "--state", "static", "--limit", "10").stdout
        rest = stations(sites, "--state", "static", "--cursor", str(page["next"]), "--all")
        assert {s["mac"] for s in (*page["fdb"], *rest)} == macs
        assert len(page["fdb"]) + len(rest) == len(macs)
    finally:
        sites.lab.run("gw", ["bridge", "-batch", str(tmp_path / "del")])
    eventually(lambda: count(sites, "--state", "static") == 0, "all are gone")


def test_ports_and_status(sites: Sites) -> None:
    ports = {port["device"]: port for port in sites.agent.ctl_json("show", "ports")["ports"]}
    bridged = {name for name, port in ports.items() if port["bridged"]}
    assert (bridged, ports[ACCESS]["l3_device"]) == ({ACCESS, ACCESS2}, BRIDGE)
    assert {name for name, port in ports.items() if port["underlay"]} == {UPLINK}
    assert {port["role"] for port in ports.values()} == {None}

    status = sites.agent.ctl_json("status")
    assert status["state"] == "forwarding"
    assert status["vxlan"] == {
        "segments": 1,
        "by_xdp": 1,
        "by_worker": 0,
        "forwarded": 1,
        "stations": count(sites),
        "stations_limit": 131072,
        "vteps": 1,
    }
    printed = sites.agent.ctl("status").stdout
    assert f"\nVXLAN: 1 segment, 1 VTEP\nstations: {count(sites)} of 131 072 (0.0%)\n" in printed
    assert "sessions" not in printed


def test_counters_in_words(sites: Sites) -> None:
    printed = sites.agent.ctl("show", "counters").stdout
    assert "bridged to a port or a VTEP" in printed
    assert "a frame was put into VXLAN" in printed


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("show vxlan ", [VXLAN, str(VNI)]),
        ("show fdb --bridge ", [BRIDGE]),
        ("show fdb --port s", [ACCESS, ACCESS2]),
    ],
)
def test_the_tab_key(sites: Sites, words: str, offered: list[str]) -> None:
    line = f"gwctl --instance {sites.lab.name} {words}"
    environment = os.environ | {
        "_GWCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    done = subprocess.run(
        [str(program("gwctl"))], env=environment, capture_output=True, text=True, check=True
    )
    assert [found.partition(",")[2] for found in done.stdout.split()] == offered
