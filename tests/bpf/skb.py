# SPDX-License-Identifier: GPL-2.0-or-later
"""BPF_PROG_TEST_RUN of a TC program, straight through libbpf: the product needs only XDP's."""

import ctypes
import os
import struct

ROOM = 4096
IIF_AT, IFINDEX_AT, GSO_SIZE_AT, CONTEXT = 36, 40, 176, 192
"""Places in struct __sk_buff, and its size."""
libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)


class Options(ctypes.Structure):
    """struct bpf_test_run_opts of libbpf 1.0."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_char_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


def run(
    program: int, frame: bytes, ifindex: int, received_on: int = 0, gso: int = 0
) -> tuple[int, bytes]:
    """The TC verdict and the frame after it, of a frame at a device of this namespace."""
    context = bytearray(CONTEXT)
    struct.pack_into("=I", context, IIF_AT, received_on)
    struct.pack_into("=I", context, IFINDEX_AT, ifindex)
    struct.pack_into("=I", context, GSO_SIZE_AT, gso)
    left = ctypes.create_string_buffer(ROOM)
    options = Options(
        sz=ctypes.sizeof(Options),
        data_in=frame,
        data_size_in=len(frame),
        data_out=ctypes.cast(left, ctypes.c_void_p),
        data_size_out=ROOM,
        ctx_in=bytes(context),
        ctx_size_in=CONTEXT,
        repeat=1,
    )
    result = libbpf.bpf_prog_test_run_opts(program, ctypes.byref(options))
    if result:
        raise OSError(-result, os.strerror(-result))
    verdict = ctypes.c_int32(options.retval).value
    return verdict, left.raw[: options.data_size_out]
