# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's lock of all network configuration (RTNL), held for as long as a block lasts.

SIOCGIFCONF writes into memory of ours with the lock held. That memory has no page yet, and we are
who provides it (userfaultfd), at the end of the block. The lock is one for the whole machine:
let the block be short.
"""

import ctypes
import fcntl
import mmap
import os
import platform
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

NUMBERS = {"x86_64": 323, "aarch64": 282}
UFFD_API, REGISTER_MISSING = 0xAA, 1
IOCTL_API, IOCTL_REGISTER, IOCTL_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04
SIOCGIFCONF = 0x8912
UFFD_EVENT_PAGEFAULT = 0x12
PAGE = mmap.PAGESIZE
ARRIVES_SECONDS = 5.0


def _userfaultfd() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.syscall(NUMBERS[platform.machine()], os.O_CLOEXEC | os.O_NONBLOCK)
    if handle < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    return int(handle)


def _faulted(handle: int) -> bool:
    """Whether the kernel has come to the page, and waits for it."""
    try:
        return os.read(handle, 32)[0] == UFFD_EVENT_PAGEFAULT
    except BlockingIOError:
        return False


def _list_devices(address: int) -> None:
    request = ctypes.create_string_buffer(struct.pack("=i4xQ", PAGE, address))
    libc = ctypes.CDLL(None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        libc.ioctl(any_socket.fileno(), SIOCGIFCONF, request)


@contextmanager
def rtnl_held() -> Iterator[None]:
    """Nobody changes or dumps links meanwhile, in any namespace.

    Devices have to have IPv4 addresses where this is called, if only the loopback device's.
    """
    with ExitStack() as stack:
        handle = _userfaultfd()
        stack.callback(os.close, handle)
        memory = mmap.mmap(-1, PAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        fcntl.ioctl(handle, IOCTL_API, bytearray(struct.pack("=QQQ", UFFD_API, 0, 0)))
        region = struct.pack("=QQQQ", address, PAGE, REGISTER_MISSING, 0)
        fcntl.ioctl(handle, IOCTL_REGISTER, bytearray(region))
        holder = threading.Thread(target=_list_devices, args=(address,))
        holder.start()
        stack.callback(holder.join)
        zero = bytearray(struct.pack("=QQQq", address, PAGE, 0, 0))
        stack.callback(fcntl.ioctl, handle, IOCTL_ZEROPAGE, zero)
        deadline = time.monotonic() + ARRIVES_SECONDS
        while not _faulted(handle):
            assert time.monotonic() < deadline, "the kernel never looked at its devices"
        yield
