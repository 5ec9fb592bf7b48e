# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN for a site of plain Linux, by Debian's `gobgp` and `bridge`. A program of its own.

It shares nothing with the gateway: gobgpd has a configuration file, its client announces what
`bridge monitor` tells, and `bridge` enters what its monitor tells. A station that moves here from
elsewhere stays where it was for the others, as that client cannot say a sequence number.

    --vtep ADDRESS --vni NUMBER --device VXLAN --access PORT …    the segment
    --asn NUMBER --router-id ADDRESS --peer ADDRESS …             the sessions, iBGP
    --hold-time SECONDS                                           of those, 3 unless it is given
    --directory PATH                                              of its socket and log

Reports READY=1 once gobgpd answers and knows the site's own VTEP. SIGTERM ends it and gobgpd.
"""

import argparse
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 15.0
NEIGHBOR = """
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{peer}"
    peer-as = {asn}
  [neighbors.timers.config]
    hold-time = {hold}
    keepalive-interval = {keepalive}
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
"""
EVERYWHERE = "00:00:00:00:00:00"
MAC, FLOOD = 2, 3
"""Types of routes (RFC 7432 section 7)."""
MOBILITY = (6, 0)
"""Type and subtype of the extended community (section 7.7)."""
PR_SET_PDEATHSIG = 1
NEXT_HOP = 14
COMMUNITIES = 16
"""Types of attributes (RFC 4760, RFC 4360)."""


class Segment:
    """The VXLAN device's FDB as the routes of others have it."""

    def __init__(self, device: str, own: str, target: str) -> None:
        self._device = device
        self._own = ip_address(own)
        self._target = target
        self._routes: dict[str, tuple[str, str, int]] = {}
        """MAC address, VTEP and sequence by what tells a route from another."""
        self._entered: dict[str, str] = {}
        """VTEP by MAC address."""

    def heard(self, path: dict[str, Any], withdrawn: bool) -> None:
        """One path of `gobgp -j`; other types of routes and our own are passed over."""
        nlri = path["nlri"]
        kind, value = nlri["type"], nlri["value"]
        vtep = _vtep(path)
        if kind not in (MAC, FLOOD) or not vtep or ip_address(vtep) == self._own:
            return
        if self._target not in (one.get("value") for one in _communities(path)):
            return
        key = json.dumps([kind, value["rd"], value.get("mac"), value["ip"]])
        if kind == FLOOD and withdrawn != (key not in self._routes):
            _bridge("del" if withdrawn else "append", EVERYWHERE, self._device, vtep)
        if withdrawn:
            self._routes.pop(key, None)
        else:
            self._routes[key] = (value.get("mac", EVERYWHERE), vtep, _sequence(path))
        if kind == MAC:
            self._enter(value["mac"])

    def _enter(self, mac: str) -> None:
        """RFC 7432 section 7.7: the highest sequence, then the lowest VTEP."""
        known = [
            (-sequence, ip_address(vtep).packed, vtep)
            for there, vtep, sequence in self._routes.values()
            if there == mac
        ]
        vtep = min(known)[2] if known else ""
        before = self._entered.pop(mac, "")
        if before and before != vtep:
            _bridge("del", mac, self._device, before)
            _bridge("del", mac, self._device, "")
        if vtep:
            self._entered[mac] = vtep
            if before != vtep:
                _bridge("replace", mac, self._device, vtep)
                _bridge("replace", mac, self._device, "")


def _vtep(path: dict[str, Any]) -> str:
    for attribute in path["attrs"]:
        if attribute["type"] == NEXT_HOP:
            return str(attribute["nexthop"])
    return ""


def _communities(path: dict[str, Any]) -> list[dict[str, Any]]:
    values = (each["value"] for each in path["attrs"] if each["type"] == COMMUNITIES)
    return [community for value in values for community in value]


def _sequence(path: dict[str, Any]) -> int:
    for community in _communities(path):
        if (community.get("type"), community.get("subtype")) == MOBILITY:
            return int(community.get("sequence", 0))
    return 0


def _bridge(verb: str, mac: str, device: str, vtep: str) -> None:
    """The VXLAN device's entry, or the bridge's if there is no VTEP."""
    where = ["dst", vtep, "self"] if vtep else ["master"]
    how = (
        [] if verb == "del" else ["permanent"] if mac == EVERYWHERE else ["dynamic", "extern_learn"]
    )
    argv = ["bridge", "fdb", verb, mac, "dev", device, *where, *how]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{' '.join(argv)}: {done.stderr.strip()}", file=sys.stderr)


