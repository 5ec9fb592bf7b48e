# SPDX-License-Identifier: GPL-2.0-or-later
"""The product in a guest, set up as the owner of such a box would: netdevs, file, service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybrid_gateway.lab import GW_INSIDE, ROUTER, WAN
from tests.vm.machine import Guest

LAN_NIC, WAN_NIC = "enp0s18", "enp0s19"

# The bridge is born with its address: udev gives one of its own to a netdev that has none.
NETWORK = f"""\
link add {GW_INSIDE.device} address {GW_INSIDE.mac} type bridge forward_delay 0
link set {LAN_NIC} master {GW_INSIDE.device}
link set {LAN_NIC} up
link set {GW_INSIDE.device} up
link set {WAN_NIC} up
addr add {GW_INSIDE.network} dev {GW_INSIDE.device}
addr add {WAN.network} dev {WAN_NIC}
route add default via {ROUTER.ip}
"""

CONFIGURATION = f"""\
version: 1
ports:
  lan0: {{device: {LAN_NIC}, plane: xdp}}
  wan0: {{device: {WAN_NIC}, plane: xdp}}
nat44:
  inside: [{GW_INSIDE.device}]
  outside: wan0
  addresses: [interface]
"""

# An emulated CPU on a busy host takes twenty times as long to start a daemon as a real one, and
# there are hosts that are slower than those the tests were written on.
SLOW_SECONDS = 300
SLOW = f"""[Service]
TimeoutStartSec={SLOW_SECONDS}
TimeoutStopSec={SLOW_SECONDS}
"""

# The package's own files, where the package would put them.
INSTALL = f"""
set -e
ln -sf /gw/build/bin/gw* /usr/bin/
cp /gw/systemd/gw-*.service /etc/systemd/system/
for unit in gw-agent gw-bgp gw-worker; do
    mkdir -p /etc/systemd/system/$unit.service.d
    echo "$SLOW" >/etc/systemd/system/$unit.service.d/slow.conf
done
groupadd --force --system gw
groupadd --force --system gw-admin
mkdir -p /etc/gw
systemctl daemon-reload
# The checkout cannot be written to: what Python compiles would be compiled at each start.
systemctl set-environment PYTHONPYCACHEPREFIX=/run/gw/pycache
# The NICs get their names late in the boot.
udevadm settle --timeout=120
echo 1 >/proc/sys/net/ipv4/ip_forward
# Another test may have made it, before a reboot or without one.
[ -e /sys/class/net/{GW_INSIDE.device} ] || ip -batch /tmp/network
"""


class GuestGateway:
    """The gateway of a guest, asked through gwctl."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def install(self) -> None:
        self.guest.write("/tmp/network", NETWORK.encode())
        self.guest.check("env", f"SLOW={SLOW}", "sh", "-c", INSTALL, seconds=SLOW_SECONDS)
        self.guest.write("/etc/gw/gateway.yaml", CONFIGURATION.encode())

    def start(self) -> None:
        """Return when the service has reported that it forwards."""
        started = self.guest.run("systemctl", "start", "gw-agent", seconds=SLOW_SECONDS + 10)
        if started.code:
            log = self.guest.run("journalctl", "-u", "gw-agent", "--no-pager", "-n", "60")
            raise AssertionError(f"gw-agent does not start:\n{started.stderr}{log.stdout}")

    def ctl(self, *arguments: str) -> Any:
        """What gwctl says, as JSON."""
        return json.loads(self.guest.check("gwctl", "--json", *arguments))

    def counters(self) -> dict[str, int]:
        """Of all ports together."""
        total: dict[str, int] = {}
        for port in self.ctl("show", "counters")["ports"]:
            for name, count in port["counters"].items():
                total[name] = total.get(name, 0) + count
        return total

    @contextmanager
    def forwards(self, packets: int) -> Iterator[None]:
        """XDP itself sends at least so many packets meanwhile."""
        before = self.counters()
        yield
        after = self.counters()
        moved = {name: after[name] - before.get(name, 0) for name in after}
        assert moved["FORWARD"] >= packets, {name: n for name, n in moved.items() if n}
