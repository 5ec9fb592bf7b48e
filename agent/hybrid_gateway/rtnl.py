# SPDX-License-Identifier: GPL-2.0-or-later
"""Route netlink: one socket for requests, pyroute2's message classes for what is in them.

pyroute2's own package import loads all of it (120 ms and 20 MB on a fast machine, a third of
what the agent may use); the message classes alone take 30 ms and 5 MB. So its modules are
imported under a bare package object. Its sockets are not used: they poll with threads and
retry on their own, and the agent needs neither.
"""

import contextlib
import errno
import importlib.util
import socket
import struct
import sys
import types
from collections.abc import Iterator
from typing import Any

from .errors import KernelError


@contextlib.contextmanager
def _bare_package(name: str) -> Iterator[None]:
    """Lets submodules be imported without running the package's __init__."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None:
        yield
        return
    package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations or ())
    package.__spec__ = spec
    sys.modules[name] = package
    try:
        yield
    finally:
        # Whoever imports the whole package later gets it, around the modules loaded here.
        del sys.modules[name]


with _bare_package("pyroute2"):
    from pyroute2.netlink import nlmsg
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER = 44, 45
RTM_NEWNETCONF = 80
RTM_NEWTUNNEL, RTM_DELTUNNEL, RTM_GETTUNNEL = 120, 121, 122
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x01, 0x04, 0x10
NLM_F_DUMP, NLM_F_REPLACE, NLM_F_CREATE = 0x300, 0x100, 0x400
RTNLGRP_LINK, RTNLGRP_TC = 1, 4
RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE = 5, 7
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE = 9, 11
RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE = 8, 19
RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF = 24, 25
RTNLGRP_TUNNEL = 35
RTEXT_FILTER_BRVLAN_COMPRESSED = 1 << 2
RTEXT_FILTER_SKIP_STATS = 1 << 3
NETLINK_GET_STRICT_CHK, NETLINK_EXT_ACK = 12, 11
NETLINK_ADD_MEMBERSHIP = 1
SOL_NETLINK = 270
SO_RCVBUFFORCE = 33
NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7

HEADER = struct.Struct("=IHHII")
DUMP_BUFFER = 1 << 17
DUMP_TRIES = 5
EVENT_BUFFER = 4 << 20
"""Bytes; the kernel charges about 1 kB for a neighbour event: some 4,000 fit."""


class NeighbourMessage(ndmsg):  # type: ignore[misc]  # pyroute2 brings no types
    """ndmsg with the attributes that pyroute2 0.7.2 does not know yet."""

    __slots__ = ()
    nla_map = (
        *ndmsg.nla_map[:10],
        ("NDA_LINK_NETNSID", "uint32"),
        ("NDA_SRC_VNI", "uint32"),
        ("NDA_PROTOCOL", "uint8"),
        ("NDA_NH_ID", "uint32"),
        ("NDA_FDB_EXT_ATTRS", "hex"),
        ("NDA_FLAGS_EXT", "uint32"),
    )


class TunnelMessage(nlmsg):  # type: ignore[misc]  # pyroute2 brings no types
    """struct tunnel_msg, of which pyroute2 0.7.2 knows nothing."""

    __slots__ = ()
    fields = (("family", "B"), ("flags", "B"), ("reserved", "H"), ("ifindex", "I"))


class RuleMessage(nlmsg):  # type: ignore[misc]  # pyroute2 brings no types
    """struct fib_rule_hdr: pyroute2's class for it loads another half of the package."""

    __slots__ = ()
    fields = (("family", "B"), *((f"byte{i}", "B") for i in range(1, 8)), ("flags", "I"))


MESSAGES: dict[int, type[nlmsg]] = {
    RTM_GETLINK: ifinfmsg,
    RTM_GETADDR: ifaddrmsg,
    RTM_GETROUTE: rtmsg,
    RTM_GETNEIGH: NeighbourMessage,
    RTM_NEWNEIGH: NeighbourMessage,
    RTM_GETQDISC: tcmsg,
    RTM_GETRULE: RuleMessage,
    RTM_GETTUNNEL: TunnelMessage,
}


def split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The (type, flags, sequence, whole message) of each message of one datagram."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield kind, flags, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


