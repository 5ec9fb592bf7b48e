/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An outer packet that is longer than the underlay takes, in pieces (RFC 791 section 3.2, RFC 8200
 * section 4.5). RFC 7348 section 4.3 forbids a VTEP to do this; 1500 bytes over a link of 1500 need
 * it. The first piece stays where it is. The others are copies: drivers of virtual devices send
 * neither what is shared with another frame nor what is in several segments.
 */
#include "vxlan_cut.h"

#include <rte_ip.h>
#include <rte_random.h>

#include "../worker.h"
#include "ip_fragment.h"
#include "ip_rewrite.h"

enum edge { EDGE_TX, EDGE_DROP, EDGES };

enum {
	HEADERS4 = RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr),
	HEADERS6 = RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr),
	MORE4 = 0x2000,
	UNIT = 8, /* offsets are multiples of it */
	COUNTERS = 64,
	OUT = 64,
};

/*
 * What was used last, in classes of numbers that lcores do not share: two of them may send to the
 * same VTEP. IPv4 has few, and so each VTEP counts by itself, or with few others. They begin
 * anywhere, and nobody outside knows where (RFC 7739).
 */
static struct identifications {
	uint32_t ip6;
	uint16_t ip4[COUNTERS];
} __rte_cache_aligned identifications[GW_WORKER_LCORES];

struct plan {
	uint32_t headers; /* bytes of the frame before what is cut */
	uint32_t payload; /* of the whole packet */
	uint32_t chunk; /* bytes of every piece but the last */
	uint32_t pieces; /* beside the first */
	uint32_t identification;
	bool ip6;
};

/* A frame's pieces on their way to tx, after as many others as there is room for. */
struct output {
	struct rte_graph *graph;
	struct rte_node *node;
	uint16_t count;
	void *mbufs[OUT];
};

static void
flush(struct output *out)
{
	if (out->count)
		rte_node_enqueue(out->graph, out->node, EDGE_TX, out->mbufs, out->count);
	out->count = 0;
}

static inline void
put(struct output *out, struct rte_mbuf *mbuf, enum gw_counter reason)
{
	gw_because(mbuf, reason);
	out->mbufs[out->count++] = mbuf;
	if (unlikely(out->count == OUT))
		flush(out);
}

static uint32_t
step(void)
{
	return rte_align32pow2(gw_lcore_count);
}

static inline uint32_t
identification(uint16_t lcore, const struct rte_mbuf *mbuf, bool ip6)
{
	struct identifications *own = &identifications[lcore];
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	if (ip6)
		return own->ip6 += step();
	return own->ip4[ip->dst_addr * 0x9e3779b1U / (UINT32_MAX / COUNTERS + 1)] += step();
}

// Of a frame whose headers are in its first segment.
static inline void
make_plan(const struct rte_mbuf *mbuf, struct plan *plan)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const uint32_t mtu =
		gw_mark((struct rte_mbuf *)(uintptr_t)mbuf)->nexthop >> GW_CUT_MTU_SHIFT;
	uint32_t added, room;

	plan->ip6 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6);
	plan->headers = plan->ip6 ? HEADERS6 : HEADERS4;
	plan->payload = mbuf->pkt_len - plan->headers;
	added = plan->headers + (plan->ip6 ? sizeof(struct gw_fragment6) : 0);
	// What the route allows, and what an mbuf has room for.
	room = RTE_MIN(mtu + RTE_ETHER_HDR_LEN,
		       (uint32_t)(rte_pktmbuf_data_room_size(mbuf->pool) - RTE_PKTMBUF_HEADROOM));
	plan->chunk = (room - added) & ~(UNIT - 1U);
	plan->pieces = (plan->payload - 1) / plan->chunk;
}

// The IP header of a piece, behind its Ethernet header, from that of the whole packet.
static inline void
write_ip(struct rte_mbuf *piece, const struct plan *plan, uint32_t offset, uint32_t length)
{
	const bool more = offset + length < plan->payload;
	struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(piece, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)ip;
	struct gw_fragment6 *fragment = (struct gw_fragment6 *)(ip6 + 1);

	if (!plan->ip6) {
		ip->total_length = rte_cpu_to_be_16(sizeof(*ip) + length);
		ip->packet_id = rte_cpu_to_be_16(plan->identification);
		ip->fragment_offset = rte_cpu_to_be_16(offset / UNIT | (more ? MORE4 : 0));
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		return;
	}
	ip6->payload_len = rte_cpu_to_be_16(sizeof(*fragment) + length);
	fragment->next = ip6->proto;
	fragment->reserved = 0;
	fragment->offset = rte_cpu_to_be_16(offset | (more ? GW_FRAGMENT6_MORE : 0));
	fragment->identification = rte_cpu_to_be_32(plan->identification);
	ip6->proto = GW_NEXT_FRAGMENT;
}

