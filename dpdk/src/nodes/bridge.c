/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between ports of one bridge, and from them into tunnels, by the kernel's FDB. The kernel learns: a
 * frame whose source the FDB does not have at this port is the kernel's. What has to be flooded is the
 * kernel's as well, but for bridges with a segment, see flood.
 */
#include <netinet/icmp6.h>

#include <rte_ip.h>

#include "../tunnel.h"
#include "bridge.h"

enum edge { EDGE_ENCAP = GW_BRIDGE_EDGES, EDGE_SUPPRESS, EDGE_FLOOD, EDGES };

// ARP, or a message of neighbour discovery that a bridge may keep from VTEPs.
static inline bool
is_resolution(const struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)(ether + 1);
	const uint8_t *type = (const uint8_t *)(ip + 1);

	if (ether->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP);
	return rte_pktmbuf_data_len(mbuf) > RTE_ETHER_HDR_LEN + sizeof(*ip) &&
	       ip->proto == IPPROTO_ICMPV6 &&
	       (*type == ND_NEIGHBOR_SOLICIT || *type == ND_NEIGHBOR_ADVERT);
}

/*
 * For everybody, or a group. Where it is answered in a tunnel's stead whom that keeps from hearing it
 * is the kernel's to say; and so is all from a station that it has to learn.
 */
static inline uint8_t
group(struct rte_mbuf *mbuf, const struct gw_interface *bridge, bool known)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const uint16_t flags = gw_segments[bridge->segment].flags;

	gw_because(mbuf, ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP) ? GW_PUNT_ARP :
									     GW_PUNT_MULTICAST);
	if (flags & GW_SEGMENT_SUPPRESS && is_resolution(mbuf))
		return EDGE_SUPPRESS;
	return known && flags & GW_SEGMENT_HEARS ? EDGE_FLOOD : GW_BRIDGE_PUNT;
}

// What is judged before the FDB is asked; GW_BRIDGE_TX: nothing, ask it.
static inline uint8_t
judge(struct rte_mbuf *mbuf, const struct gw_interface *port, const struct gw_interface *bridge)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const uint8_t *to = ether->dst_addr.addr_bytes;

	if (unlikely(rte_pktmbuf_data_len(mbuf) < RTE_ETHER_HDR_LEN))
		return gw_bridge_because(mbuf, GW_DROP_SHORT, GW_BRIDGE_DROP);
	// 01:80:c2:00:00:0X is for the bridge itself (IEEE 802.1D section 7.12.6), in every state.
	if (unlikely(to[0] == 0x01 && to[1] == 0x80 && to[2] == 0xc2))
		return gw_bridge_because(mbuf, GW_PUNT_MULTICAST, GW_BRIDGE_PUNT);
	if (unlikely(port->flags & GW_IF_STP_BLOCKED))
		return gw_bridge_because(mbuf, GW_DROP_BRIDGE_STATE, GW_BRIDGE_DROP);
	if (unlikely(ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
		     ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ) ||
		     bridge->flags & GW_IF_VLAN_AWARE))
		return gw_bridge_because(mbuf, GW_PUNT_VLAN, GW_BRIDGE_PUNT);
	if (unlikely(!rte_is_multicast_ether_addr(&ether->dst_addr) && !(bridge->flags & GW_IF_UP)))
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, GW_BRIDGE_PUNT);
	return GW_BRIDGE_TX;
}

// To the host that the FDB has at `to`.
static inline uint8_t
forward(struct rte_mbuf *mbuf, union gw_fdb_place to, uint16_t slot)
{
	if (to.flags & GW_FDB_LOCAL)
		return gw_bridge_local(mbuf, slot);
	if (to.flags & GW_FDB_TUNNEL) {
		gw_mark(mbuf)->nexthop = to.port;
		return gw_bridge_because(mbuf, GW_VXLAN_ENCAP, EDGE_ENCAP);
	}
	if (unlikely(to.port == gw_mark(mbuf)->from))
		return gw_bridge_because(mbuf, GW_DROP_SAME_PORT, GW_BRIDGE_DROP);
	return gw_bridge_out(mbuf, to.port, slot, GW_FORWARD_BRIDGE);
}

// Nobody knows where the destination is.
static inline uint8_t
unknown(struct rte_mbuf *mbuf, const struct gw_interface *bridge)
{
	const bool floods = gw_segments[bridge->segment].flags & GW_SEGMENT_FLOODS;

	return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, floods ? EDGE_FLOOD : GW_BRIDGE_PUNT);
}

static inline bool
is_at_port(const struct gw_fdb_entry *station, uint8_t port)
{
	const union gw_fdb_place place = gw_fdb_place(station);

	return place.port == port && !(place.flags & GW_FDB_TUNNEL);
}

// `places` are those of source and destination; negative: not in the FDB.
static inline uint8_t
one(struct rte_mbuf *mbuf, const struct gw_interface *port, const int32_t *places, uint32_t now)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const struct gw_interface *bridge = &gw_interfaces[port->master];
	struct gw_fdb_entry *source = places[0] < 0 ? NULL : &gw_fdb_entries[places[0]];
	const bool known = source && is_at_port(source, gw_mark(mbuf)->from);
	const uint8_t edge = judge(mbuf, port, bridge);

	if (unlikely(edge != GW_BRIDGE_TX))
		return edge;
	if (likely(known))
		gw_bridge_seen(source, now);
	if (rte_is_multicast_ether_addr(&ether->dst_addr))
		return group(mbuf, bridge, known);
	if (unlikely(!known))
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, GW_BRIDGE_PUNT);
	if (unlikely(places[1] < 0))
		return unknown(mbuf, bridge);
	return forward(mbuf, gw_fdb_place(&gw_fdb_entries[places[1]]), port->master);
}

static void
some(struct rte_mbuf **mbufs, uint16_t count, struct gw_lcore *lcore, uint8_t *next)
{
	const struct gw_interface *port = &gw_interfaces[gw_mark(mbufs[0])->interface];
	const uint16_t slot = port->master;
	struct gw_fdb_key keys[GW_BRIDGE_KEYS];
	int32_t places[GW_BRIDGE_KEYS];

	for (uint16_t i = 0; i < count; i++) {
		const struct rte_ether_hdr *ether =
			rte_pktmbuf_mtod(mbufs[i], const struct rte_ether_hdr *);

		gw_bridge_key(&keys[2 * i], &ether->src_addr, slot);
		gw_bridge_key(&keys[2 * i + 1], &ether->dst_addr, slot);
	}
	gw_bridge_find(keys, 2 * count, places);
	for (uint16_t i = 0; i < count; i++)
		next[i] = one(mbufs[i], port, &places[2 * i], lcore->now);
}

/* A burst is of one port, see classify. */
static uint16_t
bridge(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i += GW_BRIDGE_FRAMES)
		some((struct rte_mbuf **)&objs[i], RTE_MIN(count - i, GW_BRIDGE_FRAMES), lcore,
		     &next[i]);
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
			[GW_BRIDGE_IP4] = "ip4-lookup",
			[GW_BRIDGE_IP6] = "ip6-lookup",
			[GW_BRIDGE_TX] = "tx",
			[GW_BRIDGE_PUNT] = "punt",
			[GW_BRIDGE_VXLAN4] = "vxlan4-decap",
			[GW_BRIDGE_VXLAN6] = "vxlan6-decap",
			[GW_BRIDGE_DROP] = "drop",
			[EDGE_ENCAP] = "vxlan-encap",
			[EDGE_SUPPRESS] = "suppress",
			[EDGE_FLOOD] = "flood",
		},
};
RTE_NODE_REGISTER(registration)
