# SPDX-License-Identifier: GPL-2.0-or-later
"""The checked document as a `Config`, and the checks that a schema cannot express.

Everything is read through `Document.get`, which hides what is already known to
be wrong; so one mistake is reported once, and the rest of the file is still
checked.
"""

from typing import TypeVar

from ..model import (
    BYPASS_ALL,
    CONFIG_VERSION,
    DEFAULT_PORTS,
    DEFAULT_SESSIONS,
    FALLBACK_PORTS,
    LOCAL_PORTS,
    LOCAL_PORTS_LEFT,
    Config,
    Filtering,
    Nat44,
    Notice,
    PerHost,
    Port,
    PortRange,
    Timeouts,
)
from .document import Document, Path
from .evpn import evpn_of
from .options import log_of, mss_clamp_of
from .ports import ports_of, refuse_of_worker, worker_of
from .schema import nearest
from .static import check_ports_left, pool_of, refuse_without_local_ports, statics_of
from .vxlan import vxlan_of

T = TypeVar("T")

# RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2.
_TIMEOUT_MINIMA = {
    "udp": (120, "RFC 4787"),
    "icmp": (60, "RFC 5508"),
    "tcp-transitory": (240, "RFC 5382"),
    "tcp-established": (7440, "RFC 5382"),
}


def build(document: Document) -> Config:
    """Adds problems to the document; the result counts only if it then has none."""
    notices: list[Notice] = []
    ports = ports_of(document)
    nat44 = None
    if document.get("nat44") is not None:
        nat44 = _nat44(document, ports, notices)
    vxlan = vxlan_of(document, ports)
    refuse_of_worker(document, ports, nat44)
    return Config(
        version=CONFIG_VERSION,
        path=document.file,
        ports=ports,
        nat44=nat44,
        vxlan=vxlan,
        evpn=evpn_of(document, vxlan, notices),
        worker=worker_of(document, ports, notices),
        bypass=_bypass(document),
        warnings=tuple(notices),
    )


def _bypass(document: Document) -> tuple[str, ...]:
    if document.get("bypass") == "accepted":
        return (BYPASS_ALL,)
    return tuple(str(path[-1]) for path, _ in document.under("bypass"))


def _nat44(document: Document, ports: tuple[Port, ...], notices: list[Notice]) -> Nat44:
    at: Path = ("nat44",)
    outside = _outside(document, ports)
    inside = _inside(document, outside)
    addresses = pool_of(document)
    outside_ports = _port_range(document)
    static = statics_of(document, addresses)
    refuse_without_local_ports(document, static, outside_ports)
    check_ports_left(document, static, addresses, outside_ports, notices)
    return Nat44(
        inside=tuple(device for device, _ in inside),
        outside=outside.name if outside else "",
        addresses=addresses,
        sessions=_or(document.get(*at, "sessions"), DEFAULT_SESSIONS),
        filtering=Filtering(_or(document.get(*at, "filtering"), Filtering.ADDRESS_DEPENDENT.value)),
        ports=outside_ports,
        timeouts=_timeouts(document, notices),
        static=static,
        per_host=_per_host(document, outside_ports, len(addresses), notices),
        mss_clamp=mss_clamp_of(document),
        log=log_of(document, notices),
        persist=_or(document.get(*at, "persist"), False),
        line=document.line(at),
        inside_lines=tuple(line for _, line in inside),
    )


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _outside(document: Document, ports: tuple[Port, ...]) -> Port | None:
    name = document.get("nat44", "outside")
    if name is None:
        return None
    for port in ports:
        if port.name == name:
            return port
    declared = document.value.get("ports")
    names = list(declared) if isinstance(declared, dict) else []
    if name in names:
        return None  # declared, but wrong: reported where it is declared
    message = f"no port is named {name}{nearest(name, names)}"
    for port in ports:
        if port.device == name:
            message = f"must be the name of a port; device {name} is port {port.name}"
    if not names:
        message += "; `ports:` is empty"
    document.add(("nat44", "outside"), message, "config.unknown-port")
    return None


def _inside(document: Document, outside: Port | None) -> list[tuple[str, int]]:
    devices: list[tuple[str, int]] = []
    for path, device in document.under("nat44", "inside"):
        if outside and device == outside.device:
            message = f"device {device} is the outside port {outside.name}"
            document.add(path, message, "config.conflict")
        devices.append((device, document.line(path)))
    return devices


def _port_range(document: Document) -> PortRange:
    default = DEFAULT_PORTS
    text = document.get("nat44", "ports")
    if text is None:
        return default
    low, high = (int(part) for part in text.split("-"))
    found = PortRange(low, high)
    message = ""
    if high > 65535:
        message = f"port {high} does not exist; the highest is 65535"
    elif low > high:
        message = f"{text} is empty: {low} is above {high}"
    elif low < 1024:
        message = "must be 1024 or above: ports below belong to services"
    elif found.overlaps(FALLBACK_PORTS):
        message = f"{text} overlaps {FALLBACK_PORTS}, the ports of flows that the kernel translates"
    elif len(LOCAL_PORTS) - found.shared(LOCAL_PORTS) < LOCAL_PORTS_LEFT:
        message = (
            f"{text} leaves the gateway's own connections fewer than {LOCAL_PORTS_LEFT} "
            f"of the ports {LOCAL_PORTS} that Linux gives out"
        )
    if message:
        document.add(("nat44", "ports"), message, "config.port-range")
        return default
    return found


def _timeouts(document: Document, notices: list[Notice]) -> Timeouts:
    values: dict[str, int] = {}
    for path, seconds in document.under("nat44", "timeouts"):
        name = str(path[-1])
        minimum, source = _TIMEOUT_MINIMA.get(name, (0, ""))
        if seconds < minimum:
            notices.append(
                Notice(document.where(path), f"{seconds} s is below the {minimum} s of {source}")
            )
        values[name.replace("-", "_")] = seconds
    return Timeouts(**values)


def _per_host(
    document: Document, ports: PortRange, addresses: int, notices: list[Notice]
) -> PerHost:
    values: dict[str, int] = {}
    sessions = _or(document.get("nat44", "sessions"), DEFAULT_SESSIONS)
    limits = {"sessions": (sessions, "sessions in all"), "ports": (len(ports), "ports in all")}
    for path, value in document.under("nat44", "per-host"):
        name = str(path[-1])
        limit, what = limits[name]
        if value > limit * (addresses if name == "ports" else 1):
            notices.append(Notice(document.where(path), f"{value} has no effect: {limit} {what}"))
        values[name] = value
    return PerHost(**values)
