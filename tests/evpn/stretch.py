# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sites of one segment: kernel bridges and VXLAN devices, a gobgpd each, speakers of ours."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid_gateway.evpn.speaker import EvpnSpeaker
from hybrid_gateway.evpn.view import EvpnView, MacState, MacView, SpeakerState
from hybrid_gateway.evpn.wanted import EvpnSegment, EvpnTable, EvpnWanted
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import Evpn, Segment
from tests.lib.gateway import eventually

from .bgp import SESSION_SECONDS, Speaker, neighbor, wired

VNI, ROUTED = 550, 900
DEVICES = {VNI: ("vni550", "br550"), ROUTED: ("vni900", "br900")}
DEVICE, PORT = "vni550", "p0"
HOLD_SECONDS = 3
NOBODY = "00:00:00:00:00:00"


class Site:
    """A gateway with one host; the underlay is the cable between the daemons."""

    def __init__(self, bgp: Speaker, stack: ExitStack) -> None:
        self.bgp = bgp
        self.host = f"{bgp.namespace}-host"
        self.mac = f"02:00:00:00:55:{bgp.number:02x}"
        self.address = f"10.55.0.{bgp.number}"
        self.speaker: EvpnSpeaker | None = None
        stack.callback(namespaces.delete, self.host)
        namespaces.add(self.host)
        self._build()
        self.wanted = self._wanted()
        stack.callback(self.stop)

    def _build(self) -> None:
        namespaces.ip_batch(
            self.bgp.namespace,
            [
                *(line for vni in DEVICES for line in self._device(vni)),
                f"link add {PORT} type veth peer name {PORT} netns {self.host}",
                f"link set {PORT} addrgenmode none master {DEVICES[VNI][1]}",
                f"link set {PORT} up",
            ],
        )
        namespaces.ip_batch(
            self.host,
            [
                f"link set {PORT} addrgenmode none address {self.mac}",
                f"address add {self.address}/24 dev {PORT}",
                f"link set {PORT} up",
            ],
        )

    def _device(self, vni: int) -> list[str]:
        device, bridge = DEVICES[vni]
        return [
            f"link add {bridge} type bridge",
            f"link add {device} type vxlan id {vni} local {self.bgp.address} dstport 4789 "
            "nolearning",
            *(f"link set {one} addrgenmode none" for one in (bridge, device)),
            f"link set {device} master {bridge}",
            f"link set {device} type bridge_slave learning off",
            *(f"link set {one} up" for one in (device, bridge)),
        ]

    def _wanted(self) -> EvpnWanted:
        links = {link["ifname"]: link for link in self.ip("link", "show")}
        segments = tuple(self._segment(vni, links) for vni in DEVICES)
        return EvpnWanted(self.bgp.section(), segments, (EvpnTable(ROUTED),))

    def _segment(self, vni: int, links: dict[str, dict[str, Any]]) -> EvpnSegment:
        device, bridge = DEVICES[vni]
        indexes = links[device]["ifindex"], links[bridge]["ifindex"]
        segment = Segment(
            indexes[0], device, vni, indexes[1], bridge, 4789, 6, local=self.bgp.address
        )
        return EvpnSegment(segment, True, bytes.fromhex(links[bridge]["address"].replace(":", "")))

    def ip(self, *argv: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            namespaces.run(["ip", "-n", self.bgp.namespace, "-j", *argv])
        )
        return found

    # ---- the speaker --------------------------------------------------------------------

    def start(self, section: Evpn, hold_time: int = HOLD_SECONDS) -> None:
        record = Path(self.bgp.directory) / f"{self.bgp.name}.floods"
        self.wanted = replace(self.wanted, section=replace(section, hold_time=hold_time))
        with namespaces.entered(self.bgp.namespace):
            self.speaker = EvpnSpeaker(f"unix://{self.bgp.socket}", record)
            self.speaker.follow(self.wanted)
            self.speaker.start()

    def stop(self, *, remove: bool = False) -> None:
        speaker, self.speaker = self.speaker, None
        if speaker:
            speaker.stop(remove=remove)
            assert speaker.view().state is SpeakerState.STOPPED

    def view(self) -> EvpnView:
        assert self.speaker
        return self.speaker.view(macs=True)

    def station(self, mac: str) -> MacView | None:
        wanted = bytes.fromhex(mac.replace(":", ""))
        return next((one for one in self.view().macs if one.mac == wanted), None)

    def state(self, mac: str) -> MacState | None:
        station = self.station(mac)
        return station.state if station else None

    def in_state(self, state: SpeakerState) -> bool:
        return self.view().state is state

    # ---- the kernel ---------------------------------------------------------------------

    def fdb(self, device: str = DEVICE) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            namespaces.run(["bridge", "-n", self.bgp.namespace, "-j", "fdb", "show", "dev", device])
        )
        return found

    def vteps(self, mac: str) -> set[str]:
        """Where the VXLAN device sends what is for this address."""
        return {row["dst"] for row in self.fdb() if row["mac"] == mac and "dst" in row}

    def routes(self) -> set[str]:
        """Of ours, in the main table."""
        show = ("-4", "route", "show", "proto", "179")
        return {route["dst"] for route in self.ip(*show)}

    def neighbours(self) -> dict[str, str]:
        """Addresses on the bridge that were learned from EVPN."""
        rows = self.ip("neigh", "show", "dev", DEVICES[VNI][1])
        return {row["dst"]: row["lladdr"] for row in rows if row.get("extern_learn", 0) is None}

    def bridge(self, line: str) -> None:
        namespaces.run(["bridge", "-n", self.bgp.namespace, *line.split()])

    def learned(self, mac: str) -> bool:
        return any(row["mac"] == mac for row in self.fdb(PORT))

    # ---- the host -----------------------------------------------------------------------

    def ping(self, other: "Site") -> str:
        """Three frames; raises LabError if none of them came back."""
        argv = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", other.address]
        return namespaces.run(namespaces.inside(self.host, argv))

    def speak(self, mac: str = "") -> None:
        """One broadcast frame of the host, or of another station behind its port."""
        if mac:
            namespaces.ip_batch(self.host, [f"link set {PORT} address {mac}"])
        argv = ["ping", "-n", "-c", "1", "-W", "1", "-b", "10.55.0.255"]
        namespaces.run(namespaces.inside(self.host, argv), check=False)
        if mac:
            namespaces.ip_batch(self.host, [f"link set {PORT} address {self.mac}"])

    def mute(self, mute: bool) -> None:
        """Whether the gateway neither says nor hears anything at the underlay."""
        rule = "table netdev mute { chain in { type filter hook ingress device wire priority 0; "
        rule += "policy drop; }; chain out { type filter hook egress device wire priority 0; "
        rule += "policy drop; }; }"
        if not mute:
            rule = "delete table netdev mute"
        namespaces.run(namespaces.inside(self.bgp.namespace, ["nft", "-f", "-"]), stdin=rule)

    def cable(self, up: bool) -> None:
        namespaces.ip_batch(self.host, [f"link set {PORT} {'up' if up else 'down'}"])


