/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the nodes of the graph share: how a burst is handed on, and where the lcore is. */
#ifndef GW_NODE_H
#define GW_NODE_H

#include <rte_graph_worker.h>

#include "../counters.h"
#include "../interface.h"
#include "../lcore.h"
#include "../mark.h"
#include "../nexthop.h"
#include "../port.h"

/*
 * The nodes between rx and tx never get more at once: rx brings at most so many frames a walk,
 * none of them comes by a node twice, and what the kernel sends goes to tx alone.
 */
enum gw_burst {
	GW_BURST = 256,
	GW_AHEAD = 4, /* frames that are fetched into the cache before they are looked at */
	GW_REDIRECTS = 4, /* frames a second and lcore that the kernel may answer with a redirect */
};

static_assert(GW_BURST == RTE_GRAPH_BURST_SIZE, "scratch arrays of nodes have this size");

/* Set by graph.c while it creates the lcore's graph; each node's init function keeps it. */
extern struct gw_lcore *gw_graph_owner;

int gw_node_init(const struct rte_graph *graph, struct rte_node *node);

static inline struct gw_lcore *
gw_node_lcore(struct rte_node *node)
{
	return *(struct gw_lcore **)node->ctx;
}

/*
 * Hands objs[i] to edge next[i]. `mixed` says whether they differ at all: a burst that goes one
 * way moves without a copy.
 */
static inline void
gw_node_send(struct rte_graph *graph, struct rte_node *node, void **objs, const uint8_t *next,
	     uint16_t count, int mixed)
{
	uint16_t start = 0;

	// rte_graph calls no node without frames, but for sources.
	if (!count)
		__builtin_unreachable();
	if (likely(!mixed)) {
		rte_node_next_stream_move(graph, node, next[0]);
		return;
	}
	for (uint16_t i = 1; i <= count; i++) {
		if (i < count && next[i] == next[start])
			continue;
		rte_node_enqueue(graph, node, next[start], &objs[start], i - start);
		start = i;
	}
}

/* Marks why; the caller sends the frame to its punt or drop edge. */
static inline void
gw_because(struct rte_mbuf *mbuf, enum gw_counter reason)
{
	gw_mark(mbuf)->reason = reason;
}

#endif
