/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4: time to live, its checksum (RFC 1624), and the Ethernet header of the next hop. */
#include <rte_ip.h>

#include "ip_rewrite.h"

static inline uint8_t
one(struct rte_mbuf *mbuf, struct gw_lcore *lcore)
{
	struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	struct gw_nexthop *nexthop = &gw_nexthops[gw_mark(mbuf)->nexthop];
	int reason =
		gw_rewrite_refuses(nexthop, rte_be_to_cpu_16(ip->total_length), ip->time_to_live);
	uint32_t sum;

	if (likely(reason < 0) && unlikely(!gw_rewrite_ethernet(mbuf, nexthop, lcore->now)))
		reason = GW_PUNT_BRIDGE_MISS;
	if (unlikely(reason >= 0)) {
		gw_because(mbuf, reason);
		return GW_REWRITE_PUNT;
	}
	ip->time_to_live--;
	// One less in the upper byte of a word is one more there in the complement.
	sum = ip->hdr_checksum + RTE_BE16(0x0100);
	ip->hdr_checksum = sum + (sum >= 0xffff);
	gw_count(lcore, gw_mark(mbuf)->from, GW_FORWARD_IP4, 1);
	return GW_REWRITE_TX;
}

static uint16_t
ip4_rewrite(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
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
	.name = "ip4-rewrite",
	.process = ip4_rewrite,
	.init = gw_node_init,
	.nb_edges = GW_REWRITE_EDGES,
	.next_nodes = {[GW_REWRITE_TX] = "tx", [GW_REWRITE_PUNT] = "punt"},
};
RTE_NODE_REGISTER(registration)
