/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of frames that go nowhere; each counted by its reason. */
#include "node.h"

static uint16_t
drop(struct rte_graph *graph __rte_unused, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);

	for (uint16_t i = 0; i < count; i++) {
		const struct gw_mark *mark = gw_mark(objs[i]);

		gw_count(lcore, mark->from, mark->reason, 1);
	}
	rte_pktmbuf_free_bulk((struct rte_mbuf **)objs, count);
	return count;
}

static struct rte_node_register registration = {
	.name = "drop",
	.process = drop,
	.init = gw_node_init,
};
RTE_NODE_REGISTER(registration)
