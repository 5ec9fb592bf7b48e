/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv6: hop limit, and the Ethernet header of the next hop. */
#include <rte_ip.h>

#include "ip_rewrite.h"

static inline uint8_t
one(struct rte_mbuf *mbuf, struct gw_lcore *lcore)
{
	struct rte_ipv6_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);
	const uint32_t length = sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	const uint8_t edge = gw_rewrite_leaves(mbuf, lcore, length, ip->hop_limits);

	if (unlikely(edge == GW_REWRITE_PUNT))
		return edge;
	ip->hop_limits--;
	gw_because(mbuf, edge == GW_REWRITE_TX ? GW_FORWARD_IP6 : GW_VXLAN_ENCAP);
	return edge;
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
	.next_nodes =
		{
			[GW_REWRITE_TX] = "tx",
			[GW_REWRITE_PUNT] = "punt",
			[GW_REWRITE_ENCAP] = "vxlan-encap",
		},
};
RTE_NODE_REGISTER(registration)
