# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the guest: the agent, as patient as it has to be on an emulated CPU of a busy host, where
three workers do not even start within a minute. Nothing but the standard library beside it."""

import runpy

from hybrid_gateway.agent import worker
from hybrid_gateway.apply import worker as steps

worker.CRASHES_SECONDS = 900.0
steps.RETURN_SECONDS = 120.0

if __name__ == "__main__":
    runpy.run_module("hybrid_gateway.agent", run_name="__main__")
