# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent must not touch or load is named, refused and left alone."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from hybrid_gateway.lab import GatewayProcess, Lab
from hybrid_gateway.lab.namespaces import LabError
from hybrid_gateway.lab.places import program
from tests.lib.traces import has_xdp

CHECKOUT = Path(__file__).resolve().parents[2]
OBJECTS = CHECKOUT / "build" / "bpf"


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """A copy of the BPF objects, to be damaged."""
    copy = tmp_path / "bpf"
    shutil.copytree(OBJECTS, copy)
    return copy


@pytest.fixture
def foreign(fresh_lab: Lab, foreign_object: Path) -> Iterator[int]:
    """Somebody else's XDP program on wan0; its id."""
    load = ["xdp", "object", str(foreign_object), "section", "xdp"]
    fresh_lab.run("gw", ["ip", "link", "set", "dev", "wan0", *load])
    yield xdp_id(fresh_lab)
    fresh_lab.run("gw", ["ip", "link", "set", "dev", "wan0", "xdp", "off"])


def xdp_id(lab: Lab) -> int:
    shown = lab.run("gw", ["ip", "-d", "link", "show", "wan0"])
    found = re.search(r"prog/xdp id (\d+)", shown)
    assert found, shown
    return int(found[1])


def refused(lab: Lab, env: dict[str, str] | None = None) -> str:
    """Start the agent, which must end by itself before it is ready; what it said."""
    process = GatewayProcess(lab, env=env)
    with pytest.raises(LabError, match="ended before it was ready"):
        process.start()
    said = process.log_end(40)
    assert "Traceback" not in said
    return said


def test_a_foreign_xdp_program(fresh_lab: Lab, foreign: int) -> None:
    said = refused(fresh_lab)
    assert f"wan0: another XDP program (foreign, id {foreign}, " in said
    assert "is left alone" in said
    assert xdp_id(fresh_lab) == foreign
    # Half a gateway would forward without its outside port.
    assert not has_xdp(fresh_lab, "lan0")


def test_a_program_of_ours_whose_pins_are_hidden(fresh_lab: Lab) -> None:
    """As in `ip netns exec`, which mounts a /sys of its own."""
    process = GatewayProcess(fresh_lab)
    process.start()
    process.kill()
    hidden = ["unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/bpf; exec "$@"', "sh"]
    argv = [str(program("gw-agent")), "--instance", fresh_lab.name, "--config"]
    refused = subprocess.run(
        fresh_lab.argv("gw", [*hidden, *argv, str(fresh_lab.config)]),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert refused.returncode == 1
    assert "another XDP program (gw_xdp, id " in refused.stderr
    assert "pins that are not visible here" in refused.stderr


@pytest.mark.parametrize("name", ["gw_xdp.bpf.o", "gw_guard.bpf.o"])
def test_a_truncated_object(fresh_lab: Lab, objects: Path, name: str) -> None:
    damaged = objects / name
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    assert name in refused(fresh_lab, {"GW_BPF_DIR": str(objects)})
    assert not has_xdp(fresh_lab, "wan0")


@pytest.mark.parametrize("name", ["gw_xdp.bpf.o", "gw_guard.bpf.o"])
def test_a_wrong_abi_version(fresh_lab: Lab, objects: Path, name: str) -> None:
    damaged = objects / name
    with damaged.open("r+b") as file:
        elf = ELFFile(file)
        symbol = elf.get_section_by_name(".symtab").get_symbol_by_name("gw_abi_version")[0]
        section = elf.get_section(symbol["st_shndx"])
        file.seek(section["sh_offset"] + symbol["st_value"])
        file.write((4711).to_bytes(4, "little"))
    said = refused(fresh_lab, {"GW_BPF_DIR": str(objects)})
    assert name in said
    assert "4711" in said
    assert not has_xdp(fresh_lab, "wan0")


def test_an_object_that_is_missing(fresh_lab: Lab, objects: Path) -> None:
    (objects / "gw_guard.bpf.o").unlink()
    assert "gw_guard.bpf.o" in refused(fresh_lab, {"GW_BPF_DIR": str(objects)})


def test_an_object_that_is_something_else(fresh_lab: Lab, objects: Path) -> None:
    (objects / "gw_xdp.bpf.o").write_text("#!/bin/sh\n")
    assert "gw_xdp.bpf.o" in refused(fresh_lab, {"GW_BPF_DIR": str(objects)})