ATTRIBUTE = struct.Struct("=HH")
NLA_TYPE_MASK = 0x3FFF
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The (type, value) of each attribute from `offset` on; what is cut short is left out."""
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & NLA_TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def decode(cls: type[nlmsg], data: bytes) -> Any:
    message = cls(bytearray(data))
    message.decode()
    return message


class Rtnl:
    """Requests and dumps; blocking, but the kernel answers at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, 0))
        # Only with strict checking does the kernel apply the filters of a dump request.
        with contextlib.suppress(OSError):
            self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def dump(self, kind: int, /, *attrs: tuple[str, Any], **fields: Any) -> list[Any]:
        """All answers to a dump; repeated when the table changed underneath."""
        return [decode(MESSAGES[kind], data) for data in self.dump_raw(kind, *attrs, **fields)]

    def dump_raw(self, kind: int, /, *attrs: tuple[str, Any], **fields: Any) -> list[bytes]:
        """Likewise, whole messages as they came."""
        for _ in range(DUMP_TRIES):
            answers, consistent = self._dump_once(kind, attrs, fields)
            if consistent:
                break
        return answers

    def _dump_once(
        self, kind: int, attrs: tuple[tuple[str, Any], ...], fields: dict[str, Any]
    ) -> tuple[list[bytes], bool]:
        return self._answers(kind, self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, attrs, fields))

    def _answers(self, kind: int, sequence: int) -> tuple[list[bytes], bool]:
        answers: list[bytes] = []
        consistent = True
        while True:
            for answer, flags, number, data in split(self._socket.recv(DUMP_BUFFER)):
                if number != sequence:
                    continue
                consistent = consistent and not flags & NLM_F_DUMP_INTR
                if answer == NLMSG_DONE:
                    return answers, consistent
                if answer == NLMSG_ERROR:
                    raise KernelError(f"netlink dump {kind}", _error(data), code="netlink.dump")
                answers.append(data)

    def ask(self, kind: int, /, *attrs: tuple[str, Any], **fields: Any) -> Any:
        """One question about one thing; KernelError with the kernel's errno when it has none."""
        sequence = self._send(kind, NLM_F_REQUEST, attrs, fields)
        while True:
            for answer, _, number, data in split(self._socket.recv(DUMP_BUFFER)):
                if number == sequence and answer == NLMSG_ERROR:
                    raise KernelError(f"netlink {kind}", _error(data), code="netlink.ask")
                if number == sequence:
                    return decode(MESSAGES[kind], data)

    def ask_body(self, kind: int, body: bytes) -> bytes:
        """Likewise, of a message whose header alone is still missing; the answer as it came."""
        sequence = self._send_raw(kind, NLM_F_REQUEST, body)
        while True:
            for answer, _, number, data in split(self._socket.recv(DUMP_BUFFER)):
                if number == sequence and answer == NLMSG_ERROR:
                    raise KernelError(f"netlink {kind}", _error(data), code="netlink.ask")
                if number == sequence:
                    return data

    def request(self, kind: int, flags: int, /, *attrs: tuple[str, Any], **fields: Any) -> None:
        """One change, acknowledged; KernelError with the kernel's errno when refused."""
        sequence = self._send(kind, NLM_F_REQUEST | NLM_F_ACK | flags, attrs, fields)
        self._acknowledged(kind, sequence)

    def request_raw(self, kind: int, flags: int, body: bytes) -> None:
        """Likewise, of a message whose header alone is still missing."""
        sequence = self._send_raw(kind, NLM_F_REQUEST | NLM_F_ACK | flags, body)
        self._acknowledged(kind, sequence)

    def dump_body(self, kind: int, body: bytes) -> list[bytes]:
        """A dump whose request is such a message; repeated when the table changed underneath."""
        for _ in range(DUMP_TRIES):
            sequence = self._send_raw(kind, NLM_F_REQUEST | NLM_F_DUMP, body)
            answers, consistent = self._answers(kind, sequence)
            if consistent:
                break
        return answers

    def _acknowledged(self, kind: int, sequence: int) -> None:
        while True:
            for answer, _, number, data in split(self._socket.recv(DUMP_BUFFER)):
                if answer == NLMSG_ERROR and number == sequence:
                    if _error(data):
                        raise KernelError(
                            f"netlink request {kind}", _error(data), code="netlink.request"
                        )
                    return

    def _send(
        self, kind: int, flags: int, attrs: tuple[tuple[str, Any], ...], fields: dict[str, Any]
    ) -> int:
        message = MESSAGES[kind]()
        message.update(fields)
        message["attrs"] = list(attrs)
        message.encode()
        return self._send_raw(kind, flags, bytes(message.data[HEADER.size :]))

    def _send_raw(self, kind: int, flags: int, body: bytes) -> int:
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        head = HEADER.pack(HEADER.size + len(body), kind, flags, self._sequence, 0)
        self._socket.send(head + body)
        return self._sequence


def _error(data: bytes) -> int:
    """The errno of an NLMSG_ERROR, positive; 0 is an acknowledgement."""
    (code,) = struct.unpack_from("=i", data, HEADER.size)
    return -int(code)


class EventSocket:
    """What the kernel reports to some multicast groups; for `loop.add_reader`."""

    def __init__(self, family: int, groups: tuple[int, ...]) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            family,
        )
        for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, EVENT_BUFFER)
                break
            except PermissionError:
                continue
        self._socket.bind((0, 0))
        for group in groups:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self, datagrams: int = 256) -> tuple[list[tuple[int, bytes]], bool]:
        """(type, message) of what is waiting, and whether the kernel had to drop some.

        At most `datagrams`, so that a storm of events leaves time for everything else.
        """
        events: list[tuple[int, bytes]] = []
        lost = False
        for _ in range(datagrams):
            try:
                data = self._socket.recv(DUMP_BUFFER)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            events += [(kind, message) for kind, _, _, message in split(data)]
        return events, lost


def route_events() -> EventSocket:
    """Links, VNIs, addresses, routes and rules, qdiscs and filters, forwarding.

    Of neighbours and stations the mirror hears by a socket of its own.
    """
    groups = (
        RTNLGRP_LINK,
        RTNLGRP_TC,
        RTNLGRP_IPV4_IFADDR,
        RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_IFADDR,
        RTNLGRP_IPV6_ROUTE,
        RTNLGRP_IPV4_RULE,
        RTNLGRP_IPV6_RULE,
        RTNLGRP_IPV4_NETCONF,
        RTNLGRP_IPV6_NETCONF,
        RTNLGRP_TUNNEL,
    )
    return EventSocket(socket.NETLINK_ROUTE, groups)


def nftables_events() -> EventSocket:
    """Every transaction on the rule set, our own as well."""
    return EventSocket(NETLINK_NETFILTER, (NFNLGRP_NFTABLES,))
