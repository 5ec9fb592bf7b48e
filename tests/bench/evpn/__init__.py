# SPDX-License-Identifier: GPL-2.0-or-later
"""The group evpn: VXLAN by the worker, beside grout and the kernel; EVPN's times."""
