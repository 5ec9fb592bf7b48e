# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl status"""

import time
from collections.abc import Iterator
from typing import Any

import click

from ..errors import GwError, NotRunningError
from . import text, worker
from .base import Output, output

POLL = 0.02


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait so long for the gateway to forward.",
)
@click.pass_context
def status(ctx: click.Context, wait: float | None) -> None:
    """Say whether the gateway forwards, on which ports, and for how many sessions.

    Exits 1 when the agent does not run or could not do what it was told, and
    with --wait also when the gateway does not forward in time.
    """
    out = output()
    try:
        answer = _wait(out, wait) if wait is not None else out.ask("status")
    except NotRunningError as error:
        if out.as_json:
            name = out.instance.name
            out.show({"instance": name, "state": "not-running", "error": error.to_json()}, "")
            ctx.exit(error.exit_code)
        raise
    out.show(answer, describe(answer))
    wanted = answer["state"] == "forwarding" if wait is not None else answer["state"] != "failed"
    ctx.exit(0 if wanted else 1)


def _wait(out: Output, seconds: float) -> Any:
    """The status once it is forwarding, else the last one; an error when nobody answered."""
    end = time.monotonic() + seconds
    while True:
        try:
            # An agent that is busy starting answers late, but not later than this.
            answer = out.ask("status", timeout=max(1.0, end - time.monotonic()))
        except GwError:
            if time.monotonic() >= end:
                raise
        else:
            if answer["state"] == "forwarding" or time.monotonic() >= end:
                return answer
        time.sleep(POLL)


def describe(answer: dict[str, Any]) -> str:
    since = f" since {text.moment(answer['since'])}" if answer.get("since") else ""
    return text.paragraphs(
        f"gateway {answer['instance']}: {text.state(answer['state'])}{since}\n"
        f"agent {answer.get('version')}, process {answer.get('pid')}",
        click.style(str(answer["error"]), fg="red") if answer.get("error") else "",
        text.table(
            ("PORT", "DEVICE", "ROLE", "XDP MODE", "ADDRESSES ON"),
            [
                (p["name"], p["device"], text.role(p), p.get("mode"), p.get("l3_device"))
                for p in answer.get("ports", [])
                if not worker.is_its(p)
            ],
        ),
        worker.ports(answer.get("ports", [])),
        worker.describe(answer.get("worker")),
        "\n".join(_counts(answer)),
        text.warnings(answer.get("warnings", [])),
    )


def _counts(answer: dict[str, Any]) -> Iterator[str]:
    """A line for each feature that is configured."""
    sessions, vxlan = answer.get("sessions") or {}, answer.get("vxlan")
    if sessions.get("limit"):
        yield f"sessions: {_share(sessions['used'], sessions['limit'])}"
    if vxlan:
        segments, vteps = text.count(vxlan["segments"], "segment"), vxlan["vteps"]
        left = vxlan["segments"] - vxlan["forwarded"]
        but = f"; {left} (partly) the kernel's, see gwctl show vxlan" if left else ""
        yield f"VXLAN: {segments}, {text.count(vteps, 'VTEP')}{but}"
        yield f"stations: {_share(vxlan['stations'], vxlan['stations_limit'])}"
    if evpn := answer.get("evpn"):
        yield f"EVPN: {_evpn(evpn)}"


def _evpn(evpn: dict[str, Any]) -> str:
    if evpn["state"] is None:
        return "FRR's"
    here, there = text.count(evpn["macs_local"], "MAC"), text.number(evpn["macs_remote"])
    parts = [
        f"{text.state(evpn['state'])}",
        f"{evpn['established']} of {text.count(evpn['neighbors'], 'neighbor')} established",
        f"{text.count(evpn['vnis'], 'VNI')}, {here} here and {there} elsewhere",
    ]
    if evpn["duplicates"]:
        parts.append(f"{text.count(evpn['duplicates'], 'duplicate')}")
    return "; ".join(parts)


def _share(used: int, limit: int) -> str:
    return f"{text.number(used)} of {text.number(limit)} ({used / limit:.1%})"
