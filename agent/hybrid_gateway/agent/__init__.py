# SPDX-License-Identifier: GPL-2.0-or-later
"""gw-agent: makes one gateway instance what its configuration says, and keeps it so."""

from .daemon import main

__all__ = ["main"]
