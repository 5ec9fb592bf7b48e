# SPDX-License-Identifier: GPL-2.0-or-later
"""The real gwctl, as a person runs it."""

import subprocess

from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.places import program

COMMAND_SECONDS = 30.0


def gwctl(lab: Lab, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run it for the instance of a lab; AssertionError with its complaint when it fails."""
    done = subprocess.run(
        [str(program("gwctl")), "--instance", lab.name, *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"gwctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done
