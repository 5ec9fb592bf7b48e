# SPDX-License-Identifier: GPL-2.0-or-later
"""Where everything of one gateway instance lives.

Two gateways share a host by having two names; nothing else may be shared.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

DEFAULT_INSTANCE = "main"
DEFAULT_CONFIG = Path("/etc/gw/gateway.yaml")
RUN_DIR = Path("/run/gw")
STATE_DIR = Path("/var/lib/gw")
BPFFS = Path("/sys/fs/bpf")
INSTALLED_OBJECTS = Path("/usr/lib/gw/bpf")

# Short enough for a socket path (108 bytes) and for a table or chain name made from it.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Instance:
    """The paths of one instance; makes none of them."""

    name: str = DEFAULT_INSTANCE

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise UsageError(
                f"instance name {self.name!r}: want 1 to 32 lower-case letters, digits, - and _, "
                "beginning with a letter or digit",
                code="usage.instance-name",
            )

    @property
    def run_dir(self) -> Path:
        return RUN_DIR if self.name == DEFAULT_INSTANCE else RUN_DIR / self.name

    @property
    def socket(self) -> Path:
        return self.run_dir / "agent.sock"

    @property
    def lock(self) -> Path:
        """Held with flock for as long as the agent runs; contains its process id."""
        return self.run_dir / "agent.lock"

    @property
    def worker_socket(self) -> Path:
        return self.run_dir / "worker.sock"

    @property
    def worker_lock(self) -> Path:
        """As `lock`, of the DPDK worker."""
        return self.run_dir / "worker.lock"

    @property
    def bgp_socket(self) -> Path:
        """Of the BGP daemon, gRPC."""
        return self.run_dir / "bgp.sock"

    @property
    def evpn_file(self) -> Path:
        """What of EVPN's is in the kernel, as far as that does not tell; gone at a reboot, as all
        of that is."""
        return self.run_dir / "evpn.json"

    @property
    def taken_file(self) -> Path:
        """What was taken from the kernel for the worker; gone at a reboot, as all of that is."""
        return self.run_dir / "taken.json"

    @property
    def verdict_file(self) -> Path:
        """Why the worker is left alone until the owner applies a configuration."""
        return self.run_dir / "worker.left-alone"

    @property
    def state_dir(self) -> Path:
        return STATE_DIR / self.name

    @property
    def state_file(self) -> Path:
        """What was changed on the host and has to be restored, as JSON."""
        return self.state_dir / "state.json"

    @property
    def sessions_file(self) -> Path:
        """The sessions, with nat44.persist: for the next boot."""
        return self.state_dir / "sessions"

    @property
    def pin_dir(self) -> Path:
        return BPFFS / "gw" / self.name

    @property
    def pinned_maps(self) -> Path:
        return self.pin_dir / "maps"

    @property
    def pinned_links(self) -> Path:
        return self.pin_dir / "links"

    @property
    def pinned_progs(self) -> Path:
        return self.pin_dir / "progs"


def namespace_lock(inode: int) -> Path:
    """Held like the lock of an instance, by whichever serves the network namespace of that inode;
    contains its name."""
    return RUN_DIR / f"netns-{inode}.lock"


def from_environment(name: str | None = None) -> Instance:
    """The instance that was named, or the one of GW_INSTANCE, or "main"."""
    return Instance(name or os.environ.get("GW_INSTANCE") or DEFAULT_INSTANCE)


def object_dir() -> Path:
    """Where the compiled BPF objects are."""
    return Path(os.environ.get("GW_BPF_DIR") or INSTALLED_OBJECTS)
