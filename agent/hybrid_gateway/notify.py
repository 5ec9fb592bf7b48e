# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd's notification socket (sd_notify(3)), without its library."""

import os
import socket


def notify(*assignments: str) -> None:
    """Tells systemd "READY=1" and the like; does nothing when nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.send("\n".join(assignments).encode())
        except OSError:
            return  # whoever started us went away; that is no reason to stop forwarding
