/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a tunnel into its bridge: the mark has the slot of the VXLAN device, and that of the tunnel
 * the frame came by (0: its sender is believed without one), with the outer ECN field above it. It
 * never goes into a tunnel of the same segment. What the kernel's VXLAN device has to see (whose source
 * it has to learn, what it floods) is punted, and gets there with its outer headers.
 */
#include "bridge.h"
#include "vxlan_ecn.h"

enum { EDGE_FLOOD = GW_BRIDGE_EDGES, EDGES };

// A VXLAN device that frames came out of, and the bridge that they are for.
struct passage {
	const struct gw_interface *device;
	const struct gw_interface *bridge;
	uint16_t interface; // slot of the device
	uint16_t slot; // of the bridge
	uint16_t flags; // of the segment
};

/* A frame's part in a bulk lookup. */
struct question {
	uint8_t passage;
	uint8_t destination; // place among the keys; where it learns, that of the source is the next one
};

static void
find_passage(uint16_t interface, struct passage *via)
{
	const struct gw_interface *device = &gw_interfaces[interface];

	via->device = device;
	via->bridge = &gw_interfaces[device->master];
	via->interface = interface;
	via->slot = device->master;
	via->flags = gw_segments[device->segment].flags;
}

static inline bool
is_zero_or_group(const struct rte_ether_addr *mac)
{
	return rte_is_multicast_ether_addr(mac) || rte_is_zero_ether_addr(mac);
}

// STP, LLDP and the like concern one link (IEEE 802.1D section 7.12.6).
static inline bool
is_of_one_link(const struct rte_ether_addr *mac)
{
	const uint8_t *to = mac->addr_bytes;

	return to[0] == 0x01 && to[1] == 0x80 && to[2] == 0xc2 && !to[3] && !to[4] && to[5] <= 0x0f;
}

// What is judged before the FDB is asked; GW_BRIDGE_TX: nothing, ask it.
static inline uint8_t
judge(struct rte_mbuf *mbuf, const struct passage *via)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

	if (unlikely(is_zero_or_group(&ether->src_addr) || is_of_one_link(&ether->dst_addr)))
		return gw_bridge_because(mbuf, GW_DROP_INNER, GW_BRIDGE_DROP);
	if (unlikely(!(via->device->flags & GW_IF_UP) || !(via->bridge->flags & GW_IF_UP)))
		return gw_bridge_because(mbuf, GW_PUNT_VXLAN, GW_BRIDGE_PUNT);
	if (unlikely(via->device->flags & GW_IF_STP_BLOCKED))
		return gw_bridge_because(mbuf, GW_DROP_BRIDGE_STATE, GW_BRIDGE_DROP);
	if (unlikely(ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
		     ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ) ||
		     via->bridge->flags & GW_IF_VLAN_AWARE))
		return gw_bridge_because(mbuf, GW_PUNT_VLAN, GW_BRIDGE_PUNT);
	return GW_BRIDGE_TX;
}

static inline bool
is_behind(const struct gw_fdb_entry *station, uint16_t tunnel)
{
	const union gw_fdb_place place = gw_fdb_place(station);

	return tunnel && place.flags & GW_FDB_TUNNEL && place.port == tunnel;
}

// To the host that the FDB has at `to`.
static inline uint8_t
forward(struct rte_mbuf *mbuf, union gw_fdb_place to, const struct passage *via)
{
	uint8_t edge;

	if (to.flags & GW_FDB_TUNNEL) {
		if (gw_tunnels[to.port].segment == via->device->segment)
			return gw_bridge_because(mbuf, GW_DROP_SPLIT_HORIZON, GW_BRIDGE_DROP);
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, GW_BRIDGE_PUNT);
	}
	if (!(to.flags & GW_FDB_LOCAL))
		return gw_bridge_out(mbuf, to.port, via->slot, GW_VXLAN_DECAP);
	edge = gw_bridge_local(mbuf, via->slot);
	// VXLAN inside of VXLAN is the kernel's.
	return edge == GW_BRIDGE_VXLAN4 || edge == GW_BRIDGE_VXLAN6 ? GW_BRIDGE_PUNT : edge;
}

// Whether the kernel has to learn from it; a station that is known to be there is seen.
static inline bool
is_news(struct rte_mbuf *mbuf, int32_t place, uint32_t now)
{
	if (place < 0 || !is_behind(&gw_fdb_entries[place], gw_mark(mbuf)->nexthop))
		return true;
	gw_bridge_seen(&gw_fdb_entries[place], now);
	return false;
}

