# SPDX-License-Identifier: GPL-2.0-or-later
"""All that the kernel has configured on one network device, as a value that can be stored."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import DeviceError
from . import messages, routing

TEXT_MAX = 4096
LIST_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What was on a device at one moment; capture.py fills it, restore_state.py puts it back.

    The messages are as messages.py keeps them, in the kernel's order.
    """

    name: str
    ifindex: int
    mac: str
    flags: int
    """IFF_*, of which those are put back that `ip link` sets."""
    mtu: int
    queue_length: int = 0
    group: int = 0
    alias: str = ""
    altnames: tuple[str, ...] = ()
    master: str = ""
    """A bridge or VRF, by name."""
    port: bytes = b""
    """Settings of a bridge port (IFLA_BRPORT_*)."""
    vlans: bytes = b""
    """VLANs of a bridge port (IFLA_AF_SPEC)."""
    sysctls: dict[str, str] = field(default_factory=dict)
    """By path below /proc/sys, with DEVICE for the name."""
    features: dict[str, bool] = field(default_factory=dict)
    addresses: tuple[bytes, ...] = ()
    nexthops: tuple[bytes, ...] = ()
    """Objects of `ip nexthop`, groups after what they consist of."""
    routes: tuple[bytes, ...] = ()
    neighbours: tuple[bytes, ...] = ()
    stations: tuple[bytes, ...] = ()
    others: dict[int, str] = field(default_factory=dict)
    """Names of the other devices that the routes leave by."""
    at: float = 0.0
    """When, by CLOCK_BOOTTIME: lifetimes go on while nothing is configured."""
    managed: bool = False
    """systemd-networkd configured it."""


BYTES = ("port", "vlans")
MESSAGES = {
    "addresses": messages.ADDRESS,
    "nexthops": messages.NEXTHOP,
    "routes": routing.ROUTE,
    "neighbours": messages.NEIGHBOUR,
    "stations": messages.NEIGHBOUR,
}


def to_json(state: DeviceState) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for name in DeviceState.__slots__:
        value = getattr(state, name)
        if name in BYTES:
            value = value.hex()
        elif name in MESSAGES:
            value = [message.hex() for message in value]
        elif name == "altnames":
            value = list(value)
        elif name == "others":
            value = {str(ifindex): other for ifindex, other in value.items()}
        stored[name] = value
    return stored


def from_json(stored: Any) -> DeviceState:
    """DeviceError for anything that `to_json` would not have written."""
    if not isinstance(stored, dict) or set(stored) != set(DeviceState.__slots__):
        raise DeviceError("the state of a device has other fields", code="device.record")
    fields = dict(stored)
    try:
        for name in BYTES:
            fields[name] = bytes.fromhex(stored[name])
        for name, layout in MESSAGES.items():
            kept = tuple(bytes.fromhex(message) for message in _list(stored[name]))
            if any(len(message) < layout.size for message in kept):
                raise ValueError(f"{name}: a message is cut short")
            fields[name] = kept
        fields["altnames"] = tuple(_text(name) for name in _list(stored["altnames"]))
        fields["others"] = {int(index): _text(name) for index, name in stored["others"].items()}
        fields["sysctls"] = {_text(name): _text(v) for name, v in stored["sysctls"].items()}
        fields["features"] = {_text(name): bool(on) for name, on in stored["features"].items()}
        for name in ("name", "mac", "alias", "master"):
            fields[name] = _text(stored[name])
        for name in ("ifindex", "flags", "mtu", "queue_length", "group"):
            fields[name] = _number(stored[name])
        fields["at"], fields["managed"] = float(stored["at"]), bool(stored["managed"])
    except (ValueError, TypeError, AttributeError) as error:
        raise DeviceError(f"the state of a device: {error}", code="device.record") from error
    _inside(fields["sysctls"])
    return DeviceState(**fields)


def _inside(sysctls: dict[str, str]) -> None:
    """A record cannot make us write anywhere else."""
    for name in sysctls:
        if not name.startswith("net/ipv") or ".." in name.split("/"):
            raise DeviceError(f"{name} is no setting of a device", code="device.record")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > LIST_MAX:
        raise ValueError("want a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise ValueError("want text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError("want a number")
    return value
