# SPDX-License-Identifier: GPL-2.0-or-later
"""What NAT44 does on request: clamping of the MSS, the log."""

from ..model import PMTU, MssClamp, NatLog, Notice
from . import endpoint
from .document import Document, Path

LOG: Path = ("nat44", "log")


def mss_clamp_of(document: Document) -> MssClamp:
    """YAML reads the word off as false; in quotes it means the same."""
    value = document.get("nat44", "mss-clamp")
    if value == PMTU:
        return PMTU
    return value if isinstance(value, int) and value is not False else None


def log_of(document: Document, notices: list[Notice]) -> NatLog:
    """A collector may run on the gateway itself."""
    found = NatLog(
        sessions=document.get(*LOG, "sessions") is True,
        mappings=document.get(*LOG, "mappings") is True,
        destinations=document.get(*LOG, "destinations") is True,
        ipfix=endpoint.endpoint(document, (*LOG, "ipfix"), loopback=True),
    )
    if found.destinations and not found.sessions and not found.ipfix:
        where = document.where((*LOG, "destinations"))
        notices.append(Notice(where, "has no effect without sessions: true or a collector"))
    return found
