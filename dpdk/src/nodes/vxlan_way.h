/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to a VTEP: what the FIB said, kept in the tunnel until something changes that the answer
 * may depend on.
 */
#ifndef GW_VXLAN_WAY_H
#define GW_VXLAN_WAY_H

#include <rte_mbuf.h>

#include "../nexthop.h"
#include "../tunnel.h"

/* On the way to vxlan-encap mark.nexthop is a tunnel, and this if the frame is not as it came. */
enum { GW_TUNNEL_CHANGED = 1 << 16 };

/* Asks the tables, and keeps what they say. */
union gw_tunnel_way gw_tunnel_ask(struct gw_tunnel *tunnel);

/* Of a group: the member for flows of that hash. */
union gw_tunnel_way gw_tunnel_member(const struct gw_tunnel *tunnel, uint32_t group, uint32_t hash);

/* vxlan_route.c: whether vxlan-encap can send it a frame, if that is `length` bytes then. */
bool gw_tunnel_takes(const struct rte_mbuf *mbuf, struct gw_tunnel *tunnel, uint32_t length);

/*
 * vxlan_route.c: of a packet of `length` bytes that is routed to a host on a bridge: whether that is
 * behind a VTEP, and vxlan-encap can send it there. Then the frame has its Ethernet addresses, and the
 * mark has the tunnel; else it is as it was.
 */
bool gw_tunnel_route(struct rte_mbuf *mbuf, struct gw_nexthop *nexthop, uint32_t length,
		     uint32_t now);

/* Whether packets to it leave by that device, or some of them do. */
bool gw_tunnel_leaves_by(struct gw_tunnel *tunnel, uint16_t interface);

/* Also a group. */
static inline union gw_tunnel_way
gw_tunnel_answer(struct gw_tunnel *tunnel)
{
	union gw_tunnel_way way = {.word = __atomic_load_n(&tunnel->way.word, __ATOMIC_RELAXED)};

	if (unlikely(way.version != __atomic_load_n(&gw_ways_version, __ATOMIC_ACQUIRE)))
		return gw_tunnel_ask(tunnel);
	return way;
}

/* The next hop and the MTU of the way. Of kind CONNECTED when the neighbour is not known. */
static inline union gw_tunnel_way
gw_tunnel_way(struct gw_tunnel *tunnel, uint32_t hash)
{
	union gw_tunnel_way way = gw_tunnel_answer(tunnel);

	if (unlikely(gw_nexthop_kind(&gw_nexthops[way.nexthop]) == GW_NEXTHOP_GROUP))
		way = gw_tunnel_member(tunnel, way.nexthop, hash);
	return way;
}

#endif
