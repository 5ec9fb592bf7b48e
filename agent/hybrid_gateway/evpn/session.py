# SPDX-License-Identifier: GPL-2.0-or-later
"""The `evpn` section as gobgpd is given it, and its neighbours as it tells of them."""

import hashlib
from ipaddress import ip_address

from gw_gobgp import gobgp_pb2 as api

from ..errors import EvpnError
from ..model import Evpn, EvpnNeighbor, PeerState, SessionState
from .codec import FAMILY

DEFERRAL_SECONDS = 1
"""For which a daemon that restarted waits for its neighbours' End-of-RIB before it announces
(Selection_Deferral_Timer, RFC 4724 section 4.1). They keep meanwhile what it announced before, but
gateways like this one believe after two seconds of silence that there is no more (settle.py)."""

CONNECT_RETRY_SECONDS = 5
"""gobgpd takes no less."""
NO_LISTENER = -1
SHUT = "it is shut down"

_STATES = {
    api.PeerState.IDLE: SessionState.IDLE,
    api.PeerState.CONNECT: SessionState.CONNECT,
    api.PeerState.ACTIVE: SessionState.ACTIVE,
    api.PeerState.OPENSENT: SessionState.OPENSENT,
    api.PeerState.OPENCONFIRM: SessionState.OPENCONFIRM,
    api.PeerState.ESTABLISHED: SessionState.ESTABLISHED,
}


def speaker(evpn: Evpn) -> api.Global:
    """What cannot change while the daemon runs."""
    if evpn.router_id is None or not evpn.asn:
        raise EvpnError("a BGP daemon of ours needs an AS number and a router id")
    return api.Global(
        asn=evpn.asn, router_id=str(evpn.router_id), listen_port=evpn.port or NO_LISTENER
    )


def same_speaker(one: api.Global, other: api.Global) -> bool:
    return (one.asn, one.router_id, one.listen_port) == (
        other.asn,
        other.router_id,
        other.listen_port,
    )


def peers(evpn: Evpn, *, restarting: bool) -> dict[str, api.Peer]:
    """By address. The description is a hash of all the rest: gobgpd gives it back, and fills in
    defaults elsewhere.

    A limit of routes is not in it: to keep one, gobgpd counts all that the neighbour ever sent
    with every message from it.
    """
    wanted = {}
    for neighbor in evpn.neighbors:
        peer = _peer(evpn, neighbor)
        text = peer.SerializeToString(deterministic=True) + bytes([neighbor.pmsi_compat])
        peer.conf.description = "gw " + hashlib.sha256(text).hexdigest()[:32]
        # Not part of what the neighbour is: it is so for the first session only.
        peer.graceful_restart.local_restarting = restarting and evpn.restart_time > 0
        wanted[str(neighbor.address)] = peer
    return wanted


def _peer(evpn: Evpn, neighbor: EvpnNeighbor) -> api.Peer:
    # Our own 3.10 would crash as a neighbour restarts that does it too, in handleMacMobility, if it
    # had that one's MAC routes in its table; the import policy keeps them out (session_policy.py).
    graceful = evpn.restart_time > 0
    return api.Peer(
        conf=api.PeerConf(
            neighbor_address=str(neighbor.address),
            peer_asn=neighbor.asn,
            auth_password=neighbor.password,
        ),
        timers=api.Timers(
            config=api.TimersConfig(
                hold_time=evpn.hold_time,
                keepalive_interval=max(1, evpn.hold_time // 3),
                connect_retry=CONNECT_RETRY_SECONDS,
            )
        ),
        transport=api.Transport(
            local_address=str(neighbor.local) if neighbor.local else "",
            remote_port=neighbor.port,
            passive_mode=neighbor.passive,
        ),
        ebgp_multihop=api.EbgpMultihop(
            enabled=neighbor.multihop > 0, multihop_ttl=neighbor.multihop
        ),
        graceful_restart=api.GracefulRestart(
            enabled=graceful, restart_time=evpn.restart_time, deferral_time=DEFERRAL_SECONDS
        ),
        afi_safis=[
            api.AfiSafi(
                config=api.AfiSafiConfig(family=FAMILY, enabled=True),
                mp_graceful_restart=api.MpGracefulRestart(
                    config=api.MpGracefulRestartConfig(enabled=graceful)
                ),
            )
        ],
    )


def peer_state(peer: api.Peer, now: float) -> PeerState:
    """`now`: seconds of the wall clock, which gobgpd goes by."""
    state = _STATES.get(peer.state.session_state, SessionState.IDLE)
    up = peer.timers.state.uptime.seconds
    family = peer.afi_safis[0] if peer.afi_safis else api.AfiSafi()
    established = state is SessionState.ESTABLISHED
    return PeerState(
        address=ip_address(peer.conf.neighbor_address),
        asn=peer.conf.peer_asn or peer.state.peer_asn,
        state=state,
        since=max(0.0, now - up) if established and up else 0.0,
        received=family.state.received,
        accepted=family.state.accepted,
        advertised=_advertised(family),
        flaps=peer.state.flops,
        complete=established and family.mp_graceful_restart.state.end_of_rib_received,
        messages=peer.state.messages.received.total,
        notifications=peer.state.messages.received.notification
        + peer.state.messages.sent.notification,
        hold_time=float(peer.timers.state.negotiated_hold_time),
        reason=_reason(peer),
    )


def _advertised(family: api.AfiSafi) -> int:
    """gobgpd counts the End-of-RIB among the routes, where it sends one."""
    advertised: int = family.state.advertised
    return max(0, advertised - int(family.mp_graceful_restart.state.enabled))


def _reason(peer: api.Peer) -> str:
    if peer.state.admin_state == api.PeerState.DOWN:
        return SHUT
    return ""
