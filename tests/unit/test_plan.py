# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans: complete, in order, repeatable, and empty once they are done."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest

from hybrid_gateway.model import (
    Address,
    Attachment,
    NatLog,
    NextHop,
    Observed,
    Offload,
    PortForward,
    Protocol,
    Step,
    StepKind,
    Sysctl,
    Wanted,
    Written,
)
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from tests.unit.site import CONFIG, GATEWAY, NAT, OBSERVED, without


def plan(wanted: Wanted, observed: Observed) -> tuple[Step, ...]:
    return Planner(wanted, observed).steps()


def kinds(steps: Sequence[Step]) -> list[str]:
    return [step.kind.value for step in steps]


def done(wanted: Wanted, observed: Observed = OBSERVED) -> Observed:
    """What is observed once everything wanted was done."""
    return replace(
        observed,
        attached=tuple((port.ifindex, "native") for port in wanted.attachments),
        handover=frozenset(port.ifindex for port in wanted.attachments),
        guard=frozenset(port.ifindex for port in wanted.attachments if port.outside),
        tunnels=frozenset(tunnel.ifindex for tunnel in wanted.tunnels),
        tunnels_left=frozenset(tunnel.ifindex for tunnel in wanted.tunnels),
        offloads=tuple(replace(offload, on=False) for offload in observed.offloads),
        offloads_changed=tuple(replace(offload, on=True) for offload in wanted.offloads),
        sysctls=wanted.sysctls or observed.sysctls,
        sysctls_changed=tuple(sysctl.name for sysctl in wanted.sysctls),
        table="abc" if wanted.table else "",
        managed=wanted.managed,
        managed_changed=wanted.managed,
        written=Written(
            wanted.sizes,
            wanted.settings,
            wanted.devices,
            wanted.prefixes,
            wanted.addresses,
            wanted.statics,
            wanted.attachments,
            wanted.table,
            "abc",
            wanted.vnis,
            wanted.tunnels,
            wanted.stations,
        ),
    )


WANTED = resolve(CONFIG, OBSERVED)
SSH = PortForward(Protocol.TCP, None, 2222, IPv4Address("192.168.110.10"), 22, line=9)


def test_from_nothing_everything_in_order() -> None:
    assert kinds(plan(WANTED, OBSERVED)) == [
        "load",
        "mirror",
        "sysctl",
        "table",
        "offload",
        "addresses",
        "statics",
        "prefixes",
        "vnis",
        "devices",
        "settings",
        "attach",
        "attach",
        "attach",
        "manage",
        "sysctl",
    ]


def test_forwarding_begins_last_and_ends_first() -> None:
    """In between, what the kernel forwards would leave untranslated."""
    assert plan(WANTED, OBSERVED)[-1].subject == "net.ipv4.ip_forward"
    observed = done(WANTED)
    sysctls = tuple(Sysctl(s.name, s.value, s.base) for s in WANTED.sysctls)
    steps = plan(Wanted(), replace(observed, sysctls=sysctls))
    assert steps[0].subject == "net.ipv4.ip_forward"


def test_the_outside_port_comes_first() -> None:
    attached = [s.subject for s in plan(WANTED, OBSERVED) if s.kind is StepKind.ATTACH]
    assert attached == ["wan0", "lan0", "lan1"]


def test_the_same_inputs_give_the_same_steps() -> None:
    assert plan(WANTED, OBSERVED) == plan(resolve(CONFIG, OBSERVED), OBSERVED)


def test_nothing_is_left_to_do_afterwards() -> None:
    observed = done(WANTED)
    assert plan(resolve(CONFIG, observed), observed) == ()


def test_a_restarted_agent_writes_its_tables_and_keeps_the_hosts_state() -> None:
    """What an earlier agent left is found; the programs are replaced through their links."""
    observed = replace(done(WANTED), written=Written())
    found = kinds(plan(resolve(CONFIG, observed), observed))
    assert found[0] == "load"
    assert found.count("attach") == 3
    assert not {"sysctl", "offload", "manage", "detach"} & set(found)


def test_a_table_that_was_flushed_is_written_again() -> None:
    observed = replace(done(WANTED), table="")
    assert kinds(plan(WANTED, observed)) == ["table"]


def test_a_table_that_was_edited_is_written_again() -> None:
    observed = replace(done(WANTED), table="def")
    assert kinds(plan(WANTED, observed)) == ["table"]


def test_a_new_address_reaches_what_knows_it_and_no_more() -> None:
    observed = replace(done(WANTED), addresses=(Address(4, IPv4Interface("203.0.113.77/24")),))
    steps = plan(resolve(CONFIG, observed), observed)
    assert kinds(steps) == ["addresses", "devices", "settings"]
    assert steps[0].value == (IPv4Address("203.0.113.77"),)


def test_a_new_address_moves_what_is_forwarded_too() -> None:
    """The kernel's table knows by which address inside hosts reach a forward."""
    config = replace(CONFIG, nat44=replace(NAT, static=(SSH,)))
    wanted = resolve(config, OBSERVED)
    observed = replace(done(wanted), addresses=(Address(4, IPv4Interface("203.0.113.77/24")),))
    steps = plan(resolve(config, observed), observed)
    assert kinds(steps) == ["table", "addresses", "statics", "devices", "settings"]
    assert plan(resolve(config, observed), done(resolve(config, observed), observed)) == ()


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"mss_clamp": 1400}, [("table", ""), ("settings", ", MSS at most 1400")]),
        ({"log": NatLog(sessions=True)}, [("settings", ", logged")]),
        ({"log": NatLog(destinations=True)}, []),
        ({"persist": True}, []),
        (
            {"static": (replace(SSH, ports=10),)},
            [("sysctl", ""), ("table", ""), ("statics", "1 static mappings")],
        ),
    ],
)
def test_what_a_change_touches(changes: dict[str, Any], steps: list[tuple[str, str]]) -> None:
    config = replace(CONFIG, nat44=replace(NAT, **changes))
    observed = done(WANTED)
    found = plan(resolve(config, observed), observed)
    assert kinds(found) == [kind for kind, _ in steps]
    assert all(step.text.endswith(text) for step, (_, text) in zip(found, steps, strict=True))
    after = done(resolve(config, observed), observed)
    assert plan(resolve(config, after), after) == ()


