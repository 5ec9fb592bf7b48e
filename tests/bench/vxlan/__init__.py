# SPDX-License-Identifier: GPL-2.0-or-later
"""The group vxlan: bridging between a port and VTEPs, beside the kernel's own VXLAN device."""
