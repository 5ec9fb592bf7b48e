# SPDX-License-Identifier: GPL-2.0-or-later
"""What the EVPN speaker is asked, by the configuration and what is there. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from .errors import Problem
from .evpn.wanted import MAIN_TABLE, EvpnSegment, EvpnTable, EvpnWanted
from .model import (
    Config,
    Evpn,
    EvpnDaemon,
    EvpnPrefixes,
    IPAddress,
    Link,
    Observed,
    Segment,
)


def section_of(config: Config | None) -> Evpn | None:
    """That of a daemon of ours; None: there is none, or it is FRR's."""
    evpn = config.evpn if config else None
    return evpn if evpn and evpn.daemon is EvpnDaemon.GOBGP else None


def evpn_of(config: Config, segments: Sequence[Segment], observed: Observed) -> EvpnWanted | None:
    """None: there is nobody to ask."""
    section = section_of(config)
    if section is None:
        return None
    links = {link.ifindex: link for link in observed.links}
    own = _addresses(observed)
    found: dict[int, EvpnSegment] = {}
    for segment in segments:
        device, bridge = links.get(segment.ifindex), links.get(segment.bridge)
        if device and bridge and segment.local in segment.arrives and segment.local:
            found.setdefault(
                segment.vni,
                EvpnSegment(
                    segment,
                    device.running and bridge.running,
                    bridge.mac,
                    own.get(bridge.ifindex, frozenset()),
                ),
            )
    return EvpnWanted(
        section,
        tuple(found.values()),
        tuple(_tables(section, observed)),
        frozenset().union(*own.values()),
    )


def _addresses(observed: Observed) -> dict[int, frozenset[IPAddress]]:
    """By ifindex; no link-local ones, which the host has on every device."""
    found: dict[int, set[IPAddress]] = {}
    for entry in observed.addresses:
        found.setdefault(entry.ifindex, set()).add(entry.address.ip)
    for entry6 in observed.addresses6:
        found.setdefault(entry6.ifindex, set()).add(entry6.address.ip)
    return {ifindex: frozenset(addresses) for ifindex, addresses in found.items()}


def _tables(section: Evpn, observed: Observed) -> Iterator[EvpnTable]:
    for entry in section.prefixes:
        table = table_of(entry, observed.links)
        if table is not None:
            present = tuple(one for one in entry.advertise if (table, one) in observed.present)
            yield EvpnTable(entry.vni, table, present)


def table_of(entry: EvpnPrefixes, links: Iterable[Link]) -> int | None:
    """The number of its routing table; None: its VRF is not there."""
    if not entry.vrf:
        return MAIN_TABLE
    return next((link.table for link in links if link.name == entry.vrf and link.table), None)


# ---- what is wrong ----------------------------------------------------------------------


def problems_of(config: Config, segments: Sequence[Segment], observed: Observed) -> list[Problem]:
    """Of what the section names and is not there, or is something else."""
    section = section_of(config)
    return [
        Problem(config.path, entry.line, f"evpn.prefixes[{index}].{key}", message, code)
        for index, entry in enumerate(section.prefixes if section else ())
        for key, message, code in _doubts(entry, segments, observed)
    ]


def _doubts(
    entry: EvpnPrefixes, segments: Iterable[Segment], observed: Observed
) -> Iterator[tuple[str, str, str]]:
    """(key, message, code)"""
    links = {link.ifindex: link for link in observed.links}
    vrf = observed.link(entry.vrf) if entry.vrf else None
    if entry.vrf and vrf is None:
        yield "vrf", f"there is no network device {entry.vrf}", "config.no-device"
    elif vrf and not vrf.table:
        yield "vrf", f"{entry.vrf} is no VRF device", "config.conflict"
    segment = next((one for one in segments if one.vni == entry.vni), None)
    if segment is None:
        yield "vni", f"no device of vxlan has VNI {entry.vni}, or it is down", "config.no-device"
        return
    master = links.get(links[segment.bridge].master) if segment.bridge in links else None
    has = master.name if master and master.table else ""
    if has != entry.vrf and (vrf or not entry.vrf):
        what = f"VRF {has}" if has else "no VRF"
        wanted = f"VRF {entry.vrf}" if entry.vrf else "none"
        yield (
            "vni",
            f"{segment.bridge_name} is in {what}, and has to be in {wanted}",
            ("config.conflict"),
        )


def warnings_of(config: Config, segments: Sequence[Segment], observed: Observed) -> Iterator[str]:
    """What keeps a segment or a routing instance out, or is not what EVPN wants."""
    if config.evpn is None:
        return
    for segment in segments:
        if segment.learns:
            yield (
                f"{segment.name} learns from what arrives, and EVPN says where stations are: "
                f"ip link set {segment.name} type vxlan nolearning; "
                f"bridge link set dev {segment.name} learning off"
            )
        if config.evpn.daemon is EvpnDaemon.GOBGP and segment.local is None:
            yield f"{segment.name} has no local address: EVPN announces no VTEP for it"
    for problem in problems_of(config, segments, observed):
        yield f"{problem.key}: {problem.message}"