def stretched(
    directory: Path, stack: ExitStack, names: Sequence[str]
) -> dict[str, tuple[Site, Site]]:
    """Pairs of sites by name; their speakers run, and have heard each other. gobgpd calls nobody
    for its first five to ten seconds: all pairs wait for that at once."""
    pairs = {name: _begun(name, directory, stack) for name in names}
    for sites in pairs.values():
        together(*sites)
    return pairs


def _begun(name: str, directory: Path, stack: ExitStack) -> tuple[Site, Site]:
    left, right = Speaker(f"{name}-e", 1, directory), Speaker(f"{name}-w", 2, directory)
    wired(left, right, stack)
    sites = Site(left, stack), Site(right, stack)
    sites[0].start(left.section(neighbor(right)))
    sites[1].start(right.section(neighbor(left, passive=True)))
    return sites


def together(*sites: Site) -> None:
    for site in sites:
        others = {str(other.bgp.address) for other in sites if other is not site}
        eventually(
            lambda site=site, others=others: site.vteps(NOBODY) == others,  # type: ignore[misc]
            f"{site.bgp.name} floods to the other",
            SESSION_SECONDS,
        )
        eventually(
            lambda site=site: site.in_state(SpeakerState.SYNCHRONIZED),  # type: ignore[misc]
            f"{site.bgp.name} has settled",
            SESSION_SECONDS,
        )
