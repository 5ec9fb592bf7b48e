# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent, the command line and the lab of the hybrid gateway."""

__version__ = "0.1.0"
