# SPDX-License-Identifier: GPL-2.0-or-later
"""Device features through the ethtool ioctl: what a driver is, and what it hides from XDP."""

import array
import errno
import fcntl
import socket
import struct

from ..errors import KernelError

SIOCETHTOOL = 0x8946
ETHTOOL_GDRVINFO = 0x03
ETHTOOL_GSTRINGS = 0x1B
ETHTOOL_GSSET_INFO = 0x37
ETHTOOL_GFEATURES = 0x3A
ETHTOOL_SFEATURES = 0x3B
ETH_SS_FEATURES = 4
STRING = 32
BLOCK = 32
"""Features of one block of the kernel's bit set."""
IFNAMSIZ = 16
MISSING = (errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL)

HIDING = ("rx-vlan-hw-parse", "rx-lro", "rx-gro-hw")
"""The first takes VLAN tags out of the frame before XDP sees it; the others make one frame of
many, which no driver hands to XDP (virtio refuses XDP while it is on)."""


class Ethtool:
    """One socket for ioctls; opened only while it is needed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._bits: dict[str, int] = {}

    def __enter__(self) -> "Ethtool":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _ioctl(self, device: str, command: bytearray) -> bytearray:
        data = array.array("B", command)
        address, _ = data.buffer_info()
        request = struct.pack(f"{IFNAMSIZ}sP16x", device.encode()[: IFNAMSIZ - 1], address)
        fcntl.ioctl(self._socket, SIOCETHTOOL, request)
        return bytearray(data.tobytes())

    def driver(self, device: str) -> str:
        """The driver's name, empty when the device does not say."""
        return self._info(device, 4)

    def bus(self, device: str) -> str:
        """Where the device is, of a PCI function its address; empty when it does not say."""
        return self._info(device, 100)

    def _info(self, device: str, offset: int) -> str:
        """One of the strings of struct ethtool_drvinfo."""
        try:
            answer = self._ioctl(device, bytearray(struct.pack("=I192x", ETHTOOL_GDRVINFO)))
        except OSError:
            return ""
        return bytes(answer[offset : offset + 32]).split(b"\0")[0].decode(errors="replace")

    def names(self, device: str) -> dict[str, int]:
        """Feature name to bit; the same for every device of one kernel."""
        if not self._bits:
            info = self._ioctl(
                device, bytearray(struct.pack("=IIQI", ETHTOOL_GSSET_INFO, 0, 1 << 4, 0))
            )
            (count,) = struct.unpack_from("=I", info, 16)
            head = struct.pack("=III", ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count)
            answer = self._ioctl(device, bytearray(head) + bytearray(count * STRING))
            for bit in range(count):
                text = answer[12 + bit * STRING : 12 + (bit + 1) * STRING]
                self._bits[bytes(text).split(b"\0")[0].decode()] = bit
        return self._bits

    def _blocks(self, device: str) -> int:
        return (len(self.names(device)) + BLOCK - 1) // BLOCK

    def features(self, device: str, names: tuple[str, ...] | None = HIDING) -> dict[str, bool]:
        """Which of these (None: of all) the device has on; only those that can be switched.
        Empty of a device that is gone."""
        try:
            blocks = self._blocks(device)
            head = struct.pack("=II", ETHTOOL_GFEATURES, blocks)
            answer = self._ioctl(device, bytearray(head) + bytearray(blocks * 16))
        except OSError as error:
            if error.errno in MISSING:
                return {}
            raise KernelError(f"{device}: features", error.errno or 0, code="ethtool") from error
        found = {}
        known = self.names(device)
        for name in known if names is None else names:
            bit = known.get(name)
            if bit is None:
                continue
            available, _, active, fixed = struct.unpack_from("=IIII", answer, 8 + bit // 32 * 16)
            mask = 1 << bit % BLOCK
            if available & mask and not fixed & mask:
                found[name] = bool(active & mask)
        return found

    def switch(self, device: str, feature: str, on: bool) -> None:
        """KernelError when the driver does not do it, silently or not."""
        try:
            blocks = self._blocks(device)
            bit = self.names(device)[feature]
            command = bytearray(struct.pack("=II", ETHTOOL_SFEATURES, blocks))
            command += bytearray(blocks * 8)
            mask = 1 << bit % BLOCK
            struct.pack_into("=II", command, 8 + bit // BLOCK * 8, mask, mask if on else 0)
            self._ioctl(device, command)
        except (OSError, KeyError) as error:
            number = error.errno or 0 if isinstance(error, OSError) else errno.EOPNOTSUPP
            raise KernelError(f"{device}: switching {feature}", number, code="ethtool") from error
        if self.features(device, (feature,)).get(feature, on) != on:
            raise KernelError(
                f"{device}: {feature} stays {'off' if on else 'on'}",
                errno.EOPNOTSUPP,
                code="ethtool",
            )
