# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans with VXLAN, beside NAT44 and alone."""

from dataclasses import replace

from hybrid_gateway.model import (
    LO_FORWARDING,
    Attachment,
    Nat44,
    NextHop,
    StepKind,
    VniEntry,
    Wanted,
    Written,
)
from hybrid_gateway.resolve import resolve
from tests.unit.test_plan import done, kinds, plan
from tests.unit.vxlan_site import CONFIG, LOCAL, OBSERVED, ROUTER, TUNNEL, WAN

WANTED = resolve(CONFIG, OBSERVED)
NAT = Nat44(("br0",), "wan0", line=7, inside_lines=(8,))
"""Beside VXLAN, on the same bridge and by the same port."""
BOTH = replace(CONFIG, nat44=NAT)


def test_vxlan_alone_in_order() -> None:
    """XDP knows every station and VNI before a device has a part in anything."""
    assert kinds(plan(WANTED, OBSERVED)) == [
        "load",
        "mirror",
        "sysctl",
        "table",
        "addresses",
        "statics",
        "prefixes",
        "vnis",
        "devices",
        "settings",
        "attach",
        "attach",
        "attach-tunnel",
        "manage",
    ]


def test_steps_in_words() -> None:
    texts = {step.subject: step.text for step in plan(WANTED, OBSERVED)}
    assert texts["stations"] == "1 VXLAN segments, 1 bridges"
    assert texts["inet gw"] == "write the nftables table with the senders of 1 VNIs"
    assert texts["data path"] == "NAT44 off; VXLAN at UDP 4789"
    assert texts["lan0"] == "attach the programs, as access port"
    assert texts["wan0"] == "attach the programs, as underlay port"


def test_nothing_is_left_to_do_afterwards() -> None:
    for config in (CONFIG, BOTH):
        observed = done(resolve(config, OBSERVED), OBSERVED)
        assert plan(resolve(config, observed), observed) == ()


def test_both_are_one_table_and_one_plan() -> None:
    steps = plan(resolve(BOTH, OBSERVED), OBSERVED)
    (table,) = [step for step in steps if step.kind is StepKind.TABLE]
    assert table.text == "write the nftables table for br0 with the senders of 1 VNIs"
    assert [step.subject for step in steps if step.kind is StepKind.SYSCTL][-1].endswith(
        "ip_forward"
    )


def test_vxlan_goes_and_nat_stays() -> None:
    observed = done(resolve(BOTH, OBSERVED), OBSERVED)
    config = replace(BOTH, vxlan=())
    steps = plan(resolve(config, observed), observed)
    assert {"detach-tunnel", "mirror", "vnis", "devices", "settings", "table"} <= set(kinds(steps))
    assert not {"load", "detach", "attach"} & set(kinds(steps))
    assert [s.subject for s in steps if s.kind is StepKind.RESTORE_SYSCTL] == [LO_FORWARDING]


def test_nat_goes_and_vxlan_stays() -> None:
    """The kernel takes lo's forwarding along with ip_forward, so that it has to come back."""
    observed = done(resolve(BOTH, OBSERVED), OBSERVED)
    steps = plan(resolve(CONFIG, observed), observed)
    assert steps[0].kind is StepKind.RESTORE_SYSCTL
    assert steps[0].subject == "net.ipv4.ip_forward"
    assert LO_FORWARDING in [step.subject for step in steps if step.kind is StepKind.SYSCTL]


def test_detaching_puts_everything_back() -> None:
    observed = done(WANTED, OBSERVED)
    observed = replace(observed, sysctls=tuple(replace(s, base="0") for s in WANTED.sysctls))
    steps = plan(Wanted(), observed)
    assert kinds(steps) == [
        "detach",
        "detach",
        "detach-tunnel",
        "forget",
        "remove-table",
        "restore-sysctl",
    ]
    assert steps[2].value == Attachment(TUNNEL, "vni100")


def test_a_vxlan_device_of_an_earlier_agent() -> None:
    """Whatever version of the program it has, it is found by its mark."""
    observed = replace(done(WANTED, OBSERVED), tunnels=frozenset(), written=Written())
    assert "detach-tunnel" in kinds(plan(Wanted(), observed))
    assert "attach-tunnel" in kinds(plan(WANTED, observed))


def test_a_device_that_lost_its_program() -> None:
    steps = plan(WANTED, replace(done(WANTED, OBSERVED), tunnels=frozenset()))
    assert [(step.kind, step.subject) for step in steps] == [(StepKind.ATTACH_TUNNEL, "vni100")]


def test_what_was_withdrawn_comes_back() -> None:
    """What XDP let go of when a device changed: see agent/links.py."""
    observed = done(WANTED, OBSERVED)
    devices = tuple(replace(device, bridged=False, tunnel=False) for device in WANTED.devices)
    vnis = tuple(replace(entry, kernel=True) for entry in WANTED.vnis)
    written = replace(observed.written, devices=devices, vnis=vnis)
    assert kinds(plan(WANTED, replace(observed, written=written))) == ["vnis", "devices"]


def test_another_address_is_another_place_for_its_vnis() -> None:
    (entry,) = WANTED.vnis
    assert entry == VniEntry(100, 4789, LOCAL, TUNNEL, entry.bridge)
    observed = replace(done(WANTED, OBSERVED), addresses=OBSERVED.addresses[:1])
    assert kinds(plan(resolve(CONFIG, observed), observed))[0:3] == ["mirror", "vnis", "devices"]


def test_next_hops_of_nat_and_of_vteps() -> None:
    wanted = resolve(BOTH, OBSERVED)
    assert NextHop(WAN, ROUTER) in wanted.managed
    assert [s.value for s in plan(wanted, OBSERVED) if s.kind is StepKind.MANAGE] == [
        NextHop(WAN, ROUTER)
    ]