class Plain:
    """The site."""

    def __init__(self, arguments: argparse.Namespace, stack: ExitStack) -> None:
        self._arguments = arguments
        self._stack = stack
        self._target = f"unix://{arguments.directory}/bgp.sock"
        target = f"{arguments.asn}:{arguments.vni}"
        self._segment = Segment(arguments.device, arguments.vtep, target)
        self._selector = stack.enter_context(selectors.DefaultSelector())

    def run(self) -> None:
        self._daemon()
        self._announce("multicast", self._arguments.vtep, pmsi=True)
        # First the monitors, then what was there before: what is told twice does no harm.
        routes = self._monitor(self._gobgp("monitor", "global", "rib", "-a", "evpn", "-j"))
        stations = self._monitor(["bridge", "monitor", "fdb"])
        told = json.loads(self._ask("global", "rib", "-a", "evpn", "-j") or "{}")
        for paths in told.values() if isinstance(told, dict) else ():
            self._paths(paths)
        for line in _output(["bridge", "fdb", "show"]).splitlines():
            self._station(line)
        _ready()
        while True:
            for key, _ in self._selector.select():
                line = key.fileobj.readline()  # type: ignore[union-attr]
                if not line:
                    sys.exit(f"{key.data} has ended")
                if key.fileobj is routes.stdout:
                    self._paths(json.loads(line))
                elif key.fileobj is stations.stdout:
                    self._station(line.decode())

    def _daemon(self) -> None:
        told = self._arguments
        text = f'[global.config]\n  as = {told.asn}\n  router-id = "{told.router_id}"\n'
        session = {"asn": told.asn, "hold": told.hold_time, "keepalive": told.hold_time // 3}
        text += "".join(NEIGHBOR.format(peer=peer, **session) for peer in told.peer)
        file = Path(told.directory) / "gobgpd.toml"
        file.write_text(text)
        argv = ["gobgpd", "-f", str(file), "--api-hosts", self._target, "--pprof-disable"]
        self._started(argv, sys.stderr.fileno())
        deadline = time.monotonic() + ANSWER_SECONDS
        while subprocess.run(self._gobgp("global"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                sys.exit("gobgpd does not answer")

    def _gobgp(self, *words: str) -> list[str]:
        return ["gobgp", "--target", self._target, *words]

    def _ask(self, *words: str) -> str:
        return _output(self._gobgp(*words))

    def _monitor(self, argv: list[str]) -> "subprocess.Popen[bytes]":
        process = self._started(argv, subprocess.PIPE)
        assert process.stdout
        self._selector.register(process.stdout, selectors.EVENT_READ, argv[0])
        return process

    def _started(self, argv: list[str], output: int) -> "subprocess.Popen[bytes]":
        # A reader of lines has to see in the pipe all that it has not read yet.
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, bufsize=0, preexec_fn=_end_with_parent
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process

    def _announce(self, kind: str, what: str, *, pmsi: bool = False, verb: str = "add") -> None:
        told = self._arguments
        words = ["global", "rib", verb, "-a", "evpn", kind, what]
        words += ["0.0.0.0", "etag", "0", "label", str(told.vni)] if not pmsi else ["etag", "0"]
        words += ["rd", f"{told.router_id}:{told.vni}", "rt", f"{told.asn}:{told.vni}"]
        words += ["encap", "vxlan"]
        words += ["pmsi", "ingress-repl", str(told.vni), told.vtep] if pmsi else []
        self._ask(*words, "nexthop", told.vtep)

    def _paths(self, paths: list[dict[str, Any]]) -> None:
        for path in paths:
            self._segment.heard(path, bool(path.get("withdrawal")))

    def _station(self, line: str) -> None:
        """`[Deleted ]MAC dev PORT … master BRIDGE …`, of those that an access port has learned."""
        words = line.split()
        gone = words[:1] == ["Deleted"]
        mac, *rest = words[1:] if gone else words or [""]
        port = dict(pairwise(rest)).get("dev")
        if port in self._arguments.access and not {"self", "permanent"}.intersection(rest):
            self._announce("macadv", mac, verb="del" if gone else "add")


def _end_with_parent() -> None:
    """Also if that is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _output(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{' '.join(argv)}: {done.stderr.strip()}", file=sys.stderr)
    return done.stdout


def _ready() -> None:
    """To whoever wants to know as systemd does."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1\n", path)


def main() -> None:
    parser = argparse.ArgumentParser(description="EVPN for a site of plain Linux")
    parser.add_argument("--instance", help="whose lab it is, to be found by")
    for name in ("directory", "vtep", "device", "router-id"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("vni", "asn"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--hold-time", type=int, default=3)
    for name in ("access", "peer"):
        parser.add_argument(f"--{name}", action="append", default=[])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        Plain(parser.parse_args(), stack).run()


if __name__ == "__main__":
    main()
