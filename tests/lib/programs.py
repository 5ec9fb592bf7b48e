# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs on hosts of the lab."""

import hashlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.peers import blob

TRANSFER_SECONDS = 30


def run(lab: Lab, host: str, argv: Sequence[str], *, stdin: bytes = b"") -> bytes:
    """What the program printed; AssertionError with its complaint when it fails."""
    done = subprocess.run(
        lab.argv(host, argv), input=stdin, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{argv} on {host}: {done.returncode} {done.stderr!r}"
    return done.stdout


def curl_argv(*arguments: str) -> list[str]:
    return ["curl", "-sS", "--max-time", str(TRANSFER_SECONDS), *arguments]


def curl(lab: Lab, host: str, *arguments: str, stdin: bytes = b"") -> bytes:
    return run(lab, host, curl_argv(*arguments), stdin=stdin)


def pinged(lab: Lab, host: str, target: str, count: int = 3) -> int:
    """How many of the echo requests were answered, be it late.

    Without -w ping would go home 20 ms after the last request when earlier ones were answered;
    with it, it asks on until it has `count` answers, and those to further requests do not count.
    """
    done = subprocess.run(
        lab.argv(host, ["ping", "-n", "-i", "0.02", "-w", "2", "-c", str(count), target]),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "packets transmitted" in done.stdout, done.stdout + done.stderr
    answered = re.findall(r"bytes from .* icmp_seq=(\d+)", done.stdout)
    return sum(int(number) <= count for number in answered)


@contextmanager
def downloading(lab: Lab, host: str, url: str, rate: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A paced download that has begun when the block does."""
    process = lab.popen(host, curl_argv("-N", "--limit-rate", rate, url))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_digest(size: int) -> str:
    """Of what the servers of the lab send for /blob/SIZE."""
    return digest(blob(size))
