# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps from what is observed to what is wanted.

The same two models always give the same steps, so what `gwctl plan` prints is what
`gwctl apply` does; once they are done, the next plan is empty.
"""

from collections.abc import Iterator

from ..model import (
    IP_FORWARD,
    LO_FORWARDING,
    Attachment,
    FallbackTable,
    Observed,
    Offload,
    Settings,
    Step,
    StepKind,
    Wanted,
)
from .heard import HeardPlanner
from .worker import WorkerPlanner


class Planner:
    """Compares two models; touches nothing."""

    def __init__(self, wanted: Wanted, observed: Observed) -> None:
        self._wanted = wanted
        self._observed = observed
        self._written = observed.written
        # New maps are empty, so everything is written into them again.
        self._fresh = wanted.sizes is not None and wanted.sizes != observed.written.sizes

        self._forgets = tuple(self._restored(forwarding=True))
        self._heard = HeardPlanner(wanted.worker, observed)
        self._worker = WorkerPlanner(wanted.worker, observed.worker, self._heard.missing)

    def steps(self) -> tuple[Step, ...]:
        """Removals from the top layer down, then additions from the bottom up."""
        return (
            *self._forgets,
            *self._worker.removals(),
            *self._removals(),
            *self._restored(forwarding=False),
            *self._programs(),
            *self._host(),
            *self._tables(),
            *self._ports(),
            *self._sysctls(forwarding=True),
            *self._heard.additions(),
            *self._worker.additions(),
            *self._heard.removals(),
        )

    # ---- removals ---------------------------------------------------------------------

    def _removals(self) -> Iterator[Step]:
        wanted, observed = self._wanted, self._observed
        yield from self._detachments()
        for hop in sorted(observed.managed_changed - wanted.managed):
            text = f"let the kernel forget next hop {hop.address} when nothing uses it"
            yield Step(StepKind.FORGET, str(hop.address), text, hop)
        kept = {(offload.ifindex, offload.feature) for offload in wanted.offloads}
        for offload in observed.offloads_changed:
            if (offload.ifindex, offload.feature) not in kept:
                text = f"switch {offload.feature} back on"
                yield Step(StepKind.RESTORE_OFFLOAD, offload.device, text, offload)
        if observed.table and wanted.table is None:
            yield Step(StepKind.REMOVE_TABLE, "inet gw", "remove the nftables table")

    def _restored(self, *, forwarding: bool) -> Iterator[Step]:
        """What of the host's own values comes back. Forwarding ends before the guard goes."""
        names = {sysctl.name for sysctl in self._wanted.sysctls}
        for sysctl in self._observed.sysctls:
            if (
                sysctl.name in self._observed.sysctls_changed
                and sysctl.name not in names
                and (sysctl.name == IP_FORWARD) == forwarding
            ):
                text = f"put back {sysctl.base!r}"
                yield Step(StepKind.RESTORE_SYSCTL, sysctl.name, text, sysctl)

    def _detachments(self) -> Iterator[Step]:
        """Of ports that are not wanted any more, and of what devices that left have left."""
        wanted = {attachment.ifindex for attachment in self._wanted.attachments}
        names = {link.ifindex: link.name for link in self._observed.links}
        known = {attachment.ifindex: attachment for attachment in self._written.attachments}
        attached = {ifindex for ifindex, _ in self._observed.attached}
        # A device that was renamed goes on forwarding: its guard stays until NAT has another.
        table = self._wanted.table
        translates = table is not None and table.outside
        guarding = translates and not any(a.outside for a in self._wanted.attachments)
        for ifindex in sorted((attached | set(known)) - wanted):
            default = Attachment(ifindex, names.get(ifindex, f"device {ifindex}"))
            attachment = known.get(ifindex, default)
            if guarding and attachment.outside and ifindex in names:
                continue
            text = "remove the programs from this port"
            yield Step(StepKind.DETACH, attachment.name, text, attachment)
        cutting = {tunnel.ifindex for tunnel in self._wanted.tunnels}
        there = self._observed.tunnels_left | {tunnel.ifindex for tunnel in self._written.tunnels}
        for ifindex in sorted(there - cutting):
            tunnel = Attachment(ifindex, names.get(ifindex, f"device {ifindex}"))
            text = "remove the program from this VXLAN device"
            yield Step(StepKind.DETACH_TUNNEL, tunnel.name, text, tunnel)

    # ---- additions --------------------------------------------------------------------

    def _programs(self) -> Iterator[Step]:
        """And what they know of bridges: the nftables table takes the VTEPs from there."""
        wanted = self._wanted
        if wanted.sizes is None:
            return
        if self._fresh:
            text = f"load the programs, with room for {wanted.sizes.sessions} sessions"
            if self._observed.attached:
                text += "; those that there are are carried over"
            yield Step(StepKind.LOAD, "XDP", text, wanted.sizes)
        if self._fresh or wanted.stations != self._written.stations:
            bridges = len({port.bridge for port in wanted.mirrored})
            text = f"{len(wanted.segments)} VXLAN segments, {bridges} bridges"
            yield Step(StepKind.MIRROR, "stations", text, wanted.stations)

    def _host(self) -> Iterator[Step]:
        wanted, observed = self._wanted, self._observed
        yield from self._sysctls(forwarding=False)
        if wanted.table and (
            wanted.table != self._written.table
            or not observed.table
            or observed.table != self._written.fingerprint
        ):
            yield Step(StepKind.TABLE, "inet gw", _purpose(wanted.table), wanted.table)
        is_on = {(o.ifindex, o.feature) for o in observed.offloads if o.on}
        for offload in wanted.offloads:
            if (offload.ifindex, offload.feature) in is_on:
                text = f"switch {offload.feature} off: frames have to come whole, with tags"
                yield Step(StepKind.OFFLOAD, offload.device, text, offload)

    def _sysctls(self, *, forwarding: bool) -> Iterator[Step]:
        """Forwarding comes last: not before the guard stands and the table translates."""
        values = {sysctl.name: sysctl.value for sysctl in self._observed.sysctls}
        if self._forgets and any(step.subject == IP_FORWARD for step in self._forgets):
            values[LO_FORWARDING] = "0"  # it goes along
        for sysctl in self._wanted.sysctls:
            if (sysctl.name == IP_FORWARD) == forwarding and values.get(
                sysctl.name
            ) != sysctl.value:
                text = f"{values.get(sysctl.name, '')!r} becomes {sysctl.value!r}"
                yield Step(StepKind.SYSCTL, sysctl.name, text, sysctl)

    def _tables(self) -> Iterator[Step]:
        """Settings last: they say that NAT is on."""
        wanted, written = self._wanted, self._written
        if wanted.sizes is None:
            return
        if self._fresh or wanted.addresses != written.addresses:
            listed = ", ".join(map(str, wanted.addresses)) or "none"
            yield Step(StepKind.ADDRESSES, "outside addresses", listed, wanted.addresses)
        if self._fresh or wanted.statics != written.statics:
            text = f"{len(wanted.statics)} static mappings"
            yield Step(StepKind.STATICS, "static mappings", text, wanted.statics)
        if self._fresh or wanted.prefixes != written.prefixes:
            listed = ", ".join(map(str, wanted.prefixes[:4])) or "none"
            more = f" and {len(wanted.prefixes) - 4} more" if len(wanted.prefixes) > 4 else ""
            yield Step(StepKind.PREFIXES, "inside prefixes", listed + more, wanted.prefixes)
        if self._fresh or wanted.vnis != written.vnis:
            text = f"{len(wanted.vnis)} VNIs at local addresses"
            yield Step(StepKind.VNIS, "VNIs", text, wanted.vnis)
        if self._fresh or wanted.devices != written.devices:
            listed = ", ".join(device.name for device in wanted.devices) or "none"
            yield Step(StepKind.DEVICES, "devices", listed, wanted.devices)
        if self._fresh or wanted.settings != written.settings:
            yield Step(StepKind.SETTINGS, "data path", _state(wanted.settings), wanted.settings)

    def _ports(self) -> Iterator[Step]:
        for attachment in self._wanted.attachments:
            known = attachment in self._written.attachments
            if self._fresh or not known or not self._complete(attachment):
                role = self._role(attachment)
                text = f"attach the programs, as {role} port"
                yield Step(StepKind.ATTACH, attachment.name, text, attachment)
        for tunnel in self._wanted.tunnels:
            if self._fresh or tunnel.ifindex not in self._observed.tunnels:
                text = "attach the program that cuts what does not fit the underlay"
                yield Step(StepKind.ATTACH_TUNNEL, tunnel.name, text, tunnel)
        for hop in sorted(self._wanted.managed - self._observed.managed):
            text = f"have the kernel watch next hop {hop.address}"
            yield Step(StepKind.MANAGE, str(hop.address), text, hop)

    def _role(self, port: Attachment) -> str:
        if port.outside:
            return "outside"
        device = next((d for d in self._wanted.devices if d.ifindex == port.ifindex), None)
        if device is None or device.inside:
            return "inside"
        return "access" if device.bridged else "underlay"

    def _complete(self, port: Attachment) -> bool:
        """A TC filter goes with the qdisc that somebody deletes, while the XDP link stays."""
        observed = self._observed
        return (
            any(ifindex == port.ifindex for ifindex, _ in observed.attached)
            and port.ifindex in observed.handover
            and (not port.outside or port.ifindex in observed.guard)
        )


def _harm(offload: Offload) -> str:
    if offload.feature.startswith("tx-"):
        return "what is too long for the underlay is cut when it is whole, with its checksum"
    return "it hides frames or tags from XDP"


def _purpose(table: FallbackTable) -> str:
    purposes = []
    if table.inside:
        purposes.append(f"for {', '.join(table.inside)}")
    if table.sources:
        purposes.append(f"with the senders of {len(table.sources)} VNIs")
    return " ".join(["write the nftables table", *purposes])


def _state(settings: Settings) -> str:
    ports = ", ".join(map(str, settings.vxlan_ports))
    vxlan = f"VXLAN at UDP {ports}" if ports else ""
    return "; ".join(filter(None, (_nat_state(settings), vxlan)))


def _nat_state(settings: Settings) -> str:
    if not settings.enabled:
        return "NAT44 off"
    addresses = ", ".join(map(str, settings.addresses)) or "no address"
    clamp = f", MSS at most {settings.mss}" if settings.mss else ""
    return f"{addresses}, ports {settings.ports}{clamp}{', logged' if settings.log else ''}"
