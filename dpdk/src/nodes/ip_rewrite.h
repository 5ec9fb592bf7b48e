/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last step of routing: out by which port, and with which Ethernet header. */
#ifndef GW_IP_REWRITE_H
#define GW_IP_REWRITE_H

#include <rte_hash.h>

#include "../fdb.h"
#include "l3.h"
#include "vxlan_way.h"

enum gw_rewrite_edge { GW_REWRITE_TX, GW_REWRITE_PUNT, GW_REWRITE_ENCAP, GW_REWRITE_EDGES };

/* Where the FDB has the next hop's MAC address; GW_NO_PORT: not at a port of ours that forwards. */
static inline uint16_t
gw_bridge_port(const struct gw_nexthop *nexthop)
{
	struct gw_fdb_key key = {.bridge = nexthop->interface};
	union gw_fdb_place to;
	int32_t place;

	memcpy(&key.mac, nexthop->header, sizeof(key.mac));
	place = rte_hash_lookup(gw_fdb, &key);
	if (unlikely(place < 0))
		return GW_NO_PORT;
	to = gw_fdb_place(&gw_fdb_entries[place]);
	if (to.flags & GW_FDB_TUNNEL || !gw_is_bridge_port(to.port, nexthop->interface))
		return GW_NO_PORT;
	return to.port;
}

/* Where a next hop of kind PORT or BRIDGE leads out; GW_NO_PORT: its bridge does not know. Not by
 * its kind: that may have become a punt since the lookup, the rest stays until all readers have
 * passed. */
static inline uint16_t
gw_nexthop_port(const struct gw_nexthop *nexthop)
{
	if (likely(nexthop->port != (uint16_t)GW_NO_PORT))
		return nexthop->port;
	return gw_bridge_port(nexthop);
}

/* Sets mbuf->port and the Ethernet addresses; false: a bridge does not know where. */
static inline bool
gw_rewrite_ethernet(struct rte_mbuf *mbuf, struct gw_nexthop *nexthop, uint32_t now)
{
	const uint16_t port = gw_nexthop_port(nexthop);

	if (unlikely(port == (uint16_t)GW_NO_PORT))
		return false;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), nexthop->header, sizeof(nexthop->header));
	mbuf->port = port;
	// The line stays clean as long as the second does not change.
	if (nexthop->used != now)
		nexthop->used = now;
	return true;
}

/*
 * Whether a frame that leaves by the device it came in by goes to the kernel: some do, so that it
 * may send their sender a redirect, by limits and switches of its own.
 */
static inline bool
gw_redirect_is_due(struct gw_lcore *lcore)
{
	if (lcore->redirects_at != lcore->now) {
		lcore->redirects_at = lcore->now;
		lcore->redirects = 0;
	}
	return lcore->redirects++ < GW_REDIRECTS;
}

static __rte_noinline void
gw_cut_segments(struct rte_mbuf *mbuf, uint32_t length)
{
	struct rte_mbuf *last = mbuf;
	uint16_t segments = 1;

	mbuf->pkt_len = length;
	for (; length > last->data_len; last = last->next) {
		length -= last->data_len;
		segments++;
	}
	last->data_len = length;
	rte_pktmbuf_free(last->next);
	last->next = NULL;
	mbuf->nb_segs = segments;
}

/* What is behind the packet (Ethernet's padding, or somebody's secret) is not forwarded; the next
 * sender pads as it has to, as for the kernel, which cuts it off as well. */
static inline void
gw_trim(struct rte_mbuf *mbuf, uint32_t length)
{
	if (likely(mbuf->pkt_len == length))
		return;
	if (likely(mbuf->nb_segs == 1))
		mbuf->data_len = mbuf->pkt_len = length;
	else
		gw_cut_segments(mbuf, length);
}

/*
 * Where the frame goes on, with the next hop's Ethernet header; or it is as it came, and marked with the
 * reason. `length` and `hops` are those of the IP header.
 */
static __rte_always_inline uint8_t
gw_rewrite_leaves(struct rte_mbuf *mbuf, struct gw_lcore *lcore, uint32_t length, uint8_t hops)
{
	struct gw_nexthop *nexthop = &gw_nexthops[gw_mark(mbuf)->nexthop];
	uint8_t edge = GW_REWRITE_PUNT;

	if (unlikely(hops <= 1))
		gw_because(mbuf, GW_PUNT_TTL);
	else if (unlikely(length > nexthop->mtu))
		gw_because(mbuf, GW_PUNT_TOO_BIG);
	else if (unlikely(nexthop->interface == gw_mark(mbuf)->interface) &&
		 gw_redirect_is_due(lcore))
		gw_because(mbuf, GW_PUNT_REDIRECT);
	else if (likely(gw_rewrite_ethernet(mbuf, nexthop, lcore->now)))
		edge = GW_REWRITE_TX;
	else if (gw_tunnel_route(mbuf, nexthop, length, lcore->now))
		edge = GW_REWRITE_ENCAP;
	else
		gw_because(mbuf, GW_PUNT_BRIDGE_MISS);
	if (likely(edge != GW_REWRITE_PUNT))
		gw_trim(mbuf, length + RTE_ETHER_HDR_LEN);
	return edge;
}

/* The burst of either node; `one` gives the edge of a frame. */
static __rte_always_inline uint16_t
gw_rewrite_burst(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count,
		 uint8_t (*one)(struct rte_mbuf *mbuf, struct gw_lcore *lcore))
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i++) {
		next[i] = one(objs[i], lcore);
		mixed |= next[i] ^ next[0];
	}
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

#endif
