# SPDX-License-Identifier: GPL-2.0-or-later
"""Which hooks XDP and the worker go past, by what they do."""

from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_gateway import bypass
from hybrid_gateway.errors import RefusedError
from hybrid_gateway.model import BYPASS_ALL, BridgeLink, Config, Link
from hybrid_gateway.nft import BaseChain
from tests.unit import site
from tests.unit.worker_site import CONFIG

NONE: frozenset[int] = frozenset()
OUTER = ("prerouting", "input", "output")
DEVICES = frozenset({"wan0", "vni100"})


def chain(family: str, hook: str, **changes: object) -> BaseChain:
    given = {"rules": True, "policy": "accept", **changes}
    return BaseChain(family, "fw", hook, hook, **given)  # type: ignore[arg-type]


def test_nat_alone_goes_past_forwarding() -> None:
    assert bypass.hooks(nat=True, families=NONE, bridged=True) == bypass.FORWARDING_HOOKS


def test_without_either_nothing_is_passed() -> None:
    assert bypass.hooks(nat=False, families=NONE, bridged=False) == {}


@pytest.mark.parametrize(
    ("families", "ip", "ip6"),
    [({4}, OUTER, ()), ({6}, (), OUTER), ({4, 6}, OUTER, OUTER)],
)
def test_vxlan_goes_past_input(
    families: set[int], ip: tuple[str, ...], ip6: tuple[str, ...]
) -> None:
    found = bypass.hooks(nat=False, families=frozenset(families), bridged=False)
    assert found["inet"] == (*OUTER, "ingress")
    assert (found["ip"], found["ip6"]) == (ip, ip6)
    assert "forward" in found["bridge"]
    assert "forward" not in found["inet"]


def test_vxlan_beside_nat_goes_past_both() -> None:
    found = bypass.hooks(nat=True, families=frozenset({6}), bridged=False)
    assert found["inet"] == ("forward", "ingress", *OUTER)
    assert found["ip"] == ("forward",)


def test_bridged_packets_may_pass_the_hooks_of_ip() -> None:
    found = bypass.hooks(nat=False, families=frozenset({4}), bridged=True)
    for family in ("ip", "ip6", "inet", "arp"):
        assert "forward" in found[family]


def test_chains_of_these_hooks_are_named() -> None:
    found = (
        chain("inet", "input", rules=False, policy="drop"),
        chain("inet", "forward"),
        chain("ip6", "input"),
        chain("bridge", "forward"),
        chain("bridge", "output", rules=False),
        chain("netdev", "ingress", devices=("vni100",)),
        chain("netdev", "egress", devices=("other0",)),
    )
    passed = bypass.hooks(nat=False, families=frozenset({4}), bridged=False)
    assert bypass.chains(found, DEVICES, passed) == [
        "nft bridge fw forward",
        "nft inet fw input",
        "nft netdev fw ingress",
    ]


def test_a_bridge_that_calls_ip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bypass, "BRIDGE_CALLS", tmp_path / "none")
    quiet, calling = (
        Link(1, "br0", kind="bridge", bridge=BridgeLink(calls_iptables=on)) for on in (False, True)
    )
    assert not bypass.bridges_call_ip((quiet,))
    assert bypass.bridges_call_ip((quiet, calling))
    (tmp_path / "bridge-nf-call-arptables").write_text("0\n")
    monkeypatch.setattr(bypass, "BRIDGE_CALLS", tmp_path)
    assert not bypass.bridges_call_ip((quiet,))
    (tmp_path / "bridge-nf-call-iptables").write_text("1\n")
    assert bypass.bridges_call_ip((quiet,))


# ---- the worker -----------------------------------------------------------------------


def test_the_worker_goes_past_everything_that_is_forwarded() -> None:
    """Translation in prerouting and postrouting as well, and IPv6."""
    found = (
        chain("inet", "input", rules=False, policy="drop"),
        chain("inet", "forward"),
        chain("ip", "postrouting"),
        chain("ip6", "forward"),
        chain("bridge", "prerouting"),
        chain("netdev", "egress", devices=("sfp0",)),
    )

    passed = bypass.hooks(nat=False, families=NONE, bridged=False, worker=True)

    assert bypass.chains(found, frozenset({"sfp0"}), passed) == [
        "nft bridge fw prerouting",
        "nft inet fw forward",
        "nft ip fw postrouting",
        "nft ip6 fw forward",
        "nft netdev fw egress",
    ]


def test_refused_unless_accepted() -> None:
    found = ["nft inet fw forward", "qdisc sfp0 htb"]
    config = replace(CONFIG, bypass=("qdisc sfp0 htb",))

    with pytest.raises(RefusedError) as caught:
        bypass.refuse(found, config)

    assert str(caught.value) == (
        "/etc/gw/gateway.yaml: the worker would go past the owner's nft inet fw forward; "
        "name them under bypass: to accept that, or remove them"
    )
    bypass.refuse(found, replace(config, bypass=tuple(found)))
    bypass.refuse(found, replace(config, bypass=(BYPASS_ALL,)))


@pytest.mark.parametrize(
    ("config", "who"),
    [
        (CONFIG, "the worker"),
        (site.CONFIG, "XDP"),
        (replace(site.CONFIG, worker=CONFIG.worker), "XDP and the worker"),
    ],
)
def test_who_goes_past(config: Config, who: str) -> None:
    assert bypass.passers(config) == who
