/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The graph of each lcore, and what its nodes have done. */
#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_graph_worker.h>

#include "error.h"
#include "lcore.h"
#include "nodes/node.h"
#include "worker.h"

struct gw_lcore *gw_graph_owner;

// All that there are; sources first. rte_graph adds what they lead to, if it were forgotten.
static const char *names[] = {
	"rx",		"from-kernel",	  "classify",	    "ip4-lookup",   "ip4-rewrite",
	"ip6-lookup",	"ip6-rewrite",	  "bridge",	    "punt",	    "drop",
	"tx",		"vxlan-encap",	  "vxlan-cut",	    "vxlan4-decap", "vxlan6-decap",
	"vxlan-bridge", "ip4-reassemble", "ip6-reassemble", "suppress",	    "flood",
};

int
gw_node_init(const struct rte_graph *graph __rte_unused, struct rte_node *node)
{
	static_assert(sizeof(gw_graph_owner) <= RTE_NODE_CTX_SZ, "fits");
	memcpy(node->ctx, &gw_graph_owner, sizeof(gw_graph_owner));
	return 0;
}

struct rte_graph *
gw_graph_create(struct gw_lcore *lcore)
{
	struct rte_graph_param parameters = {
		.socket_id = rte_lcore_to_socket_id(lcore->id),
		.nb_node_patterns = RTE_DIM(names),
		.node_patterns = names,
	};
	char name[RTE_GRAPH_NAMESIZE];
	rte_graph_t graph;

	snprintf(name, sizeof(name), "lcore%u", lcore->index);
	gw_graph_owner = lcore;
	graph = rte_graph_create(name, &parameters);
	gw_graph_owner = NULL;
	if (graph == RTE_GRAPH_ID_INVALID) {
		gw_fail(rte_errno ?: ENOMEM, "rte_graph refuses the graph of core %u: %s",
			lcore->id, strerror(rte_errno));
		return NULL;
	}
	return rte_graph_lookup(name);
}

void
gw_graph_destroy(struct gw_lcore *lcore)
{
	if (lcore->graph)
		rte_graph_destroy(lcore->graph->id);
	lcore->graph = NULL;
}

static uint32_t
place_of(const char *name, const struct gw_node_figures *nodes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(nodes[i].name, name))
			return i;
	return UINT32_MAX;
}

// The edges as places in the list, once the list is complete.
static void
link_nodes(struct gw_node_figures *nodes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		char *next[RTE_DIM(nodes->edges)];
		rte_node_t id = rte_node_from_name(nodes[i].name);
		rte_node_t edges = rte_node_edge_get(id, NULL) / sizeof(char *);

		if (edges > RTE_DIM(next))
			continue;
		rte_node_edge_get(id, next);
		for (rte_node_t edge = 0; edge < edges; edge++) {
			uint32_t place = place_of(next[edge], nodes, count);

			if (place != UINT32_MAX)
				nodes[i].edges[nodes[i].edge_count++] = place;
		}
	}
}

int
gw_graph_read(struct gw_worker *worker __rte_unused, struct gw_node_figures *nodes,
	      uint32_t capacity)
{
	uint32_t count = RTE_MIN(capacity, RTE_DIM(names));

	memset(nodes, 0, count * sizeof(*nodes));
	for (uint32_t i = 0; i < count; i++)
		rte_strscpy(nodes[i].name, names[i], sizeof(nodes[i].name));
	pthread_mutex_lock(&gw_control);
	for (uint32_t lcore = 0; lcore < gw_lcore_count; lcore++) {
		for (uint32_t i = 0; gw_lcores[lcore].graph && i < count; i++) {
			// Written by the lcore without locks: each figure by itself is right.
			const struct rte_node *node =
				rte_graph_node_get_by_name(gw_lcores[lcore].graph->name, names[i]);

			if (!node)
				continue;
			nodes[i].calls += node->total_calls;
			nodes[i].packets += node->total_objs;
			nodes[i].cycles += node->total_cycles;
		}
	}
	pthread_mutex_unlock(&gw_control);
	link_nodes(nodes, count);
	return count;
}
