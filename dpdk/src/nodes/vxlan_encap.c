/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Into VXLAN: the mark has the tunnel, and what the frame counts as once it is on its way. Until the
 * way is known it stays as it is, for the kernel's VXLAN device can send it as well.
 */
#include <rte_random.h>

#include "../sum.h"
#include "ip_rewrite.h"
#include "vxlan_outer.h"
#include "vxlan_way.h"

enum edge { EDGE_TX, EDGE_PUNT, EDGE_DROP, EDGE_CUT, EDGES };

/* In the node: beside the lcore, the IPv4 identifications that it has used. */
struct context {
	struct gw_lcore *lcore;
	uint16_t identification;
	uint16_t step;
};

static_assert(sizeof(struct context) <= RTE_NODE_CTX_SZ, "fits");

// What cannot be sent is the kernel's. But not one of several, which it would send to all others as
// well; nor what has been routed: its way was there a moment ago, and it is not as it came.
static __rte_noinline uint8_t
refuse(struct rte_mbuf *mbuf, enum gw_counter reason)
{
	const struct gw_mark *mark = gw_mark(mbuf);
	const bool ours = mark->reason == GW_VXLAN_COPY || mark->reason == GW_VXLAN_FLOOD ||
			  mark->nexthop & GW_TUNNEL_CHANGED;

	gw_because(mbuf, ours ? GW_DROP_PORT_DOWN : reason);
	return ours ? EDGE_DROP : EDGE_PUNT;
}

static inline struct gw_tunnel *
tunnel_of(struct rte_mbuf *mbuf)
{
	return &gw_tunnels[(uint16_t)gw_mark(mbuf)->nexthop];
}

// No next hop to send to; the kernel tries, which makes it look for a neighbour that is not known.
static __rte_noinline uint8_t
no_way(struct rte_mbuf *mbuf, const struct gw_nexthop *nexthop)
{
	switch (gw_nexthop_kind(nexthop)) {
	case GW_NEXTHOP_DROP:
		gw_because(mbuf, nexthop->reason);
		return EDGE_DROP;
	case GW_NEXTHOP_PUNT:
		return refuse(mbuf, nexthop->reason);
	default:
		return refuse(mbuf, GW_PUNT_NEIGHBOUR);
	}
}

// What a packet that nobody cuts needs is none (RFC 6864 section 4.1). Lcores share no number.
static inline uint16_t
identification(struct context *context)
{
	return context->identification += context->step;
}

static inline uint16_t
sum_of(const struct rte_mbuf *mbuf)
{
	if (likely(mbuf->nb_segs == 1))
		return gw_sum(rte_pktmbuf_mtod(mbuf, const void *), mbuf->data_len);
	return gw_sum_segments(mbuf, 0, mbuf->pkt_len);
}

static inline void
write_outer(uint8_t *to, struct context *context, const struct gw_tunnel *tunnel,
	    const struct gw_segment *segment, const struct gw_inner *inner,
	    struct gw_outer_plan *plan)
{
	if (tunnel->length == GW_VXLAN_OUTER6) {
		gw_outer_write6(to, tunnel, segment, inner, plan);
		return;
	}
	plan->identification = plan->dont_fragment ? 0 : identification(context);
	gw_outer_write4(to, tunnel, segment, inner, plan);
}

