/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routed to a host that is behind a VTEP. What is said of a frame here, vxlan-encap finds as well. */
#include "ip_rewrite.h"
#include "vxlan_outer.h"

// 0: not behind a VTEP.
static uint16_t
tunnel_of(const struct gw_nexthop *nexthop)
{
	struct gw_fdb_key key = {.bridge = nexthop->interface};
	union gw_fdb_place to;
	int32_t place;

	memcpy(&key.mac, nexthop->header, sizeof(key.mac));
	place = rte_hash_lookup(gw_fdb, &key);
	if (place < 0)
		return 0;
	to = gw_fdb_place(&gw_fdb_entries[place]);
	return to.flags & GW_FDB_TUNNEL ? to.port : 0;
}

// Of a frame of `length` bytes; its Ethernet addresses do not matter yet.
static bool
fits(const struct rte_mbuf *mbuf, const struct gw_tunnel *tunnel, const struct gw_inner *inner,
     union gw_tunnel_way way, uint32_t length)
{
	const struct gw_segment *segment = &gw_segments[tunnel->segment];

	if (length > segment->mtu + (uint32_t)RTE_ETHER_HDR_LEN ||
	    rte_pktmbuf_headroom(mbuf) < tunnel->length)
		return false;
	if (length + tunnel->length - RTE_ETHER_HDR_LEN <= way.mtu)
		return true;
	return gw_outer_may_cut(segment, way) && !gw_outer_is_whole(tunnel, segment->flags, inner);
}

bool
gw_tunnel_takes(const struct rte_mbuf *mbuf, struct gw_tunnel *tunnel, uint32_t length)
{
	const uint16_t segment = __atomic_load_n(&tunnel->segment, __ATOMIC_ACQUIRE);
	const struct gw_nexthop *nexthop;
	union gw_tunnel_way way;
	struct gw_inner inner;
	uint8_t kind;

	if (!segment || tunnel->flags & GW_TUNNEL_KERNEL)
		return false;
	gw_inner_read(mbuf, &inner);
	way = gw_tunnel_way(tunnel, inner.hash);
	nexthop = &gw_nexthops[way.nexthop];
	kind = gw_nexthop_kind(nexthop);
	if (kind != GW_NEXTHOP_PORT && kind != GW_NEXTHOP_BRIDGE)
		return false;
	return gw_nexthop_port(nexthop) != (uint16_t)GW_NO_PORT &&
	       fits(mbuf, tunnel, &inner, way, length);
}

bool
gw_tunnel_route(struct rte_mbuf *mbuf, struct gw_nexthop *nexthop, uint32_t length, uint32_t now)
{
	const uint16_t tunnel = tunnel_of(nexthop);

	if (!tunnel || !gw_tunnel_takes(mbuf, &gw_tunnels[tunnel], length + RTE_ETHER_HDR_LEN))
		return false;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), nexthop->header, sizeof(nexthop->header));
	gw_mark(mbuf)->nexthop = GW_TUNNEL_CHANGED | tunnel;
	if (nexthop->used != now)
		nexthop->used = now;
	return true;
}
