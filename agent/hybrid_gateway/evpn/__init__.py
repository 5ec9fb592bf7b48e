# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN (RFC 7432, 8365, 9136): what is said to the BGP daemon, and what comes of its answers."""
