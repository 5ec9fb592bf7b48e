/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of outer packets, from VTEPs: what ip4-reassemble and ip6-reassemble have in common. */
#ifndef GW_IP_REASSEMBLE_H
#define GW_IP_REASSEMBLE_H

#include <rte_cycles.h>
#include <rte_ip.h>

#include "../reassembly.h"
#include "node.h"
#include "vxlan_header.h"

enum gw_reassemble_edge {
	GW_REASSEMBLE_DECAP,
	GW_REASSEMBLE_PUNT,
	GW_REASSEMBLE_IP, /* not for this host, or not to be judged here */
	GW_REASSEMBLE_EDGES,
};

/* The address of ours that a piece was for, and that there was nothing new since. */
struct gw_reassemble_memo {
	uint8_t address[16];
	uint32_t version; /* gw_ways_version */
} __rte_cache_aligned;

/* What differs between IPv4 and IPv6. */
struct gw_reassemble_family {
	/* Of a frame in one segment. False: it is no plain piece. */
	bool (*read)(const struct rte_mbuf *mbuf, struct gw_piece *piece);
	/* Whether the FIB has it as an address of this host. */
	bool (*is_ours)(const uint8_t *address);
	/* The whole packet's header, for a payload of `length`, of the first piece's. */
	void (*mend)(struct rte_mbuf *mbuf, uint32_t length, bool congested);
	struct gw_reassemble_memo *memos; /* one for each lcore */
};

/* What a host behind a bridge sends as a VTEP is not put together with what the VTEP sends. */
static inline uint16_t
gw_reassemble_bridge(struct rte_mbuf *mbuf)
{
	const uint16_t slot = gw_mark(mbuf)->interface;

	return gw_interfaces[slot].flags & GW_IF_BRIDGE ? slot : 0;
}

/* It comes straight from its device: nobody has looked where it goes. */
static inline bool
gw_reassemble_is_early(struct rte_mbuf *mbuf)
{
	return gw_mark(mbuf)->reason == GW_VXLAN_DECAP;
}

static inline bool
gw_reassemble_is_ours(const struct gw_reassemble_family *family, struct gw_reassemble_memo *memo,
		      const uint8_t *address)
{
	// Before the table is read: what changes meanwhile has a later version.
	const uint32_t version = __atomic_load_n(&gw_ways_version, __ATOMIC_ACQUIRE);

	if (likely(memo->version == version &&
		   !memcmp(memo->address, address, sizeof(memo->address))))
		return true;
	if (!family->is_ours(address))
		return false;
	memcpy(memo->address, address, sizeof(memo->address));
	memo->version = version;
	return true;
}

/* What goes on from here as it came. */
static inline void
gw_reassemble_pass(struct rte_graph *graph, struct rte_node *node, struct rte_mbuf *mbuf)
{
	if (gw_reassemble_is_early(mbuf))
		gw_because(mbuf, GW_PUNT_LOCAL);
	rte_node_enqueue_x1(graph, node, GW_REASSEMBLE_PUNT, mbuf);
}

static inline void
gw_reassemble_one(struct rte_graph *graph, struct rte_node *node, struct rte_mbuf *mbuf,
		  uint64_t now, const struct gw_reassemble_family *family)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	struct gw_pieces_result result;
	struct gw_piece piece;

	if (unlikely(mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf)) ||
	    unlikely(!family->read(mbuf, &piece)) ||
	    (gw_reassemble_is_early(mbuf) &&
	     unlikely(!gw_reassemble_is_ours(family, &family->memos[lcore->index],
					     piece.key.destination)))) {
		rte_node_enqueue_x1(
			graph, node,
			gw_reassemble_is_early(mbuf) ? GW_REASSEMBLE_IP : GW_REASSEMBLE_PUNT, mbuf);
		return;
	}
	piece.key.bridge = gw_reassemble_bridge(mbuf);
	switch (gw_reassembly_add(lcore, &piece, mbuf, now, &result)) {
	case GW_PIECES_KEPT:
		break;
	case GW_PIECES_WHOLE:
		family->mend(result.whole, result.length, result.congested);
		rte_node_enqueue_x1(graph, node, GW_REASSEMBLE_DECAP, result.whole);
		break;
	case GW_PIECES_PASS:
		for (uint8_t i = 0; i < result.count; i++)
			gw_reassemble_pass(graph, node, result.passing[i]);
		break;
	}
}

/* The burst of either node. */
static __rte_always_inline uint16_t
gw_reassemble_burst(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count,
		    const struct gw_reassemble_family *family)
{
	const uint64_t now = rte_rdtsc();

	for (uint16_t i = 0; i < count; i++) {
		if (likely(i + GW_AHEAD < count))
			rte_prefetch0(
				rte_pktmbuf_mtod((struct rte_mbuf *)objs[i + GW_AHEAD], void *));
		gw_reassemble_one(graph, node, objs[i], now, family);
	}
	return count;
}

#endif
