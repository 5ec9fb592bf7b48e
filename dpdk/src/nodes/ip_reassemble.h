/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of outer packets, from VTEPs: what ip4-reassemble and ip6-reassemble have in common. */
#ifndef GW_IP_REASSEMBLE_H
#define GW_IP_REASSEMBLE_H

#include <rte_cycles.h>
#include <rte_ip.h>

#include "../reassembly.h"
#include "node.h"

enum gw_reassemble_edge { GW_REASSEMBLE_DECAP, GW_REASSEMBLE_PUNT, GW_REASSEMBLE_EDGES };

enum { GW_ECN_MASK = 3, GW_ECN_CE = 3 };

/* What differs between IPv4 and IPv6. */
struct gw_reassemble_family {
	/* Of a frame in one segment. False: it is the kernel's, as it is. */
	bool (*read)(const struct rte_mbuf *mbuf, struct gw_piece *piece);
	/* The whole packet's header, for a payload of `length`, of the first piece's. */
	void (*mend)(struct rte_mbuf *mbuf, uint32_t length, bool congested);
};

static inline void
gw_reassemble_one(struct rte_graph *graph, struct rte_node *node, struct rte_mbuf *mbuf,
		  uint64_t now, const struct gw_reassemble_family *family)
{
	struct gw_pieces_result result;
	struct gw_piece piece;

	if (unlikely(mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf)) ||
	    unlikely(!family->read(mbuf, &piece))) {
		rte_node_enqueue_x1(graph, node, GW_REASSEMBLE_PUNT, mbuf);
		return;
	}
	switch (gw_reassembly_add(gw_node_lcore(node), &piece, mbuf, now, &result)) {
	case GW_PIECES_KEPT:
		break;
	case GW_PIECES_WHOLE:
		family->mend(result.whole, result.length, result.congested);
		rte_node_enqueue_x1(graph, node, GW_REASSEMBLE_DECAP, result.whole);
		break;
	case GW_PIECES_PASS:
		for (uint8_t i = 0; i < result.count; i++)
			rte_node_enqueue_x1(graph, node, GW_REASSEMBLE_PUNT, result.passing[i]);
		break;
	}
}

/* The burst of either node. What goes to the kernel has its reason in the mark already. */
static __rte_always_inline uint16_t
gw_reassemble_burst(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count,
		    const struct gw_reassemble_family *family)
{
	const uint64_t now = rte_rdtsc();

	for (uint16_t i = 0; i < count; i++)
		gw_reassemble_one(graph, node, objs[i], now, family);
	return count;
}

#endif
