# SPDX-License-Identifier: GPL-2.0-or-later
"""gw-worker: a process around the DPDK data path, which does what the agent asks it to."""

from .daemon import main

__all__ = ["main"]