def test_another_mtu_is_another_mss() -> None:
    config = replace(CONFIG, nat44=replace(NAT, mss_clamp="pmtu"))
    before = done(resolve(config, OBSERVED))
    links = [replace(link, mtu=1492) if link.name == "wan0" else link for link in before.links]
    observed = replace(before, links=tuple(links))
    assert kinds(plan(resolve(config, observed), observed)) == ["table", "settings"]


def test_a_device_that_left_is_let_go() -> None:
    observed = without("lan1", done(WANTED))
    steps = plan(resolve(CONFIG, observed), observed)
    assert kinds(steps) == ["detach", "mirror", "devices"]
    assert steps[0].value == Attachment(3, "lan1")


def test_a_device_that_comes_back_with_another_number_is_attached() -> None:
    gone = resolve(CONFIG, without("lan1"))
    links = tuple(replace(k, ifindex=9) if k.name == "lan1" else k for k in OBSERVED.links)
    observed = replace(done(gone), links=links)
    steps = plan(resolve(CONFIG, observed), observed)
    assert kinds(steps) == ["mirror", "devices", "attach"]
    assert steps[2].value == Attachment(9, "lan1")


def test_a_port_that_lost_its_programs_gets_them_again() -> None:
    observed = replace(done(WANTED), attached=((2, "native"), (3, "native")))
    steps = plan(WANTED, observed)
    assert [(step.kind, step.subject) for step in steps] == [(StepKind.ATTACH, "wan0")]


@pytest.mark.parametrize(
    ("lost", "port"),
    [
        ({"guard": frozenset()}, "wan0"),
        ({"handover": frozenset({2, 3})}, "wan0"),
        ({"handover": frozenset({3, 4})}, "lan0"),
    ],
)
def test_a_port_that_lost_a_filter_gets_it_again(lost: dict[str, Any], port: str) -> None:
    steps = plan(WANTED, replace(done(WANTED), **lost))
    assert [(step.kind, step.subject) for step in steps] == [(StepKind.ATTACH, port)]


def test_more_sessions_mean_new_maps_and_everything_in_them() -> None:
    config = replace(CONFIG, nat44=replace(NAT, sessions=131072))
    observed = done(WANTED)
    found = kinds(plan(resolve(config, observed), observed))
    assert found == [
        "load",
        "mirror",
        "addresses",
        "statics",
        "prefixes",
        "vnis",
        "devices",
        "settings",
        "attach",
        "attach",
        "attach",
    ]


def test_a_next_hop_that_moved() -> None:
    other = IPv4Address("203.0.113.254")
    routes = tuple(
        replace(route, gateway=other) if route.gateway else route for route in OBSERVED.routes
    )
    observed = replace(done(WANTED), routes=routes)
    steps = plan(resolve(CONFIG, observed), observed)
    assert [(s.kind, s.value) for s in steps] == [
        (StepKind.FORGET, NextHop(4, GATEWAY)),
        (StepKind.MANAGE, NextHop(4, other)),
    ]


def test_a_next_hop_that_the_owner_manages_is_left_alone() -> None:
    observed = replace(OBSERVED, managed=frozenset({NextHop(4, GATEWAY)}))
    assert "manage" not in kinds(plan(WANTED, observed))


def test_detaching_puts_everything_back() -> None:
    observed = done(WANTED)
    observed = replace(
        observed,
        sysctls=tuple(Sysctl(s.name, s.value, s.base) for s in WANTED.sysctls),
        offloads_changed=(Offload(4, "wan0", "rx-vlan-hw-parse", True),),
    )
    steps = plan(Wanted(), observed)
    assert kinds(steps) == [
        "restore-sysctl",
        "detach",
        "detach",
        "detach",
        "forget",
        "restore-offload",
        "remove-table",
        "restore-sysctl",
    ]
    bases = [step.value.base for step in steps if isinstance(step.value, Sysctl)]
    assert bases == ["0", "8080"]


def test_a_renamed_outside_device_keeps_its_guard() -> None:
    observed = done(WANTED)
    links = [replace(ln, name="wan9") if ln.name == "wan0" else ln for ln in observed.links]
    observed = replace(observed, links=tuple(links))
    steps = plan(resolve(CONFIG, observed), observed)
    assert "wan9" not in [s.subject for s in steps if s.kind is StepKind.DETACH]
    assert "wan0" not in [s.subject for s in steps if s.kind is StepKind.DETACH]


def test_detaching_what_never_was_attached_does_nothing() -> None:
    assert plan(Wanted(), OBSERVED) == ()


def test_an_entry_that_moved_in_the_file_is_no_change() -> None:
    config = replace(CONFIG, nat44=replace(NAT, static=(SSH,)))
    moved = replace(CONFIG, nat44=replace(NAT, static=(replace(SSH, line=12),)))
    observed = done(resolve(config, OBSERVED))
    assert plan(resolve(moved, observed), observed) == ()
