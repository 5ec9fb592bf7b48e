# SPDX-License-Identifier: GPL-2.0-or-later
"""nfdump's collector on a host of the lab, and what it has written."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.services import wait_for_output

PORT = 4739
"""IANA's for IPFIX."""
ENDS_SECONDS = 10


class Nfcapd:
    """Running from the start; `stop` returns the records."""

    def __init__(self, lab: Lab, host: str, address: str, folder: Path) -> None:
        self._folder = folder
        argv = ["nfcapd", "-w", str(folder), "-b", address, "-p", str(PORT), "-t", "3600"]
        self._process = lab.popen(host, argv, stderr=subprocess.STDOUT)
        self.said = ""
        try:
            wait_for_output(self._process, b"Startup nfcapd")
        except BaseException:
            self._process.kill()
            self._process.communicate()
            raise

    @property
    def waiting(self) -> int:
        """Bytes in its socket that it has not read yet."""
        table = Path(f"/proc/{self._process.pid}/net/udp").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{PORT:04X}"))

    def stop(self) -> list[dict[str, Any]]:
        """As nfdump shows them; what it complained about is in `said`."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=ENDS_SECONDS)
        self.said += said.decode(errors="replace")
        records: list[dict[str, Any]] = []
        for path in sorted(self._folder.glob("nfcapd.*")):
            shown = subprocess.run(
                ["nfdump", "-r", str(path), "-o", "json"],
                capture_output=True,
                text=True,
                check=True,
                timeout=ENDS_SECONDS,
            ).stdout
            records += json.loads(shown) if shown.strip() else []
            path.unlink()
        return records

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


@contextmanager
def nfcapd(lab: Lab, host: str, address: str, folder: Path) -> Iterator[Nfcapd]:
    """Listens on `address` when the block begins; gone when it ends."""
    folder.mkdir(exist_ok=True)
    running = Nfcapd(lab, host, address, folder)
    try:
        yield running
    finally:
        running.kill()
