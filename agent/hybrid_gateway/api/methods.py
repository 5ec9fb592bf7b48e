# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent can be asked for: methods, their parameters, and who may call them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..access import Access


class Agent(Protocol):
    """What the API calls. Each may also be a coroutine; results are data, see `plain`."""

    def status(self) -> Any: ...
    def check(self, config: str | None, sessions: list[str]) -> Any: ...
    def plan(self, config: str | None, sessions: list[str]) -> Any: ...
    def apply(self, config: str | None, sessions: list[str], force: bool) -> Any: ...
    def detach(self) -> Any: ...
    def show_ports(self) -> Any: ...
    def show_nat(self) -> Any: ...
    def show_sessions(
        self,
        *,
        cursor: int | str,
        limit: int,
        filter: dict[str, Any],
        sort: str | None,
        reverse: bool,
        count: bool,
    ) -> Any: ...
    def show_mappings(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any: ...
    def show_vxlan(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any: ...
    def show_vteps(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any: ...
    def show_fdb(
        self, cursor: int | str, limit: int, filter: dict[str, Any], count: bool
    ) -> Any: ...
    def show_evpn(self) -> Any: ...
    def show_evpn_macs(
        self, cursor: int | str, limit: int, filter: dict[str, Any], count: bool
    ) -> Any: ...
    def show_evpn_vteps(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any: ...
    def show_evpn_prefixes(self, cursor: int | str, limit: int, filter: dict[str, Any]) -> Any: ...
    def show_log(self) -> Any: ...
    def show_counters(self) -> Any: ...
    def show_graph(self) -> Any: ...
    def show_drivers(self) -> Any: ...
    def clear_sessions(self, filter: dict[str, Any]) -> Any: ...
    def clear_evpn(self, filter: dict[str, Any]) -> Any: ...
    def clear_evpn_refused(self) -> Any: ...
    def nat_trace(self, packet: dict[str, Any]) -> Any: ...
    def shutdown(self, detach: bool) -> Any: ...


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the API: the agent's function, who may call it, and its parameters."""

    function: str
    access: Access
    params: Mapping[str, Any] = field(default_factory=dict)
    """Name to default; the default's type is the parameter's, None stands for text."""


PAGE: Mapping[str, Any] = {"cursor": 0, "limit": 100, "filter": {}}
"""Of a listing; a cursor is a number, or text in a listing that is sorted."""

CONFIG: Mapping[str, Any] = {"config": None, "sessions": []}
"""A file, and from which addresses the caller is logged in."""

METHODS: Mapping[str, Method] = {
    "status": Method("status", Access.READ),
    "check": Method("check", Access.READ, CONFIG),
    "plan": Method("plan", Access.READ, CONFIG),
    "apply": Method("apply", Access.WRITE, {**CONFIG, "force": False}),
    "detach": Method("detach", Access.WRITE),
    "show.ports": Method("show_ports", Access.READ),
    "show.nat": Method("show_nat", Access.READ),
    "show.sessions": Method(
        "show_sessions",
        Access.READ,
        {**PAGE, "sort": None, "reverse": False, "count": False},
    ),
    "show.mappings": Method("show_mappings", Access.READ, PAGE),
    "show.vxlan": Method("show_vxlan", Access.READ, PAGE),
    "show.vteps": Method("show_vteps", Access.READ, PAGE),
    "show.fdb": Method("show_fdb", Access.READ, {**PAGE, "count": False}),
    "show.evpn": Method("show_evpn", Access.READ),
    "show.evpn.macs": Method("show_evpn_macs", Access.READ, {**PAGE, "count": False}),
    "show.evpn.vteps": Method("show_evpn_vteps", Access.READ, PAGE),
    "show.evpn.prefixes": Method("show_evpn_prefixes", Access.READ, PAGE),
    "show.log": Method("show_log", Access.READ),
    "show.counters": Method("show_counters", Access.READ),
    "show.graph": Method("show_graph", Access.READ),
    "show.drivers": Method("show_drivers", Access.READ),
    "clear.sessions": Method("clear_sessions", Access.WRITE, {"filter": {}}),
    "clear.evpn": Method("clear_evpn", Access.WRITE, {"filter": {}}),
    "clear.evpn.refused": Method("clear_evpn_refused", Access.WRITE),
    "nat.trace": Method("nat_trace", Access.READ, {"packet": {}}),
    "shutdown": Method("shutdown", Access.WRITE, {"detach": False}),
}
