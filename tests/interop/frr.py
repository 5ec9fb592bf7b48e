# SPDX-License-Identifier: GPL-2.0-or-later
"""FRR at a site of the lab, started by hand: Debian's own, and one of a later release."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_gateway.lab import Lab, namespaces
from hybrid_gateway.lab.sites import ASN, Family, Site
from tests.lib.chroot import FILES, Tree, beside, entering
from tests.lib.gateway import eventually

START_SECONDS = 20.0
RUN = "/run/frr"


@dataclass(frozen=True, slots=True)
class Release:
    """Where its programs are, and which have to run. The first one is started first."""

    daemons: tuple[str, ...]
    tree: Tree | None = None

    @property
    def root(self) -> Path:
        return self.tree.made() if self.tree else Path("/")


BOOKWORM = Release(("zebra", "bgpd"))
"""8.4: EVPN with VTEPs of IPv4; it ends the session with whoever has one of IPv6."""
FORKY = Release(("mgmtd", "zebra", "bgpd"), Tree("frr", ("frr", "iproute2")))
"""10.7, the first one in Debian whose EVPN has VTEPs of IPv6."""


def configuration(site: Site, peers: Sequence[Site], family: Family, *lines: str) -> str:
    """iBGP with the others, for all VNIs that the site has."""
    text = [f"router bgp {ASN}", f" bgp router-id {site.router_id}"]
    text.append(" no bgp default ipv4-unicast")
    for peer in peers:
        address = peer.vtep(family)
        text += [
            f" neighbor {address} remote-as {ASN}",
            f" neighbor {address} timers 1 3",
            f" neighbor {address} timers connect 1",
        ]
    text.append(" address-family l2vpn evpn")
    text += [f"  neighbor {peer.vtep(family)} activate" for peer in peers]
    text += ["  advertise-all-vni", *(f"  {line}" for line in lines), " exit-address-family"]
    return "\n".join(text) + "\n"


class Frr:
    """Its daemons in the namespace of a site's gateway, with /run and a configuration of their
    own; `stack` ends them."""

    def __init__(self, release: Release, lab: Lab, site: Site, directory: Path) -> None:
        self.site = site
        self._release = release
        self._network = namespaces.path(lab.namespace(site.gateway))
        self._directory = directory
        self._first: subprocess.Popen[bytes]

    def start(self, text: str, stack: ExitStack) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "frr.conf").write_text(text)
        (self._directory / "vtysh.conf").touch()
        first, *others = self._release.daemons
        prepare = f"install -d -o frr -g frr {RUN} && exec {' '.join(_daemon(first))}"
        argv = ["sh", "-c", prepare]
        root = self._release.root
        self._first = self._spawn(
            entering(root, self._directory, argv, network=self._network), first, stack
        )
        eventually(lambda: self._answers(first), f"{first} runs", START_SECONDS)
        for daemon in others:
            self._spawn(beside(self._first.pid, _daemon(daemon)), daemon, stack)
        for daemon in others:
            eventually(lambda daemon=daemon: self._answers(daemon), "it runs", START_SECONDS)  # type: ignore[misc]
        self.vtysh("--config_dir", FILES, "-b")

    def show(self, what: str) -> Any:
        """What `show … json` says; an empty table is nothing at all."""
        return json.loads(self.vtysh("-c", f"show {what} json") or "{}")

    def tell(self, *lines: str) -> None:
        """Configuration, line by line."""
        words = [word for line in ("configure terminal", *lines) for word in ("-c", line)]
        self.vtysh(*words)

    def vtysh(self, *words: str) -> str:
        done = self._vtysh(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def established(self, address: str) -> bool:
        """Whether the session with that neighbour stands."""
        peers = self.show("bgp l2vpn evpn summary").get("peers", {})
        return bool(peers.get(address, {}).get("state") == "Established")

    def stations(self, vni: int) -> dict[str, str]:
        """VTEP by MAC address, or the port of a local one."""
        told = self.show(f"evpn mac vni {vni}").get("macs", {})
        return {mac: str(one.get("remoteVtep") or one.get("intf", "")) for mac, one in told.items()}

    def _answers(self, daemon: str) -> bool:
        assert self._first.poll() is None, self.log
        return self._vtysh("-d", daemon, "-c", "show version").returncode == 0

    def _vtysh(self, *words: str) -> "subprocess.CompletedProcess[str]":
        argv = beside(self._first.pid, ["vtysh", *words])
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)

    def _spawn(
        self, argv: Sequence[str], daemon: str, stack: ExitStack
    ) -> "subprocess.Popen[bytes]":
        with (self._directory / f"{daemon}.log").open("wb") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    @property
    def log(self) -> str:
        files = sorted(self._directory.glob("*.log"))
        return "\n".join(file.read_text(errors="replace")[-1000:] for file in files)


def _daemon(name: str) -> list[str]:
    """Without a TCP port for its terminal."""
    return [f"/usr/lib/frr/{name}", "-P", "0", "--log", "stdout", "--log-level", "warning"]
