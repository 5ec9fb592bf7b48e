# SPDX-License-Identifier: GPL-2.0-or-later
"""The group dpdk: the worker, beside testpmd, grout and the kernel."""
