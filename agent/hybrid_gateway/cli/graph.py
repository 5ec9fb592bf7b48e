# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show graph: the DPDK worker's packet graph, as text and as a picture"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import GwError, UsageError
from . import text
from .base import output

Node = Mapping[str, Any]

DOT_SECONDS = 30
HEAD = ("NODE", "PACKETS", "PER CALL", "CYCLES/PACKET", "SHARE", "NEXT")
SHADES = ("#ffffff", "#fff3d6", "#ffe2a8", "#ffc870", "#ff9f43", "#f3722c")
"""Of a node's share of all cycles: each is for twice as much as the one before."""
SHADE_FIRST = 0.02
KINDS = {"rx": "#d7e8ff", "tx": "#d7e8ff", "from-kernel": "#e3f5e1", "punt": "#e3f5e1"}
"""Where frames come from and go to: ports, and the kernel."""
UNUSED, DROPPING = "#9aa0a6", "#c0392b"


@click.command()
@click.option("--dot", "as_dot", is_flag=True, help="In the language of graphviz.")
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="As a picture, drawn by graphviz.",
)
def graph(as_dot: bool, svg: Path | None) -> None:
    """The worker's packet graph: what its nodes did, and what it cost.

    Counted since the worker was started, over all cores.
    """
    out = output()
    if as_dot and svg:
        raise UsageError("--dot or --svg, not both")
    answer = out.ask("show.graph")
    nodes = answer["nodes"]
    if svg:
        draw(dot(nodes), svg)
        out.show({**answer, "svg": str(svg)}, f"{svg}: {text.count(len(nodes), 'node')}")
    elif as_dot and not out.as_json:
        click.echo(dot(nodes), nl=False)
    else:
        out.show(answer, listing(nodes))


def listing(nodes: Sequence[Node]) -> str:
    rows = [
        (
            node["name"],
            text.number(node["packets"]),
            _figure(node["packets_per_call"]),
            _figure(node["cycles_per_packet"]),
            f"{node['share']:.1%}",
            ", ".join(node["next"]) or None,
        )
        for node in nodes
    ]
    return text.table(HEAD, rows, numbers=(1, 2, 3, 4)) or "no nodes"


def _figure(value: float | None) -> str | None:
    """With a decimal where it says something."""
    if value is None:
        return None
    return f"{value:.1f}" if value < 1000 else text.number(round(value))


# ---- the picture ----------------------------------------------------------------------


def dot(nodes: Sequence[Node]) -> str:
    """From left to right; the darker a node, the larger its share of the cycles."""
    lines = [
        "digraph gw {",
        '\tgraph [rankdir=LR, nodesep=0.25, ranksep=0.6, fontname="sans-serif", pad=0.2];',
        '\tnode [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11, '
        'margin="0.12,0.07", color="#4a5568"];',
        '\tedge [arrowsize=0.7, color="#4a5568"];',
        *(f"\t{line}" for node in nodes for line in _node(node)),
        *(f"\t{line}" for line in _edges(nodes)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _node(node: Node) -> Iterator[str]:
    name, packets = node["name"], node["packets"]
    if not packets:
        style = f'fillcolor="#f7f7f7", fontcolor="{UNUSED}", color="{UNUSED}"'
        yield f'"{name}" [label="{name}", {style}];'
        return
    cost = _figure(node["cycles_per_packet"])
    details = f"{text.number(packets)} packets"
    costs = f"{cost} cycles each, {node['share']:.0%}"
    small = '<font point-size="9">'
    label = f"<<b>{name}</b><br/>{small}{details}<br/>{costs}</font>>"
    border = f', color="{DROPPING}"' if name == "drop" else ""
    yield f'"{name}" [label={label}, fillcolor="{_shade(node)}"{border}];'


def _shade(node: Node) -> str:
    if node["name"] in KINDS and node["share"] < SHADE_FIRST * 4:
        return KINDS[node["name"]]
    shade, limit = 0, SHADE_FIRST
    while node["share"] >= limit and shade < len(SHADES) - 1:
        shade, limit = shade + 1, limit * 2
    return SHADES[shade]


def _edges(nodes: Sequence[Node]) -> Iterator[str]:
    used = {node["name"]: node["packets"] > 0 for node in nodes}
    places = {node["name"]: place for place, node in enumerate(nodes)}
    for node in nodes:
        for following in node["next"]:
            both = used[node["name"]] and used.get(following, False)
            style = "" if both else f'style=dashed, color="{UNUSED}"'
            # What leads back must not turn the picture round.
            if places.get(following, 0) < places[node["name"]]:
                style += f"{', ' if style else ''}constraint=false"
            yield f'"{node["name"]}" -> "{following}"{f" [{style}]" if style else ""};'


def draw(source: str, file: Path) -> None:
    """GwError that says what is missing, or what graphviz said."""
    try:
        subprocess.run(
            ["dot", "-Tsvg", "-o", str(file)],
            input=source,
            text=True,
            capture_output=True,
            check=True,
            timeout=DOT_SECONDS,
        )
    except FileNotFoundError as error:
        message = "pictures are drawn by graphviz, which is not installed: apt install graphviz"
        raise GwError(message, code="graphviz") from error
    except subprocess.CalledProcessError as error:
        raise GwError(f"graphviz: {error.stderr.strip()}", code="graphviz") from error
    except subprocess.TimeoutExpired as error:
        raise GwError(f"graphviz took longer than {DOT_SECONDS} s", code="graphviz") from error
