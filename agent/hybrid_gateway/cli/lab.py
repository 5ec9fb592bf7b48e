# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl lab"""

import os
from dataclasses import asdict

import click

from ..client import Client
from ..errors import UsageError
from ..instance import DEFAULT_INSTANCE, Instance
from ..lab import (
    HOSTS,
    SECOND_HOSTS,
    SFP_HOSTS,
    WEST,
    GatewayProcess,
    Lab,
    WorkerProcess,
    leftovers,
    second,
    segment,
    sfp,
    sites,
)
from ..lab.daemon import Daemon
from ..lab.namespaces import LabError
from ..lab.network import DEFAULT_NAME
from ..lab.topology import ALL_HOSTS, SITES_HOSTS
from .base import output

NAME = click.option(
    "--name", "name", metavar="NAME", default=DEFAULT_NAME, show_default=True, help="Which lab."
)


@click.group()
def lab() -> None:
    """A site of network namespaces to play with: lan, lan2, gw and wan.

    The real gw-agent runs in gw, as the instance that bears the lab's name.
    """


def _lab(name: str) -> Lab:
    if name == DEFAULT_INSTANCE:
        raise UsageError(f"{name!r} is the name of this host's own gateway; choose another")
    if os.geteuid():
        raise LabError("the lab needs root: it makes network namespaces", code="lab.needs-root")
    return Lab(name)


@lab.command()
@NAME
@click.option("--agent/--no-agent", default=True, help="Start gw-agent, too.")
@click.option(
    "--second-site",
    type=click.Choice([underlay.name.lower() for underlay in second.Underlay]),
    help="A segment stretched to a second site, by VXLAN over that.",
)
@click.option("--sfp", "with_sfp", is_flag=True, help="Two ports of the DPDK worker, too.")
@click.option("--sites", "with_sites", is_flag=True, help="Three sites of one segment, too.")
def up(name: str, agent: bool, second_site: str | None, with_sfp: bool, with_sites: bool) -> None:
    """Build the lab; repair it when it stands already.

    With a second site there are left, left2 and right, too: hosts of one segment, the first two
    at this gateway and the third at a plain Linux bridge, gw2, behind the router core. With SFP
    ports there are east and west, between which gw-worker forwards. With sites there are site1
    with XDP, site2 with gw-worker and site3 of plain Linux, joined by EVPN over IPv6, with host1,
    host2 and host3 on their segment; they have agents of their own.
    """
    site = _lab(name)
    site.up()
    if second_site:
        second.stand(site, second.Underlay[second_site.upper()])
    keepers = leftovers.keeper_pids(name)
    # What the worker has taken is not made anew under it.
    if with_sfp and not keepers:
        sfp.stand(site)
        if agent:
            keepers = [_started(WorkerProcess(site))]
    pids = leftovers.agent_pids(name)
    if (second_site or with_sfp) and pids:
        with Client(Instance(name)) as client:
            client.call("apply")
    if agent and not pids:
        pids = [_started(GatewayProcess(site))]
    if with_sites and not segment.runs(site):
        segment.stand(site)
        if agent:
            segment.start(site)
    workers = leftovers.worker_pids(name)
    answer = asdict(site.state()) | {
        "agent": pids[0] if pids else None,
        "worker": workers[0] if workers else None,
    }
    lines = _to_try(name, second_site=bool(second_site), with_sfp=with_sfp, with_sites=with_sites)
    lines.append(f"configuration: {site.config}")
    if pids:
        lines.append(f"gw-agent: process {pids[0]}, log {site.directory / 'agent.log'}")
    if workers:
        lines.append(f"gw-worker: process {workers[0]}, log {site.directory / 'worker.log'}")
    output().show(answer, "\n".join(lines))


def _to_try(name: str, *, second_site: bool, with_sfp: bool, with_sites: bool) -> list[str]:
    execute, ctl = f"  gwctl lab exec{_option(name)}", f"  gwctl --instance {name}"
    lines = [
        f"lab {name} is up, its hosts are {', '.join(HOSTS)}; try",
        f"{execute} lan -- ping -c 3 198.51.100.10",
        f"{ctl} show sessions",
    ]
    if second_site:
        lines += [
            f"the second site's hosts are {', '.join(SECOND_HOSTS)}; try",
            f"{execute} left -- ping -c 3 {second.RIGHT.ip}",
            f"{ctl} show vxlan",
        ]
    if with_sfp:
        lines += [
            f"the hosts behind the worker's ports are {', '.join(SFP_HOSTS)}; try",
            f"{execute} east -- ping -c 3 {WEST.ip}",
            f"{ctl} show graph",
        ]
    if with_sites:
        lines += [
            f"the three sites' hosts are {', '.join(SITES_HOSTS)}; try",
            f"{execute} host1 -- ping -c 3 {sites.SITES[1].host.ip}",
            f"{ctl}-{sites.SITES[0].gateway} show evpn",
        ]
    return lines


def _started(daemon: Daemon) -> int:
    daemon.start()
    return daemon.pid


@lab.command()
@NAME
def down(name: str) -> None:
    """Stop the lab's agents and daemons and remove everything."""
    site = _lab(name)
    segment.remove(site)
    leftovers.remove(site)
    output().show({"name": name, "up": False}, f"lab {name} is gone")


@lab.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@NAME
@click.argument("host", type=click.Choice(ALL_HOSTS))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, host: str, command: tuple[str, ...]) -> int:
    """Run COMMAND on a host of the lab; exits as it does."""
    # Options end at the host already, so click leaves a "--" after it in place.
    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise UsageError("which command? gwctl lab exec HOST -- COMMAND …")
    return _lab(name).exec(host, argv)


@lab.command()
@NAME
def status(name: str) -> int:
    """Say whether the lab stands and its agent runs; exits 1 when not."""
    state = _lab(name).state()
    pids = leftovers.agent_pids(name)
    workers = leftovers.worker_pids(name)
    answer = asdict(state) | {
        "up": state.up,
        "agent": pids[0] if pids else None,
        "worker": workers[0] if workers else None,
    }
    if not state.namespaces:
        text = f"lab {name} is down"
    elif state.up:
        text = f"lab {name} is up"
    else:
        text = "\n  ".join([f"lab {name} is incomplete, it lacks", *state.missing])
    agent = f"gw-agent: process {pids[0]}" if pids else "gw-agent does not run"
    worker = f"\ngw-worker: process {workers[0]}" if workers else ""
    output().show(answer, f"{text}\n{agent}{worker}")
    return 0 if state.up else 1


def _option(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" --name {name}"
