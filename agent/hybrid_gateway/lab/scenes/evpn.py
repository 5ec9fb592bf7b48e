# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN: one segment at three sites, with XDP, with the worker, and with plain Linux and gobgpd."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from typing import Any

from ...client import Client
from .. import leftovers
from ..namespaces import LabError
from ..segment import SiteLab, plain_target
from ..services import servers
from ..sites import ACCESS, BRIDGE, SITES, VNI, Site
from ..stage import SEGMENT, Row, Stage, same_blob
from ..topology import Interface
from .stretch import FULL

XDP, WORKER, PLAIN = SITES
SIZE, SHORT = 10_000_000, 2_000_000
MEET_SECONDS = 40.0
"""A BGP session that was refused is tried again after some seconds."""
NOWHERE = "01:00:5e:00:00:01"
"""A group's address: no station has it."""


def _at(stage: Stage, site: Site) -> Stage:
    """The gateway of a site, with the counters of its own agent."""
    return stage.of(SiteLab(stage.lab, site).name)


def _told(stage: Stage, site: Site, what: str = "", **params: int) -> dict[str, Any]:
    with Client(_at(stage, site).instance) as client:
        answer: dict[str, Any] = client.call(f"show.evpn{what}", **params)
    return answer


def _listed(stage: Stage, site: Site, what: str) -> list[dict[str, Any]]:
    return list(_told(stage, site, f".{what}", cursor=0, limit=100)[what])


def _until(check: Callable[[], bool], what: str, seconds: float = MEET_SECONDS) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    while not check():
        if time.monotonic() > begun + seconds:
            raise LabError(f"still not so after {seconds:.0f} s: {what}")
    return time.monotonic() - begun


def _vteps(stage: Stage, site: Site) -> set[str]:
    """That the site has heard of."""
    return {one["address"] for one in _listed(stage, site, "vteps")}


def _station(stage: Stage, site: Site, mac: str) -> dict[str, Any]:
    """As the site has it; empty if it has not."""
    found = _listed(stage, site, "macs")
    return next((one for one in found if one["mac"] == mac), {})


def _meet(stage: Stage) -> None:
    """All three have heard all of each other."""
    for here, there in permutations(SITES, 2):
        _until(
            lambda here=here, there=there: stage.ping(here.host.host, there.host.ip, 1) == 1,  # type: ignore[misc]
            f"{here.host.host} reaches {there.host.host}",
        )
    for site in (XDP, WORKER):
        others = [other for other in SITES if other != site]
        _until(
            lambda site=site, others=others: all(  # type: ignore[misc]
                _station(stage, site, other.host.mac).get("vtep") == other.vtep()
                for other in others
            ),
            f"{site.gateway} has heard of all stations",
        )


def reached(stage: Stage) -> Row:
    _meet(stage)
    first, second = _at(stage, XDP), _at(stage, WORKER)
    before, counted = first.counters(), second.counters()
    answers = sum(
        stage.ping(here.host.host, there.host.ip, 3) for here, there in permutations(SITES, 2)
    )
    moved, others = first.moved(before), second.moved(counted)
    summary = _told(stage, XDP)["summary"]
    return Row(
        "EVPN over IPv6: XDP, the DPDK worker, and plain Linux with gobgpd",
        f"ping -c 3 between {XDP.host.ip}, {WORKER.host.ip} and {PLAIN.host.ip}, all ways, VNI "
        f"{VNI}",
        f"{answers} of 18 answers; {summary['established']} neighbours, "
        f"{summary['macs_remote']} stations heard of",
        moved,
        answers == 18
        and summary["established"] == 2
        and summary["macs_remote"] == 2
        and min(one.get(name, 0) for one in (moved, others) for name in _BOTH_WAYS) >= 10,
    )


_BOTH_WAYS = ("VXLAN_ENCAP", "VXLAN_DECAP")


