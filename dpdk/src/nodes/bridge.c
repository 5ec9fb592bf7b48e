/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between ports of one bridge, by the kernel's FDB. The kernel learns: a frame whose source the
 * FDB does not have at this port is the kernel's, and so is everything that has to be flooded.
 */
#include <rte_hash.h>

#include "../fdb.h"
#include "l3.h"

enum edge { EDGE_IP4, EDGE_IP6, EDGE_TX, EDGE_PUNT, EDGE_DROP, EDGES };

static_assert((int)EDGE_IP4 == GW_L3_IP4 && (int)EDGE_IP6 == GW_L3_IP6, "see l3.h");
static_assert((int)EDGE_PUNT == GW_L3_PUNT, "see l3.h");

enum { KEYS = RTE_HASH_LOOKUP_BULK_MAX, FRAMES = KEYS / 2 };

static inline uint8_t
because(struct rte_mbuf *mbuf, enum gw_counter reason, uint8_t edge)
{
	gw_because(mbuf, reason);
	return edge;
}

// What is judged before the FDB is asked; EDGE_TX: nothing, ask it.
static inline uint8_t
judge(struct rte_mbuf *mbuf, const struct gw_interface *port, const struct gw_interface *bridge)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const uint8_t *to = ether->dst_addr.addr_bytes;

	if (unlikely(rte_pktmbuf_data_len(mbuf) < RTE_ETHER_HDR_LEN))
		return because(mbuf, GW_DROP_SHORT, EDGE_DROP);
	// 01:80:c2:00:00:0X is for the bridge itself (IEEE 802.1D section 7.12.6), in every state.
	if (unlikely(to[0] == 0x01 && to[1] == 0x80 && to[2] == 0xc2))
		return because(mbuf, GW_PUNT_MULTICAST, EDGE_PUNT);
	if (unlikely(port->flags & GW_IF_STP_BLOCKED))
		return because(mbuf, GW_DROP_BRIDGE_STATE, EDGE_DROP);
	if (unlikely(ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
		     ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ) ||
		     bridge->flags & GW_IF_VLAN_AWARE))
		return because(mbuf, GW_PUNT_VLAN, EDGE_PUNT);
	if (rte_is_multicast_ether_addr(&ether->dst_addr))
		return because(mbuf,
			       ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP) ?
				       GW_PUNT_ARP :
				       GW_PUNT_MULTICAST,
			       EDGE_PUNT);
	if (unlikely(!(bridge->flags & GW_IF_UP)))
		return because(mbuf, GW_PUNT_BRIDGE_MISS, EDGE_PUNT);
	return EDGE_TX;
}

// For the bridge itself. Other addresses of this kind are those of single ports, and of devices on
// top of it: whom they are for depends on the port, and the kernel knows.
static inline uint8_t
local(struct rte_mbuf *mbuf, uint16_t slot, const struct gw_interface *bridge)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

	if (unlikely(!rte_is_same_ether_addr(&ether->dst_addr, &bridge->mac)))
		return because(mbuf, GW_PUNT_BRIDGE_MISS, EDGE_PUNT);
	gw_mark(mbuf)->interface = slot;
	return gw_l3_edge(mbuf, ether, bridge->flags);
}

// To the host that the FDB has at `to`.
static inline uint8_t
forward(struct rte_mbuf *mbuf, union gw_fdb_place to, uint16_t slot)
{
	const struct gw_interface *bridge = &gw_interfaces[slot], *out;
	const struct gw_mark *mark = gw_mark(mbuf);

	if (to.flags & GW_FDB_LOCAL)
		return local(mbuf, slot, bridge);
	if (to.port == (uint16_t)GW_NO_PORT)
		return because(mbuf, GW_PUNT_BRIDGE_MISS, EDGE_PUNT);
	if (unlikely(to.port == mark->from))
		return because(mbuf, GW_DROP_SAME_PORT, EDGE_DROP);
	out = &gw_interfaces[gw_ports[to.port].interface];
	// It has left the bridge, and the kernel is about to say so of its stations.
	if (unlikely(out->master != slot))
		return because(mbuf, GW_PUNT_BRIDGE_MISS, EDGE_PUNT);
	if (unlikely(out->flags & GW_IF_STP_BLOCKED))
		return because(mbuf, GW_DROP_BRIDGE_STATE, EDGE_DROP);
	// The kernel drops those as well, and counts them where its owner looks.
	if (unlikely(rte_pktmbuf_pkt_len(mbuf) > out->mtu + RTE_ETHER_HDR_LEN))
		return because(mbuf, GW_PUNT_TOO_BIG, EDGE_PUNT);
	mbuf->port = to.port;
	return because(mbuf, GW_FORWARD_BRIDGE, EDGE_TX);
}

// FDB entries of source and destination of each frame, one after the other; negative: none.
static void
find(struct rte_mbuf **mbufs, uint16_t slot, uint16_t count, int32_t *places)
{
	struct gw_fdb_key keys[KEYS];
	const void *pointers[KEYS];

	memset(keys, 0, sizeof(keys));
	for (uint16_t i = 0; i < count; i++) {
		const struct rte_ether_hdr *ether =
			rte_pktmbuf_mtod(mbufs[i], const struct rte_ether_hdr *);

		keys[2 * i].mac = ether->src_addr;
		keys[2 * i + 1].mac = ether->dst_addr;
		keys[2 * i].bridge = keys[2 * i + 1].bridge = slot;
		pointers[2 * i] = &keys[2 * i];
		pointers[2 * i + 1] = &keys[2 * i + 1];
	}
	rte_hash_lookup_bulk(gw_fdb, pointers, 2 * count, places);
}

static void
some(struct rte_mbuf **mbufs, uint16_t count, struct gw_lcore *lcore, uint8_t *next)
{
	const struct gw_interface *port = &gw_interfaces[gw_mark(mbufs[0])->interface];
	const uint16_t slot = port->master;
	int32_t places[KEYS];

	find(mbufs, slot, count, places);
	for (uint16_t i = 0; i < count; i++) {
		struct gw_fdb_entry *source;

		next[i] = judge(mbufs[i], port, &gw_interfaces[slot]);
		if (next[i] != EDGE_TX)
			continue;
		source = places[2 * i] < 0 ? NULL : &gw_fdb_entries[places[2 * i]];
		if (!source || gw_fdb_place(source).port != gw_mark(mbufs[i])->from ||
		    places[2 * i + 1] < 0) {
			next[i] = because(mbufs[i], GW_PUNT_BRIDGE_MISS, EDGE_PUNT);
			continue;
		}
		if (source->seen != lcore->now)
			source->seen = lcore->now;
		next[i] = forward(mbufs[i], gw_fdb_place(&gw_fdb_entries[places[2 * i + 1]]), slot);
	}
}

/* A burst is of one port, see classify. */
static uint16_t
bridge(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i += FRAMES)
		some((struct rte_mbuf **)&objs[i], RTE_MIN(count - i, FRAMES), lcore, &next[i]);
	for (uint16_t i = 1; i < count; i++)
		mixed |= next[i] ^ next[0];
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

static struct rte_node_register registration = {
	.name = "bridge",
	.process = bridge,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_IP4] = "ip4-lookup",
			[EDGE_IP6] = "ip6-lookup",
			[EDGE_TX] = "tx",
			[EDGE_PUNT] = "punt",
			[EDGE_DROP] = "drop",
		},
};
RTE_NODE_REGISTER(registration)
