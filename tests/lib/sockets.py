# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets that live in a namespace of the lab while the test stays where it is."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.namespaces import entered

ANSWER_SECONDS = 3.0


@contextmanager
def bound(
    lab: Lab, host: str, address: str, port: int, kind: int = socket.SOCK_DGRAM
) -> Iterator[socket.socket]:
    """A UDP socket, or a listening TCP one, with a deadline for whatever it waits for."""
    with entered(lab.namespace(host)):
        opened = socket.socket(socket.AF_INET, kind)
    with opened:
        opened.settimeout(ANSWER_SECONDS)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if kind == socket.SOCK_STREAM:
            opened.listen(16)
        yield opened


@contextmanager
def connected(lab: Lab, host: str, address: str, port: int) -> Iterator[socket.socket]:
    """A TCP connection from a host of the lab."""
    with entered(lab.namespace(host)):
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with opened:
        opened.settimeout(ANSWER_SECONDS)
        opened.connect((address, port))
        yield opened
