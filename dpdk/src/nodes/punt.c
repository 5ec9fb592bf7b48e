/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To the kernel, by the TAP of the port that the frame came in by; as it came, see gw_outer(). */
#include "../exception.h"
#include "node.h"

// Of one port. What fits into the ring counts when the TAP has taken it.
static void
punt_run(struct gw_lcore *lcore, uint16_t from, struct rte_mbuf **mbufs, uint16_t count)
{
	struct rte_ring *ring = gw_ports[from].to_kernel;
	uint16_t taken = 0;

	if (likely(ring != NULL))
		taken = rte_ring_enqueue_burst(ring, (void **)mbufs, count, NULL);
	if (unlikely(taken < count)) {
		gw_count(lcore, from, GW_DROP_PUNT_FULL, count - taken);
		rte_pktmbuf_free_bulk(mbufs + taken, count - taken);
	}
}

static inline void
put_back(struct rte_mbuf *mbuf)
{
	uint16_t *outer = gw_outer(mbuf);

	if (likely(!*outer))
		return;
	rte_pktmbuf_prepend(mbuf, *outer);
	*outer = 0;
}

static uint16_t
punt(struct rte_graph *graph __rte_unused, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	struct rte_mbuf **mbufs = (struct rte_mbuf **)objs;
	uint16_t start = 0;

	for (uint16_t i = 0; i < count; i++)
		put_back(mbufs[i]);
	for (uint16_t i = 1; i <= count; i++) {
		const uint8_t from = gw_mark(mbufs[start])->from;

		if (i < count && gw_mark(mbufs[i])->from == from)
			continue;
		punt_run(lcore, from, mbufs + start, i - start);
		start = i;
	}
	gw_exception_wake();
	return count;
}

static struct rte_node_register registration = {
	.name = "punt",
	.process = punt,
	.init = gw_node_init,
};
RTE_NODE_REGISTER(registration)
