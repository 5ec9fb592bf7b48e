/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel has sent on the TAPs of this lcore's ports leaves by these ports. */
#include "node.h"

enum edge { EDGE_TX, EDGES };

/* A source: `count` means nothing. The frames come marked, see exception.c. */
static uint16_t
from_kernel(struct rte_graph *graph, struct rte_node *node, void **objs,
	    uint16_t count __rte_unused)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	const struct gw_poll_list *list = __atomic_load_n(&lcore->list, __ATOMIC_ACQUIRE);
	uint32_t place = lcore->cursor; // moves with rx, so that no port is always the last
	uint16_t total = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		uint16_t id, taken;

		if (++place >= list->count)
			place = 0;
		id = list->ports[place];
		taken = rte_ring_sc_dequeue_burst(gw_ports[id].from_kernel, objs + total,
						  RTE_MIN(GW_INJECT_BURST, GW_BURST - total), NULL);
		if (likely(taken == 0))
			continue;
		total += taken;
	}
	if (likely(total == 0))
		return 0;
	lcore->received += total;
	node->idx = total;
	rte_node_next_stream_move(graph, node, EDGE_TX);
	return total;
}

static struct rte_node_register registration = {
	.name = "from-kernel",
	.flags = RTE_NODE_SOURCE_F,
	.process = from_kernel,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes = {[EDGE_TX] = "tx"},
};
RTE_NODE_REGISTER(registration)
