# SPDX-License-Identifier: GPL-2.0-or-later
"""The `evpn` section as data; what is wrong with one is in config_cases/evpn*.yaml."""

from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest

from hybrid_gateway import config
from hybrid_gateway.errors import ConfigError
from hybrid_gateway.model import Config, Evpn, EvpnDaemon, EvpnNeighbor, EvpnPrefixes

CASES = Path(__file__).parent / "config_cases"
START = """\
version: 1
ports: {lan0: {device: lan0}, wan0: {device: wan0}}
"""
VXLAN = "vxlan: [{device: vni550}]\n"
IBGP = "evpn: {asn: 64512, router-id: 192.0.2.1, neighbors: [{address: 192.0.2.2%s}]}\n"


def parsed(text: str) -> Config:
    return config.parse(START + text, "gateway.yaml")


def told(found: Config) -> list[str]:
    return [f"{notice.where}: {notice.message}" for notice in found.warnings]


def test_everything_given() -> None:
    found = config.load(CASES / "good_evpn.yaml")

    assert found.evpn == Evpn(
        EvpnDaemon.GOBGP,
        asn=64512,
        router_id=IPv4Address("192.0.2.1"),
        neighbors=(
            EvpnNeighbor(IPv6Address("2001:db8:0:2::11"), 64512, pmsi_compat=True),
            EvpnNeighbor(
                IPv4Address("192.0.2.3"),
                4200000000,
                local=IPv4Address("192.0.2.1"),
                port=1790,
                password="correct horse",
                multihop=5,
                routes_max=1000,
            ),
            EvpnNeighbor(IPv4Address("192.0.2.4"), 64512, passive=True),
        ),
        hold_time=30,
        restart_time=0,
        port=1179,
        prefixes=(
            EvpnPrefixes(
                5000, "red", (ip_network("192.168.110.0/24"), ip_network("2001:db8:110::/48"))
            ),
        ),
    )
    assert told(found) == []


def test_defaults() -> None:
    found = parsed(VXLAN + IBGP % "")

    neighbor = EvpnNeighbor(IPv4Address("192.0.2.2"), 64512)
    assert found.evpn == Evpn(asn=64512, router_id=IPv4Address("192.0.2.1"), neighbors=(neighbor,))
    assert (found.evpn.hold_time, found.evpn.restart_time, found.evpn.port) == (9, 120, 179)


def test_frr_is_only_mirrored() -> None:
    assert parsed(f"{VXLAN}evpn: {{daemon: frr}}\n").evpn == Evpn(EvpnDaemon.FRR)


def test_without_the_section_there_is_none() -> None:
    assert parsed(VXLAN).evpn is None


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        (
            IBGP % "",
            "gateway.yaml:3: evpn: has no effect without vxlan: there is no segment to speak of",
        ),
        (
            VXLAN + IBGP % ", multihop: 3",
            "gateway.yaml:4: evpn.neighbors[0].multihop: has no effect within AS 64512: "
            "iBGP may take any way",
        ),
    ],
)
def test_what_has_no_effect_is_told(text: str, notice: str) -> None:
    assert told(parsed(text)) == [notice]


def test_lines_tell_nothing_apart() -> None:
    """An entry that has moved in the file is the same: no session ends for it."""
    assert parsed(VXLAN + IBGP % "").evpn == parsed("\n\n" + VXLAN + IBGP % "").evpn


@pytest.mark.parametrize("secret", ["s3cret" * 14, "12345678", "s3crét", "[s3cret]"])
def test_a_password_is_told_to_nobody(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(VXLAN + IBGP % f", password: {secret}")

    assert "password: must be a password of 1 to 80 characters (RFC 2385)" in str(caught.value)
    assert secret.strip("[]")[:6] not in str(caught.value)


def test_a_password_is_not_in_what_is_written_of_the_section() -> None:
    assert "s3cret" not in repr(parsed(VXLAN + IBGP % ", password: s3cret"))
