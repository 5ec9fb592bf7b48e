/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings in one burst of one port a walk; the lcore's ports take turns. */
#include "node.h"

enum edge { EDGE_CLASSIFY, EDGES };

/* A source: `count` means nothing. */
static uint16_t
rx(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count __rte_unused)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	const struct gw_poll_list *list = __atomic_load_n(&lcore->list, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < list->count; i++) {
		uint16_t received;

		// The list may have become shorter than the cursor.
		if (++lcore->cursor >= list->count)
			lcore->cursor = 0;
		received = rte_eth_rx_burst(list->ports[lcore->cursor], 0, (struct rte_mbuf **)objs,
					    GW_RX_BURST);
		if (received == 0)
			continue;
		lcore->received += received;
		node->idx = received;
		rte_node_next_stream_move(graph, node, EDGE_CLASSIFY);
		return received;
	}
	return 0;
}

static struct rte_node_register registration = {
	.name = "rx",
	.flags = RTE_NODE_SOURCE_F,
	.process = rx,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes = {[EDGE_CLASSIFY] = "classify"},
};
RTE_NODE_REGISTER(registration)
