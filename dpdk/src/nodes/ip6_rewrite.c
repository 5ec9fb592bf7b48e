/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv6: hop limit, and the Ethernet header of the next hop. */
#include <rte_ip.h>

#include "ip_rewrite.h"

static inline uint8_t
one(struct rte_mbuf *mbuf, struct gw_lcore *lcore)
{
	struct rte_ipv6_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);
	struct gw_nexthop *nexthop = &gw_nexthops[gw_mark(mbuf)->nexthop];
	uint32_t length = sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	int reason = gw_rewrite_refuses(nexthop, length, ip->hop_limits);

	if (likely(reason < 0) && unlikely(!gw_rewrite_ethernet(mbuf, nexthop, lcore->now)))
		reason = GW_PUNT_BRIDGE_MISS;
	if (unlikely(reason >= 0)) {
		gw_because(mbuf, reason);
		return GW_REWRITE_PUNT;
	}
	ip->hop_limits--;
	gw_count(lcore, gw_mark(mbuf)->from, GW_FORWARD_IP6, 1);
	return GW_REWRITE_TX;
}

static uint16_t
ip6_rewrite(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i++) {
		next[i] = one(objs[i], lcore);
		mixed |= next[i] ^ next[0];
	}
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

static struct rte_node_register registration = {
	.name = "ip6-rewrite",
	.process = ip6_rewrite,
	.init = gw_node_init,
	.nb_edges = GW_REWRITE_EDGES,
	.next_nodes = {[GW_REWRITE_TX] = "tx", [GW_REWRITE_PUNT] = "punt"},
};
RTE_NODE_REGISTER(registration)
