# SPDX-License-Identifier: GPL-2.0-or-later
"""`nat trace` asks what sockets there are, as the data path does."""

import socket
from ipaddress import IPv4Address

import pytest

from hybrid_gateway.agent.trace.inbound import has_socket
from hybrid_gateway.agent.trace.steps import Packet

HERE = IPv4Address("127.0.0.1")
SENDER = (IPv4Address("192.0.2.1"), 4000)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_a_listener_of_either_family(family: socket.AddressFamily, address: str) -> None:
    """One for IPv6 is for IPv4, too, unless it says otherwise."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            address = address and f"::ffff:{address}"
        listener.bind((address, 0))
        packet = Packet("tcp", SENDER, (HERE, listener.getsockname()[1]), True)
        assert not has_socket(packet)
        listener.listen()
        assert has_socket(packet)
    assert not has_socket(packet)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_open_udp_socket(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        opened.bind(("", 0))
        port = opened.getsockname()[1]
        assert has_socket(Packet("udp", SENDER, (HERE, port), True))
        assert not has_socket(Packet("icmp", SENDER, (HERE, port), True))
