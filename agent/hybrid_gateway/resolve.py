# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration applied to the devices, addresses and routes that are there.

Pure: the same two inputs always give the same result.
"""

from dataclasses import replace

from . import portset, resolve_evpn, segment_tables, statics
from .errors import ConfigError, Problem
from .model import (
    IP_FORWARD,
    LO_FORWARDING,
    LO_FORWARDING6,
    Attachment,
    Config,
    FallbackTable,
    Nat44,
    Observed,
    Offload,
    Plane,
    Segment,
    Settings,
    Sizes,
    Sysctl,
    Wanted,
)
from .resolve_worker import warnings_of, worker_of
from .roles import Roles, devices_of, roles_of
from .segments import Found, segments_of
from .translation import Translation, pool_of, translation

RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
NO_SESSIONS = Sizes(1024, 1)
"""Without NAT: as little as the maps can have."""


def check_devices(config: Config, observed: Observed) -> None:
    """ConfigError naming the line of every device that does not exist or does not fit."""
    problems = []
    for port in config.ports_of(Plane.XDP):
        link = observed.link(port.device)
        key = f"ports.{port.name}.device"
        if link is None:
            message = f"there is no network device {port.device}"
            problems.append(Problem(config.path, port.line, key, message, "config.no-device"))
        elif port == config.outside_port and link.master:
            message = f"{port.device} is a port of a bridge: the outside port has to be its own"
            problems.append(Problem(config.path, port.line, key, message, "config.bridge-port"))
    if config.nat44:
        problems += _refused_statics(config, config.nat44, observed)
        lines = config.nat44.inside_lines or (config.nat44.line,) * len(config.nat44.inside)
        for device, line in zip(config.nat44.inside, lines, strict=True):
            if observed.link(device) is None:
                message = f"there is no network device {device}"
                problems.append(
                    Problem(config.path, line, "nat44.inside", message, "config.no-device")
                )
    if config.vxlan:
        problems += _refused_vxlan(config, observed)
    if config.evpn:
        segments = segments_of(config, observed).segments
        problems += resolve_evpn.problems_of(config, segments, observed)
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))


def _refused_statics(config: Config, nat: Nat44, observed: Observed) -> list[Problem]:
    outside = observed.link(config.port(nat.outside).device)
    pool = pool_of(nat, outside, observed)
    own = tuple(entry.address.ip for entry in observed.addresses)
    segments = segments_of(config, observed).segments
    doubts = (
        *statics.sharing(nat.static, pool),
        *statics.inwards(nat.static, own),
        *segment_tables.forwarded(nat.static, pool, segments),
    )
    return [
        Problem(
            config.path,
            doubt.line,
            f"nat44.static[{doubt.index}].{doubt.key}",
            doubt.message,
            "config.conflict",
        )
        for doubt in doubts
    ]


def _refused_vxlan(config: Config, observed: Observed) -> list[Problem]:
    problems = []
    for obstacle in segments_of(config, observed).obstacles:
        entry = config.vxlan[obstacle.index]
        key = f"vxlan[{obstacle.index}].{obstacle.key}"
        problems.append(Problem(config.path, entry.line, key, obstacle.message, obstacle.code))
    there = [observed.link(port.device or port.iface or port.name) for port in config.ports]
    if all(link and link.master for link in there):
        message = "no port is one of its own, by which VXLAN could arrive: " + (
            "all of `ports` are ports of bridges" if there else "`ports` is empty"
        )
        line = config.vxlan[0].line
        problems.append(Problem(config.path, line, "vxlan", message, "config.no-underlay"))
    return problems


def resolve(config: Config, observed: Observed) -> Wanted:
    """What should be there; a device that is missing is a warning and takes no part."""
    wanted = _of_xdp(config, observed)
    return replace(
        wanted,
        worker=worker_of(config, observed.worker, wanted.segments, observed.links),
        warnings=(
            *wanted.warnings,
            *warnings_of(config, observed, wanted.segments),
            *resolve_evpn.warnings_of(config, wanted.segments, observed),
        ),
    )


def _of_xdp(config: Config, observed: Observed) -> Wanted:
    nat = config.nat44
    if nat is None and not config.vxlan:
        if config.worker:
            return Wanted()
        return Wanted(warnings=("nat44 is not configured: the kernel forwards everything",))
    vxlan = segments_of(config, observed)
    roles = roles_of(config, observed, vxlan.segments)
    translated = translation(config, nat, roles.outside, roles.inside, observed) if nat else None
    ports = tuple(sorted(roles.ports, key=lambda device: (not device.outside, device.name)))
    devices, doubts = devices_of(roles, observed, vxlan.segments)
    wanted = Wanted(
        sizes=Sizes(nat.sessions, max(1, len(nat.addresses))) if nat else NO_SESSIONS,
        settings=_settings(translated, vxlan.segments, observed),
        devices=devices,
        attachments=tuple(Attachment(port.ifindex, port.name, port.outside) for port in ports),
        sysctls=_sysctls(translated.nat if translated else None, vxlan.segments, observed),
        warnings=(*roles.warnings, *_warnings(translated, vxlan), *doubts),
    )
    if translated:
        wanted = replace(
            wanted,
            prefixes=translated.prefixes,
            addresses=translated.addresses,
            statics=translated.statics,
            table=translated.table,
            managed=translated.managed,
        )
    return _with_segments(wanted, roles, vxlan.segments, observed)


def _settings(
    translated: Translation | None, segments: tuple[Segment, ...], observed: Observed
) -> Settings:
    return replace(
        translated.settings if translated else Settings(enabled=False),
        vxlan_ports=segment_tables.udp_ports(segments),
        any_path=bool(segments) and observed.any_path,
    )


def _warnings(translated: Translation | None, vxlan: Found) -> tuple[str, ...]:
    if translated is None:
        return vxlan.warnings
    shared = segment_tables.forwarded(
        translated.nat.static, translated.settings.addresses, vxlan.segments
    )
    return (
        *translated.warnings,
        *vxlan.warnings,
        *(f"nat44.static, line {doubt.line}: {doubt.message}" for doubt in shared),
    )


def _with_segments(
    wanted: Wanted, roles: Roles, segments: tuple[Segment, ...], observed: Observed
) -> Wanted:
    """And what VXLAN adds; the bridges of NAT are mirrored without it, too."""
    devices = wanted.devices
    filters = segment_tables.filters(segments)
    names = {one.ifindex: one.name for one in segments}
    unfit = segment_tables.unfit(segments, devices, observed.links)
    cut = segment_tables.cut_bridges(segments, devices, observed.links)
    return replace(
        wanted,
        segments=segments,
        vnis=segment_tables.vnis(segments, observed),
        tunnels=tuple(Attachment(ifindex, name) for ifindex, name in sorted(names.items())),
        mirrored=segment_tables.mirrored(segments, devices, observed.links),
        managed=wanted.managed | segment_tables.next_hops(observed, devices),
        offloads=(
            *_offloads(observed, frozenset(port.ifindex for port in roles.ports)),
            *segment_tables.offloads(cut, devices, observed),
        ),
        table=replace(wanted.table or FallbackTable(), sources=filters)
        if wanted.table or filters
        else None,
        warnings=(*wanted.warnings, *unfit),
    )


def _offloads(observed: Observed, ports: frozenset[int]) -> tuple[Offload, ...]:
    return tuple(
        Offload(offload.ifindex, offload.device, offload.feature, False)
        for offload in observed.offloads
        if offload.ifindex in ports and offload.feature not in segment_tables.WHEN_CUT
    )


def _sysctls(
    nat: Nat44 | None, segments: tuple[Segment, ...], observed: Observed
) -> tuple[Sysctl, ...]:
    base = {sysctl.name: sysctl.base for sysctl in observed.sysctls}
    found = {}
    if nat:
        # A connection of the gateway from a port that is forwarded would have its answers go
        # inside.
        forwarded = statics.outside_ports(nat.static)
        reserved = portset.union(base.get(RESERVED_PORTS, ""), nat.ports, *forwarded)
        found = {IP_FORWARD: "1", RESERVED_PORTS: reserved}
    families = {segment.family for segment in segments}
    for family, name in ((4, LO_FORWARDING), (6, LO_FORWARDING6)):
        if family in families:
            found[name] = "1"
    return tuple(
        Sysctl(name, value, base.get(name, "" if name == RESERVED_PORTS else "0"))
        for name, value in found.items()
    )