def full_frames(stage: Stage) -> Row:
    _meet(stage)
    second = _at(stage, WORKER)
    before, target = second.counters(), WORKER.host.ip
    count = stage.ping(XDP.host.host, target, 10, "-M", "do", "-s", FULL)
    with servers(stage.lab, WORKER.host.host, http=[f"{target}:80"]):
        right = same_blob(stage.curl(XDP.host.host, f"http://{target}/blob/{SIZE}"), SIZE)
        right = stage.uploaded(XDP.host.host, target, SIZE) and right
    moved = second.moved(before)
    return Row(
        f"EVPN: frames of {SEGMENT} bytes over an underlay of {SEGMENT}",
        f"pings of {SEGMENT} bytes with DF, {SIZE // 1_000_000} MB there and back, between XDP "
        "and the worker",
        f"{count} answers; both SHA-256 are {'right' if right else 'WRONG'}; counted by the worker",
        moved,
        count == 10
        and right
        and min(moved.get(name, 0) for name in ("VXLAN_CUT", "VXLAN_PIECE")) > 0.9 * SIZE / SEGMENT,
    )


def full_everywhere(stage: Stage) -> Row:
    """Ours cut what they send; the plain site's station sends less, see sites.py."""
    _meet(stage)
    answers, wrong = 0, []
    pairs = list(permutations(SITES, 2))
    for here, there in pairs:
        answers += stage.ping(here.host.host, there.host.ip, 3, "-s", FULL)
        with servers(stage.lab, there.host.host, http=[f"{there.host.ip}:80"]):
            data = stage.curl(here.host.host, f"http://{there.host.ip}/blob/{SHORT}")
            if not same_blob(data, SHORT):
                wrong.append(f"{here.host.host} from {there.host.host}")
    return Row(
        f"EVPN: {SEGMENT} bytes between all pairs of sites",
        f"ping -c 3 of {SEGMENT} bytes, and {SHORT // 1_000_000} MB of HTTP, all ways",
        f"{answers} of {3 * len(pairs)} answers; SHA-256 wrong: {', '.join(wrong) or 'none'}",
        {},
        answers == 3 * len(pairs) and not wrong,
    )


def bound(stage: Stage) -> Row:
    """What a gateway knows of its stations' addresses spares all others the question."""
    _meet(stage)
    second, target = _at(stage, WORKER), XDP.host
    how = f"neigh replace {target.ip} lladdr {target.mac} dev {BRIDGE} nud reachable"
    stage.lab.run(XDP.gateway, ["ip", *how.split()])
    try:
        _until(
            lambda: target.ip in _station(stage, WORKER, target.mac).get("addresses", ()),
            "the binding is known",
        )
        before = second.counters()
        answers = 0
        for _ in range(3):
            stage.lab.run(WORKER.host.host, ["ip", "neigh", "flush", "dev", WORKER.host.device])
            answers += stage.ping(WORKER.host.host, target.ip, 1)
        moved = second.moved(before)
    finally:
        gone = f"neigh del {target.ip} dev {BRIDGE}"
        stage.lab.run(XDP.gateway, ["ip", *gone.split()])
    return Row(
        "EVPN: ARP is answered where it is asked",
        f"{XDP.gateway} knows who has {target.ip}; {WORKER.host.ip} forgets that three times, and "
        "pings",
        f"{answers} answers",
        moved,
        answers == 3 and moved.get("ANSWERED_ARP", 0) >= 3,
    )


def moved_station(stage: Stage) -> Row:
    """The worker's station becomes what the plain site's was, which says nothing any more."""
    _meet(stage)
    roamer, newcomer = PLAIN.host, WORKER.host
    with _silent(stage, roamer.host), _impersonating(stage, newcomer, roamer):
        stage.ping(newcomer.host, XDP.host.ip, 1, "-I", roamer.ip)
        took = _until(
            lambda: _station(stage, XDP, roamer.mac).get("vtep") == WORKER.vtep(),
            "the station is heard of at its new place",
        )
        station = _station(stage, XDP, roamer.mac)
        count = stage.ping(XDP.host.host, roamer.ip, 10)
    stage.ping(roamer.host, XDP.host.ip, 1)
    return Row(
        "EVPN: a station moves from one site to another",
        f"{roamer.ip} leaves the plain site for the worker's; ping -c 10 from {XDP.host.ip}",
        f"{XDP.gateway} is told {took * 1000:.0f} ms after it was answered, sequence "
        f"{station['sequence']}; {count} answers",
        {},
        count == 10 and station["sequence"] >= 1,
    )