// Nothing of the frame changes before it is certain that it leaves.
static inline uint8_t
leave(struct rte_mbuf *mbuf, struct context *context, const struct gw_tunnel *tunnel,
      const struct gw_inner *inner, union gw_tunnel_way way)
{
	const struct gw_segment *segment = &gw_segments[tunnel->segment];
	struct gw_nexthop *nexthop = &gw_nexthops[way.nexthop];
	const uint16_t port = gw_nexthop_port(nexthop);
	const uint32_t length = mbuf->pkt_len;
	struct gw_outer_plan plan = {
		.length = length,
		.dont_fragment = gw_outer_is_whole(tunnel, segment->flags, inner),
	};
	const bool cut = length + tunnel->length - RTE_ETHER_HDR_LEN > way.mtu;
	uint8_t *to;

	if (unlikely(port == (uint16_t)GW_NO_PORT))
		return refuse(mbuf, GW_PUNT_BRIDGE_MISS);
	if (unlikely(cut) && (plan.dont_fragment || !gw_outer_may_cut(segment, way)))
		return refuse(mbuf, GW_PUNT_TOO_BIG);
	if (segment->flags & GW_SEGMENT_CHECKSUM)
		plan.sum = sum_of(mbuf);
	to = (uint8_t *)rte_pktmbuf_prepend(mbuf, tunnel->length);
	if (unlikely(!to))
		return refuse(mbuf, GW_PUNT_VXLAN);
	write_outer(to, context, tunnel, segment, inner, &plan);
	memcpy(to, nexthop->header, sizeof(nexthop->header));
	mbuf->port = port;
	*gw_outer(mbuf) = 0;
	if (nexthop->used != context->lcore->now)
		nexthop->used = context->lcore->now;
	if (likely(!cut))
		return EDGE_TX;
	gw_mark(mbuf)->nexthop = (uint32_t)way.mtu << 16 | way.nexthop;
	return EDGE_CUT;
}

static inline uint8_t
one(struct rte_mbuf *mbuf, struct context *context)
{
	struct gw_tunnel *tunnel = tunnel_of(mbuf);
	const uint16_t segment = __atomic_load_n(&tunnel->segment, __ATOMIC_ACQUIRE);
	union gw_tunnel_way way;
	struct gw_inner inner;
	uint8_t kind;

	if (unlikely(!segment || tunnel->flags & GW_TUNNEL_KERNEL))
		return refuse(mbuf, GW_PUNT_VXLAN);
	if (unlikely(mbuf->pkt_len > gw_segments[segment].mtu + (uint32_t)RTE_ETHER_HDR_LEN))
		return refuse(mbuf, GW_PUNT_TOO_BIG);
	gw_inner_read(mbuf, &inner);
	way = gw_tunnel_way(tunnel, inner.hash);
	kind = gw_nexthop_kind(&gw_nexthops[way.nexthop]);
	if (unlikely(kind != GW_NEXTHOP_PORT && kind != GW_NEXTHOP_BRIDGE))
		return no_way(mbuf, &gw_nexthops[way.nexthop]);
	return leave(mbuf, context, tunnel, &inner, way);
}

static inline void
prefetch(struct rte_mbuf *mbuf)
{
	const struct gw_tunnel *tunnel = tunnel_of(mbuf);

	rte_prefetch0(tunnel);
	rte_prefetch0((const uint8_t *)tunnel + RTE_CACHE_LINE_SIZE);
	// Where the headers go.
	rte_prefetch0(rte_pktmbuf_mtod_offset(mbuf, void *, -RTE_CACHE_LINE_SIZE));
}

/* More than a burst, when frames are copied for many VTEPs. */
static uint16_t
vxlan_encap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct context *context = (struct context *)node->ctx;
	uint8_t next[GW_BURST];

	for (uint16_t start = 0; start < count; start += GW_BURST) {
		const uint16_t some = RTE_MIN(count - start, GW_BURST);
		int mixed = count > GW_BURST;

		for (uint16_t i = 0; i < some; i++) {
			if (likely(i + GW_AHEAD < some))
				prefetch(objs[start + i + GW_AHEAD]);
			next[i] = one(objs[start + i], context);
			mixed |= next[i] ^ next[0];
		}
		gw_node_send(graph, node, &objs[start], next, some, mixed);
	}
	return count;
}

// They begin anywhere (RFC 7739).
static int
init(const struct rte_graph *graph, struct rte_node *node)
{
	struct context *context = (struct context *)node->ctx;
	int result = gw_node_init(graph, node);

	context->step = rte_align32pow2(gw_lcore_count);
	context->identification = rte_rand() * context->step + context->lcore->index;
	return result;
}

static struct rte_node_register registration = {
	.name = "vxlan-encap",
	.process = vxlan_encap,
	.init = init,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_TX] = "tx",
			[EDGE_PUNT] = "punt",
			[EDGE_DROP] = "drop",
			[EDGE_CUT] = "vxlan-cut",
		},
};
RTE_NODE_REGISTER(registration)
