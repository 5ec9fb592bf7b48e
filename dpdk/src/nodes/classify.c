/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local, L2 or L3: by the destination's MAC address and the EtherType. */
#include "l3.h"

enum edge {
	EDGE_IP4,
	EDGE_IP6,
	EDGE_BRIDGE,
	EDGE_PUNT,
	EDGE_VXLAN4,
	EDGE_VXLAN6,
	EDGE_DROP,
	EDGES,
};

// The order of enum gw_l3_edge, for what is routed.
static_assert((int)EDGE_IP4 == GW_L3_IP4 && (int)EDGE_IP6 == GW_L3_IP6, "see l3.h");
static_assert((int)EDGE_PUNT == GW_L3_PUNT, "see l3.h");
static_assert((int)EDGE_VXLAN4 == GW_L3_VXLAN4 && (int)EDGE_VXLAN6 == GW_L3_VXLAN6, "see l3.h");

// Whoever it is for; not a frame of ours.
static uint8_t
for_others(struct rte_mbuf *mbuf, const struct rte_ether_hdr *ether, uint32_t flags)
{
	if (rte_is_multicast_ether_addr(&ether->dst_addr)) {
		gw_because(mbuf, ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP) ?
					 GW_PUNT_ARP :
					 GW_PUNT_MULTICAST);
		return EDGE_PUNT;
	}
	if (flags & GW_IF_PROMISC) {
		gw_because(mbuf, GW_PUNT_PROMISCUOUS);
		return EDGE_PUNT;
	}
	gw_because(mbuf, GW_DROP_NOT_FOR_US);
	return EDGE_DROP;
}

static inline uint8_t
one(struct rte_mbuf *mbuf, const struct gw_interface *interface)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

	if (unlikely(rte_pktmbuf_data_len(mbuf) < RTE_ETHER_HDR_LEN)) {
		gw_because(mbuf, GW_DROP_SHORT);
		return EDGE_DROP;
	}
	if (unlikely(!rte_is_same_ether_addr(&ether->dst_addr, &interface->mac)))
		return for_others(mbuf, ether, interface->flags);
	return gw_l3_arrives(mbuf, ether, interface->flags);
}

// A whole burst that has one way: the port is down, or a bridge's.
static uint16_t
all(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count, uint8_t edge)
{
	for (uint16_t i = 0; i < count && edge == EDGE_DROP; i++)
		gw_because(objs[i], GW_DROP_PORT_DOWN);
	rte_node_next_stream_move(graph, node, edge);
	return count;
}

/* A burst is of one port, see rx. */
static uint16_t
classify(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	const uint16_t from = ((struct rte_mbuf *)objs[0])->port;
	const uint16_t slot = gw_ports[from].interface;
	const struct gw_interface *interface = &gw_interfaces[slot];
	const struct gw_mark mark = {.interface = slot, .from = from};
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count && i < GW_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod((struct rte_mbuf *)objs[i], void *));
	for (uint16_t i = 0; i < count; i++) {
		*gw_mark(objs[i]) = mark;
		*gw_outer(objs[i]) = 0;
	}
	if (unlikely(!(interface->flags & GW_IF_UP)))
		return all(graph, node, objs, count, EDGE_DROP);
	if (interface->flags & GW_IF_BRIDGED)
		return all(graph, node, objs, count, EDGE_BRIDGE);
	for (uint16_t i = 0; i < count; i++) {
		if (likely(i + GW_AHEAD < count))
			rte_prefetch0(
				rte_pktmbuf_mtod((struct rte_mbuf *)objs[i + GW_AHEAD], void *));
		next[i] = one(objs[i], interface);
		mixed |= next[i] ^ next[0];
	}
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

static struct rte_node_register registration = {
	.name = "classify",
	.process = classify,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_IP4] = "ip4-lookup",
			[EDGE_IP6] = "ip6-lookup",
			[EDGE_BRIDGE] = "bridge",
			[EDGE_PUNT] = "punt",
			[EDGE_VXLAN4] = "vxlan4-decap",
			[EDGE_VXLAN6] = "vxlan6-decap",
			[EDGE_DROP] = "drop",
		},
};
RTE_NODE_REGISTER(registration)