// A further piece, out of the frame, which is whole yet.
static inline void
copy_piece(struct rte_mbuf *piece, const struct rte_mbuf *mbuf, const struct plan *plan,
	   uint32_t offset)
{
	const uint32_t length = RTE_MIN(plan->chunk, plan->payload - offset);
	const uint32_t start = plan->headers + (plan->ip6 ? sizeof(struct gw_fragment6) : 0);
	char *to = rte_pktmbuf_mtod(piece, char *);
	const void *from = rte_pktmbuf_read(mbuf, plan->headers + offset, length, to + start);

	memcpy(to, rte_pktmbuf_mtod(mbuf, const char *), plan->headers);
	if (likely(from != to + start))
		rte_memcpy(to + start, from, length);
	piece->data_len = piece->pkt_len = start + length;
	piece->port = mbuf->port;
	*gw_mark(piece) = *gw_mark((struct rte_mbuf *)(uintptr_t)mbuf);
	write_ip(piece, plan, offset, length);
}

// The frame becomes the first piece. There is room for a header more, see GW_TUNNEL_HEADER.
static inline bool
shrink(struct rte_mbuf *mbuf, const struct plan *plan)
{
	uint32_t headers = plan->headers;

	gw_trim(mbuf, headers + plan->chunk);
	if (plan->ip6) {
		char *to = rte_pktmbuf_prepend(mbuf, sizeof(struct gw_fragment6));

		if (unlikely(!to))
			return false;
		memmove(to, to + sizeof(struct gw_fragment6), headers);
	}
	write_ip(mbuf, plan, 0, plan->chunk);
	return true;
}

// GW_VXLAN_ENCAP, or why it is not sent; the frame is the caller's then, whole or not.
static inline enum gw_counter
cut(struct rte_mbuf *mbuf, uint16_t lcore, struct output *out)
{
	struct rte_mbuf *pieces[GW_CUT_PIECES];
	struct plan plan;

	make_plan(mbuf, &plan);
	if (unlikely(plan.pieces >= GW_CUT_PIECES))
		return GW_DROP_TX_TOO_LONG;
	if (unlikely(rte_pktmbuf_alloc_bulk(gw_the_worker.mbufs, pieces, plan.pieces)))
		return GW_DROP_NO_BUFFER;
	plan.identification = identification(lcore, mbuf, plan.ip6);
	for (uint32_t i = 0; i < plan.pieces; i++)
		copy_piece(pieces[i], mbuf, &plan, (i + 1) * plan.chunk);
	if (unlikely(!shrink(mbuf, &plan))) {
		rte_pktmbuf_free_bulk(pieces, plan.pieces);
		return GW_DROP_NO_BUFFER;
	}
	put(out, mbuf, gw_mark(mbuf)->reason);
	for (uint32_t i = 0; i < plan.pieces; i++)
		put(out, pieces[i], GW_VXLAN_CUT);
	return GW_VXLAN_ENCAP;
}

/* Any number of frames, longer than the MTU of their way, see vxlan_cut.h. */
static uint16_t
vxlan_cut(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	const uint16_t lcore = gw_node_lcore(node)->index;
	struct output out = {.graph = graph, .node = node};

	for (uint16_t i = 0; i < count; i++) {
		const enum gw_counter fate = cut(objs[i], lcore, &out);

		if (likely(fate == GW_VXLAN_ENCAP))
			continue;
		gw_because(objs[i], fate);
		rte_node_enqueue_x1(graph, node, EDGE_DROP, objs[i]);
	}
	flush(&out);
	return count;
}

static int
init(const struct rte_graph *graph, struct rte_node *node)
{
	const uint16_t lcore = gw_graph_owner->index;
	struct identifications *own = &identifications[lcore];

	own->ip6 = (uint32_t)rte_rand() * step() + lcore;
	for (uint32_t i = 0; i < COUNTERS; i++)
		own->ip4[i] = (uint32_t)rte_rand() * step() + lcore;
	return gw_node_init(graph, node);
}

static struct rte_node_register registration = {
	.name = "vxlan-cut",
	.process = vxlan_cut,
	.init = init,
	.nb_edges = EDGES,
	.next_nodes = {[EDGE_TX] = "tx", [EDGE_DROP] = "drop"},
};
RTE_NODE_REGISTER(registration)
