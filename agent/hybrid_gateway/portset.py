# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of ports in the notation of net.ipv4.ip_local_reserved_ports: "8080,20000-49999"."""

from .model import PortRange


def parse(text: str) -> frozenset[int]:
    """ValueError for text that is not in the kernel's notation."""
    ports: set[int] = set()
    for part in text.replace("\n", "").split(","):
        if part.strip():
            low, _, high = part.partition("-")
            ports.update(range(int(low), int(high or low) + 1))
    return frozenset(ports)


def text(ports: frozenset[int]) -> str:
    """As the kernel prints it: ascending, neighbours joined."""
    ranges: list[tuple[int, int]] = []
    for port in sorted(ports):
        if ranges and port == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], port)
        else:
            ranges.append((port, port))
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in ranges)


def union(value: str, *ranges: PortRange) -> str:
    return text(parse(value).union(*(range(ports.low, ports.high + 1) for ports in ranges)))


def without(value: str, ours: str, original: str) -> str:
    """`value` less what `ours` added to `original`; keeps what others added since."""
    return text(parse(value) - (parse(ours) - parse(original)))
