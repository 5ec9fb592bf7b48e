# SPDX-License-Identifier: GPL-2.0-or-later
"""What a gateway instance leaves in the kernel and in the file system."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.namespaces import run

SYSCTLS = (
    r"^net\.(ipv4\.(ip_|conf|neigh)|ipv6\.conf\.[^.]+\.(forwarding|accept_ra)$|netfilter|core)"
)
DEVICES = ("lan0", "lan1", "wan0", "br-lan")


@dataclass(frozen=True)
class Traces:
    """Equal before the agent starts and after `gwctl detach`."""

    pins: tuple[str, ...]
    nft: str
    sysctls: str
    filters: tuple[str, ...]
    xdp: tuple[bool, ...]
    offloads: tuple[str, ...]
    neighbours: str

    @staticmethod
    def of(lab: Lab, devices: tuple[str, ...] = DEVICES) -> "Traces":
        pins = Instance(lab.name).pin_dir
        return Traces(
            pins=tuple(str(path) for path in pins.rglob("*")) if pins.exists() else (),
            nft=lab.run("gw", ["nft", "-s", "list", "ruleset"]),
            sysctls=_sysctls(lab),
            filters=tuple(_filters(lab, device) for device in devices),
            xdp=tuple(has_xdp(lab, device) for device in devices),
            offloads=tuple(lab.run("gw", ["ethtool", "-k", device]) for device in devices),
            neighbours=_neighbours(lab),
        )


def _sysctls(lab: Lab) -> str:
    lines = lab.run("gw", ["sysctl", "-a", "-r", SYSCTLS]).splitlines(keepends=True)
    # The connections of this moment are no setting.
    return "".join(line for line in lines if "nf_conntrack_count" not in line)


def _neighbours(lab: Lab) -> str:
    """Those that do not go by themselves."""
    listed = lab.run("gw", ["ip", "neigh", "show"]).splitlines()
    return "\n".join(line for line in listed if "managed" in line or "PERMANENT" in line)


def _filters(lab: Lab, device: str) -> str:
    parts = [lab.run("gw", ["tc", "qdisc", "show", "dev", device])]
    for side in ("ingress", "egress"):
        parts.append(lab.run("gw", ["tc", "filter", "show", "dev", device, side], check=False))
    return "".join(parts)


def has_xdp(lab: Lab, device: str) -> bool:
    return "prog/xdp" in lab.run("gw", ["ip", "-d", "link", "show", device])


def held_by(pid: int) -> dict[str, set[int]]:
    """The ids of the BPF programs, maps and links that a process has open."""
    held: dict[str, set[int]] = {"prog": set(), "map": set(), "link": set()}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        for kind, number in re.findall(r"^(prog|map|link)_id:\t(\d+)$", entry.read_text(), re.M):
            held[kind].add(int(number))
    return held


def alive(kind: str) -> set[int]:
    """The ids of all programs, maps or links in the kernel, of whichever instance."""
    return {int(item["id"]) for item in json.loads(run(["bpftool", "-j", kind, "show"]) or "[]")}
