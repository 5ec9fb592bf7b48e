/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv6: hop limit, and the Ethernet header of the next hop. */
#include <rte_ip.h>

#include "ip_rewrite.h"

static inline uint8_t
one(struct rte_mbuf *mbuf, struct gw_lcore *lcore)
{
	struct rte_ipv6_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);
	uint32_t length = sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);

	if (!gw_rewrite_leaves(mbuf, lcore, length, ip->hop_limits))
		return GW_REWRITE_PUNT;
	ip->hop_limits--;
	gw_because(mbuf, GW_FORWARD_IP6);
	return GW_REWRITE_TX;
}

static uint16_t
ip6_rewrite(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	return gw_rewrite_burst(graph, node, objs, count, one);
}

static struct rte_node_register registration = {
	.name = "ip6-rewrite",
	.process = ip6_rewrite,
	.init = gw_node_init,
	.nb_edges = GW_REWRITE_EDGES,
	.next_nodes = {[GW_REWRITE_TX] = "tx", [GW_REWRITE_PUNT] = "punt"},
};
RTE_NODE_REGISTER(registration)