// For everybody, or a group; what it counts as if the kernel serves it.
static inline uint8_t
group(struct rte_mbuf *mbuf, const struct rte_ether_hdr *ether, const struct passage *via)
{
	const bool arp = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP);

	return gw_bridge_because(mbuf, arp ? GW_PUNT_ARP : GW_PUNT_MULTICAST,
				 via->flags & GW_SEGMENT_HEARS ? EDGE_FLOOD : GW_BRIDGE_PUNT);
}

static inline uint8_t
way(struct rte_mbuf *mbuf, const struct passage *via, const int32_t *places, uint32_t now)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	uint8_t edge = judge(mbuf, via);

	if (unlikely(edge != GW_BRIDGE_TX))
		return edge;
	if (via->flags & GW_SEGMENT_LEARNS && is_news(mbuf, places[1], now))
		return gw_bridge_because(mbuf, GW_PUNT_LEARN, GW_BRIDGE_PUNT);
	if (rte_is_multicast_ether_addr(&ether->dst_addr))
		return group(mbuf, ether, via);
	if (unlikely(places[0] < 0))
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS,
					 via->flags & GW_SEGMENT_FLOODS ? EDGE_FLOOD :
									  GW_BRIDGE_PUNT);
	return forward(mbuf, gw_fdb_place(&gw_fdb_entries[places[0]]), via);
}

static inline uint8_t
one(struct rte_mbuf *mbuf, const struct passage *via, const int32_t *places, uint32_t now)
{
	const uint8_t edge = way(mbuf, via, places, now);
	const uint8_t ecn = gw_mark(mbuf)->nexthop >> GW_ECN_SHIFT;

	if (likely(!ecn) || edge == GW_BRIDGE_PUNT || edge == GW_BRIDGE_DROP)
		return edge;
	return gw_ecn_carry(mbuf, ecn) ? edge :
					 gw_bridge_because(mbuf, GW_DROP_ECN, GW_BRIDGE_DROP);
}

// Where nothing is learned nothing is forgotten: whoever has written a station there keeps it, and
// the source need not be looked for.
static inline uint16_t
add_keys(const struct rte_mbuf *mbuf, const struct passage *via, struct gw_fdb_key *keys)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

	gw_bridge_key(&keys[0], &ether->dst_addr, via->slot);
	if (!(via->flags & GW_SEGMENT_LEARNS))
		return 1;
	gw_bridge_key(&keys[1], &ether->src_addr, via->slot);
	return 2;
}

static void
some(struct rte_mbuf **mbufs, uint16_t count, uint32_t now, uint8_t *next)
{
	struct passage passages[GW_BRIDGE_FRAMES];
	struct question questions[GW_BRIDGE_FRAMES];
	struct gw_fdb_key keys[GW_BRIDGE_KEYS];
	int32_t places[GW_BRIDGE_KEYS];
	uint8_t wanted = 0, last = 0;

	find_passage(gw_mark(mbufs[0])->interface, &passages[0]);
	for (uint16_t i = 0; i < count; i++) {
		const uint16_t interface = gw_mark(mbufs[i])->interface;

		if (unlikely(interface != passages[last].interface))
			find_passage(interface, &passages[++last]);
		questions[i] = (struct question){last, wanted};
		wanted += add_keys(mbufs[i], &passages[last], &keys[wanted]);
	}
	gw_bridge_find(keys, wanted, places);
	for (uint16_t i = 0; i < count; i++)
		next[i] = one(mbufs[i], &passages[questions[i].passage],
			      &places[questions[i].destination], now);
}

/* Of any number of bridges. */
static uint16_t
vxlan_bridge(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i += GW_BRIDGE_FRAMES)
		some((struct rte_mbuf **)&objs[i], RTE_MIN(count - i, GW_BRIDGE_FRAMES), lcore->now,
		     &next[i]);
	for (uint16_t i = 1; i < count; i++)
		mixed |= next[i] ^ next[0];
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

static struct rte_node_register registration = {
	.name = "vxlan-bridge",
	.process = vxlan_bridge,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[GW_BRIDGE_IP4] = "ip4-lookup",
			[GW_BRIDGE_IP6] = "ip6-lookup",
			[GW_BRIDGE_TX] = "tx",
			[GW_BRIDGE_PUNT] = "punt",
			// Never taken, and there for the numbers.
			[GW_BRIDGE_VXLAN4] = "punt",
			[GW_BRIDGE_VXLAN6] = "punt",
			[GW_BRIDGE_DROP] = "drop",
			[EDGE_FLOOD] = "flood",
		},
};
RTE_NODE_REGISTER(registration)