@contextmanager
def _silent(stage: Stage, host: str) -> Iterator[None]:
    """It has gone, and its port has not noticed."""
    chain = "chain {0} {{ type filter hook {0} priority 0; policy drop; }}\n"
    chains = chain.format("input") + chain.format("output")
    families = ("arp", "ip", "ip6")
    for family in families:
        stage.lab.run(host, ["nft", f"table {family} silent {{ {chains}}}"])
    try:
        yield
    finally:
        for family in families:
            stage.lab.run(host, ["nft", f"delete table {family} silent"])


@contextmanager
def _impersonating(stage: Stage, host: Interface, roamer: Interface) -> Iterator[None]:
    """A host of the worker's site with another one's addresses."""

    def tell(*lines: str) -> None:
        for line in lines:
            stage.lab.run(host.host, ["ip", *line.split()])

    tell(
        f"link set {host.device} address {roamer.mac}",
        f"addr add {roamer.network} dev {host.device}",
    )
    try:
        yield
    finally:
        tell(
            f"addr del {roamer.network} dev {host.device}",
            f"link set {host.device} address {host.mac}",
        )
        # It would be believed to be here until it ages: gobgp's client cannot say otherwise.
        forget = f"bridge fdb del {roamer.mac} dev {ACCESS} master"
        stage.lab.run(WORKER.gateway, forget.split(), check=False)


def daemon_killed(stage: Stage) -> Row:
    _meet(stage)
    name = SiteLab(stage.lab, WORKER).name
    (pid,) = leftovers.bgp_pids(name)
    os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    count = stage.ping(XDP.host.host, WORKER.host.ip, 20)
    _until(
        lambda: _told(stage, WORKER)["summary"]["established"] == 2,
        "both neighbours are back",
    )
    back = time.monotonic() - begun
    return Row(
        "EVPN: gobgpd killed (SIGKILL)",
        f"at the worker's site; ping -c 20 from {XDP.host.ip} to {WORKER.host.ip} meanwhile",
        f"{count} answers; both neighbours are back after {back:.1f} s",
        {},
        count == 20,
    )


def site_lost(stage: Stage) -> Row:
    _meet(stage)
    device, backbone = PLAIN.router.device, PLAIN.router.host
    rules = f"iifname {device} drop; oifname {device} drop"
    chain = f"chain forward {{ type filter hook forward priority 0; {rules}; }}"
    stage.lab.run(backbone, ["nft", f"table inet dark {{ {chain}\n}}"])
    try:
        took = _until(lambda: PLAIN.vtep() not in _vteps(stage, XDP), "its VTEP is gone")
        count = stage.ping(XDP.host.host, WORKER.host.ip, 10)
    finally:
        stage.lab.run(backbone, ["nft", "delete table inet dark"])
    return Row(
        "EVPN: a site that goes dark",
        f"nothing passes from and to {PLAIN.gateway}; hold time 3 s; ping -c 10 between the others",
        f"{XDP.gateway} has forgotten its VTEP after {took:.1f} s; {count} answers",
        {},
        count == 10,
    )


def nonsense(stage: Stage) -> Row:
    """By the plain site's own daemon."""
    _meet(stage)
    target = plain_target(SiteLab(stage.lab, PLAIN))
    common = f"etag 0 label {VNI} rd {PLAIN.router_id}:9 rt 64512:{VNI} encap vxlan nexthop"
    routes = (
        f"{NOWHERE} 0.0.0.0 {common} {PLAIN.vtep()}",
        f"02:00:00:00:99:01 0.0.0.0 {common} {XDP.vtep()}",
    )

    def refused() -> int:
        return sum(one["count"] for one in _told(stage, XDP)["refused"])

    def tell(verb: str, route: str) -> None:
        words = ["global", "rib", verb, "-a", "evpn", "macadv", *route.split()]
        stage.lab.run(PLAIN.gateway, ["gobgp", "--target", target, *words])

    before = refused()
    for route in routes:
        tell("add", route)
    try:
        _until(lambda: refused() >= before + len(routes), "all of it is refused")
        count = stage.ping(XDP.host.host, PLAIN.host.ip, 10)
        why = {one["reason"] for one in _told(stage, XDP)["refused"]}
    finally:
        for route in routes:
            tell("del", route)
    return Row(
        "EVPN: routes that make no sense",
        f"{PLAIN.gateway} announces a group's MAC address, and a station at {XDP.gateway}'s VTEP",
        f"refused: {'; '.join(sorted(why))}; {count} answers of ten",
        {},
        count == 10,
    )
