# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers for the hosts of the lab: HTTP over TCP, and a UDP echo. A program of its own.

    GET /blob/N    N bytes that are the same in every run; /blob/N?rate=R at R bytes a second
    GET /whoami    the address and port that the server sees
    PUT /…         answers with the SHA-256 of the body
    UDP            answers with "ADDRESS:PORT " of the sender and what it sent

Prints `ready` once every socket listens. Stand-alone, so that it starts in a tenth of a second.
"""

import argparse
import asyncio
import hashlib
import random
import socket
from functools import lru_cache
from typing import cast

CHUNK = 1 << 16
SO_MAX_PACING_RATE = 47


@lru_cache(maxsize=4)
def blob(size: int) -> bytes:
    """Bytes that compress badly and repeat nowhere, so that a lost segment cannot hide."""
    return random.Random(size).randbytes(size)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One HTTP request a connection."""
    try:
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, *_ = request.split(" ")
        if method == "PUT":
            if "100-continue" in request:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await _digest(reader, _length(request))
        elif path.startswith("/blob/"):
            size, _, rate = path.removeprefix("/blob/").partition("?rate=")
            body = blob(int(size))
            if rate:
                # By the kernel, segment after segment: bursts overflow the rings of veth devices.
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(rate))
        else:
            address, port = writer.get_extra_info("peername")[:2]
            body = f"{address}:{port}".encode()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n".encode())
        writer.write(b"Connection: close\r\n\r\n")
        for begin in range(0, len(body), CHUNK):
            writer.write(body[begin : begin + CHUNK])
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


def _length(request: str) -> int:
    for line in request.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def _digest(reader: asyncio.StreamReader, length: int) -> bytes:
    digest = hashlib.sha256()
    while length > 0:
        part = await reader.read(min(length, CHUNK))
        if not part:
            break
        digest.update(part)
        length -= len(part)
    return digest.hexdigest().encode()


class Echo(asyncio.DatagramProtocol):
    """Tells every sender who it is, then repeats what it said."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own datagram transport does not inherit the type that has sendto().
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(f"{addr[0]}:{addr[1]} ".encode() + data, addr)


def _endpoint(text: str) -> tuple[str, int]:
    """Of IPv6 with brackets, as in a URL."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


async def main() -> None:
    parser = argparse.ArgumentParser(description="servers for a host of the lab")
    parser.add_argument("--http", action="append", default=[], type=_endpoint)
    parser.add_argument("--udp", action="append", default=[], type=_endpoint)
    arguments = parser.parse_args()
    for address, port in arguments.http:
        await asyncio.start_server(serve, address, port, backlog=512)
    loop = asyncio.get_running_loop()
    for address, port in arguments.udp:
        await loop.create_datagram_endpoint(Echo, local_addr=(address, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
