# SPDX-License-Identifier: GPL-2.0-or-later
"""gobgpd's policies. Import: its table has our own routes and no others (heard.py says why).
Export: each neighbour gets one form of our type-3 routes, as it can read it.

gobgpd sends the same attributes to all of its neighbours, so there are two routes (codec.py), each
with a community of its own, and the policy lets one of them pass. The communities stay here.
"""

from collections.abc import Iterable

from gw_gobgp import gobgp_pb2 as api

from ..model import Evpn, IPAddress
from .codec import COMPAT_FLOOD, PLAIN_FLOOD
from .gobgp_channel import Channel

POLICY = "gw-export"
OWN_ROUTES = "gw-import"
NEIGHBORS = "gw-pmsi-compat"
GLOBAL = "global"
NOBODY = "0.0.0.0/32"
"""Always in the set: gobgpd does not evaluate a condition on an empty one."""


def _community(value: int) -> str:
    return f"{value >> 16}:{value & 0xFFFF}"


FORMS = {"gw-flood-plain": _community(PLAIN_FLOOD), "gw-flood-compat": _community(COMPAT_FLOOD)}


def members(evpn: Evpn) -> set[str]:
    """Of the set of neighbours with `pmsi-compat`."""
    return {NOBODY} | {_host(one.address) for one in evpn.neighbors if one.pmsi_compat}


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def neighbor_set(addresses: Iterable[str]) -> api.DefinedSet:
    return api.DefinedSet(defined_type=api.NEIGHBOR, name=NEIGHBORS, list=sorted(addresses))


def form_sets() -> list[api.DefinedSet]:
    return [
        api.DefinedSet(defined_type=api.COMMUNITY, name=name, list=[community])
        for name, community in FORMS.items()
    ]


def policy() -> api.Policy:
    return api.Policy(
        name=POLICY,
        statements=[
            _reject("gw-flood-plain", api.MatchSet.ANY),
            _reject("gw-flood-compat", api.MatchSet.INVERT),
            api.Statement(
                name=f"{POLICY}-strip",
                conditions=api.Conditions(),
                actions=api.Actions(
                    community=api.CommunityAction(
                        type=api.CommunityAction.REMOVE, communities=list(FORMS.values())
                    )
                ),
            ),
        ],
    )


def own_routes() -> api.Policy:
    local = api.Conditions(route_type=api.Conditions.ROUTE_TYPE_LOCAL)
    accept = api.Actions(route_action=api.ACCEPT)
    statement = api.Statement(name=f"{OWN_ROUTES}-own", conditions=local, actions=accept)
    return api.Policy(name=OWN_ROUTES, statements=[statement])


def _reject(form: str, neighbors: "api.MatchSet.Type") -> api.Statement:
    return api.Statement(
        name=f"{POLICY}-{form}",
        conditions=api.Conditions(
            neighbor_set=api.MatchSet(type=neighbors, name=NEIGHBORS),
            community_set=api.MatchSet(type=api.MatchSet.ANY, name=form),
        ),
        actions=api.Actions(route_action=api.REJECT),
    )


def apply(channel: Channel, evpn: Evpn) -> None:
    """Brings gobgpd's policy to what the neighbours want, whatever of it is there already."""
    known = {one.policy.name for one in channel.listed("ListPolicy", api.ListPolicyRequest())}
    if POLICY not in known:
        for one in (*form_sets(), neighbor_set({NOBODY})):
            channel.call("AddDefinedSet", api.AddDefinedSetRequest(defined_set=one))
        channel.call("AddPolicy", api.AddPolicyRequest(policy=policy()))
    if OWN_ROUTES not in known:
        channel.call("AddPolicy", api.AddPolicyRequest(policy=own_routes()))
    wanted, present = members(evpn), _present(channel)
    # Members are added to a set that exists, and taken out of it.
    if wanted - present:
        added = neighbor_set(wanted - present)
        channel.call("AddDefinedSet", api.AddDefinedSetRequest(defined_set=added))
    if present - wanted:
        gone = neighbor_set(present - wanted)
        channel.call("DeleteDefinedSet", api.DeleteDefinedSetRequest(defined_set=gone))
    _assign(channel, api.IMPORT, OWN_ROUTES, api.REJECT)
    _assign(channel, api.EXPORT, POLICY, api.ACCEPT)


def _assign(channel: Channel, direction: int, name: str, otherwise: int) -> None:
    assignment = api.PolicyAssignment(
        name=GLOBAL,
        direction=direction,
        policies=[api.Policy(name=name)],
        default_action=otherwise,
    )
    channel.call("SetPolicyAssignment", api.SetPolicyAssignmentRequest(assignment=assignment))


def _present(channel: Channel) -> set[str]:
    request = api.ListDefinedSetRequest(defined_type=api.NEIGHBOR, name=NEIGHBORS)
    return {
        member
        for one in channel.listed("ListDefinedSet", request)
        for member in one.defined_set.list
    }
