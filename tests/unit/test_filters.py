# SPDX-License-Identifier: GPL-2.0-or-later
"""What may be asked of sessions and mappings, and what is said of everything else."""

from ipaddress import IPv4Network
from typing import Any

import pytest

from hybrid_gateway.agent import filters
from hybrid_gateway.bpf.scan import Match, Order, SessionFilter
from hybrid_gateway.errors import UsageError


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, SessionFilter()),
        ({"inside": "192.0.2.1"}, SessionFilter(inside=Match(IPv4Network("192.0.2.1/32")))),
        ({"inside": "192.0.2.0/24"}, SessionFilter(inside=Match(IPv4Network("192.0.2.0/24")))),
        ({"remote": ":443"}, SessionFilter(remote=Match(ports=(443, 443)))),
        (
            {"outside": "192.0.2.0/25:1000-2000"},
            SessionFilter(outside=Match(IPv4Network("192.0.2.0/25"), (1000, 2000))),
        ),
        (
            {"address": "192.0.2.1", "port": "53"},
            SessionFilter(any=Match(IPv4Network("192.0.2.1/32"), (53, 53))),
        ),
        ({"port": 0}, SessionFilter(any=Match(ports=(0, 0)))),
        (
            {"protocol": "icmp", "state": "active", "origin": "static"},
            SessionFilter(protocol=1, state="active", origin="static"),
        ),
        (
            {"older": 60, "younger": 3600.5, "expires_within": 0},
            SessionFilter(older=60, younger=3600.5, expires_within=0),
        ),
    ],
)
def test_filters(given: dict[str, Any], wanted: SessionFilter) -> None:
    assert filters.session_filter(given) == wanted


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"insde": "192.0.2.1"}, "insde: no such filter; there are inside, outside, remote"),
        ({"inside": "192.0.2"}, "inside: 192.0.2 is not an IPv4 address or prefix"),
        ({"inside": ""}, "inside: must be text"),
        ({"inside": 7}, "inside: must be text"),
        ({"inside": "::1"}, "inside: :1 is neither a port"),
        ({"inside": "192.0.2.1/33"}, "inside: 192.0.2.1/33: is not an IPv4 address or prefix"),
        ({"inside": "192.0.2.1/24"}, "has host bits set; the prefix is 192.0.2.0/24"),
        ({"inside": "192.0.2.1:"}, "inside:  is neither a port"),
        ({"address": "192.0.2.1:80"}, "address: 192.0.2.1:80 is not an IPv4 address"),
        ({"port": "65536"}, "port: 65536 is neither a port (0-65535) nor a range LOW-HIGH"),
        ({"port": "20-10"}, "port: 20-10 is neither"),
        ({"port": "-1"}, "port: -1 is neither"),
        ({"port": "http"}, "port: http is neither"),
        ({"port": "٣"}, "is neither a port"),
        ({"port": None}, "port: None is neither"),
        ({"protocol": "sctp"}, "protocol: must be one of icmp, tcp, udp"),
        ({"protocol": 6}, "protocol: must be one of"),
        ({"state": "open"}, "state: must be one of active, closing, established, opening"),
        ({"origin": ["static"]}, "origin: must be one of"),
        ({"older": "5m"}, "older: must be seconds"),
        ({"older": -1}, "older: must be seconds"),
        ({"younger": True}, "younger: must be seconds"),
        ({"younger": float("nan")}, "younger: must be seconds"),
        ({"expires_within": float("inf")}, "expires_within: must be seconds"),
    ],
)
def test_filters_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        filters.session_filter(given)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_filters_of_mappings() -> None:
    assert filters.mapping_filter({"protocol": "tcp"}) == {"protocol": 6}
    with pytest.raises(UsageError, match="remote: no such filter"):
        filters.mapping_filter({"remote": "192.0.2.1"})


def test_orders() -> None:
    assert filters.order(None, False) == Order()
    assert filters.order("bytes", True) == Order("bytes", True)
    with pytest.raises(UsageError, match="sort: must be one of age, bytes"):
        filters.order("size", False)
    with pytest.raises(UsageError, match="reverse"):
        filters.order(None, True)
