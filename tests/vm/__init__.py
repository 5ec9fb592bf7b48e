# SPDX-License-Identifier: GPL-2.0-or-later
"""The product in a virtual machine: other kernels than the host's, and virtio NICs."""
