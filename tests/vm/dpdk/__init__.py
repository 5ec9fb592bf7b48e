# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports of the DPDK worker that are real PCI devices, behind an IOMMU and without one."""
