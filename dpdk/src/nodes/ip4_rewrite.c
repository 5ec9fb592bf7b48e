/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4: time to live, its checksum (RFC 1624), and the Ethernet header of the next hop. */
#include <rte_ip.h>

#include "ip_rewrite.h"

static inline uint8_t
one(struct rte_mbuf *mbuf, struct gw_lcore *lcore)
{
	struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	const uint8_t edge = gw_rewrite_leaves(mbuf, lcore, rte_be_to_cpu_16(ip->total_length),
					       ip->time_to_live);
	uint32_t sum;

	if (unlikely(edge == GW_REWRITE_PUNT))
		return edge;
	ip->time_to_live--;
	// One less in the upper byte of a word is one more there in the complement.
	sum = ip->hdr_checksum + RTE_BE16(0x0100);
	ip->hdr_checksum = sum + (sum >= 0xffff);
	gw_because(mbuf, edge == GW_REWRITE_TX ? GW_FORWARD_IP4 : GW_VXLAN_ENCAP);
	return edge;
}

static uint16_t
ip4_rewrite(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	return gw_rewrite_burst(graph, node, objs, count, one);
}

static struct rte_node_register registration = {
	.name = "ip4-rewrite",
	.process = ip4_rewrite,
	.init = gw_node_init,
	.nb_edges = GW_REWRITE_EDGES,
	.next_nodes =
		{
			[GW_REWRITE_TX] = "tx",
			[GW_REWRITE_PUNT] = "punt",
			[GW_REWRITE_ENCAP] = "vxlan-encap",
		},
};
RTE_NODE_REGISTER(registration)
