# SPDX-License-Identifier: GPL-2.0-or-later
"""Network devices: their features, and how a port changes hands with the DPDK worker.

What only a gateway with a worker needs is not imported here: see handover, hugepages, drivers.
"""

from .ethtool import HIDING, Ethtool

__all__ = ["HIDING", "Ethtool"]
