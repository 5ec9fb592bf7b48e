# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses and networks of either family."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
