/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Out of VXLAN over IPv4. */
#include "ip4_header.h"
#include "ip4_source.h"
#include "vxlan_decap.h"
#include "vxlan_way.h"

enum { FRAGMENT = RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK };

static bool
is_ours(const struct rte_ipv4_hdr *ip)
{
	return !__atomic_load_n(&gw_fib4_closed, __ATOMIC_ACQUIRE) &&
	       gw_fib4_find(rte_be_to_cpu_32(ip->dst_addr)) == GW_NEXTHOP_LOCAL;
}

// Whether its source may come in there, if one of these flags of the device asks for that.
static __rte_noinline bool
comes_from_there(struct rte_mbuf *mbuf, uint32_t filters)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	const uint32_t source = rte_be_to_cpu_32(ip->src_addr);
	const uint16_t slot = gw_mark(mbuf)->interface;
	const uint32_t flags = gw_interfaces[slot].flags & filters;

	return !flags || gw_ip4_way_back(&gw_nexthops[gw_fib4_find(source)], slot,
					 flags & (GW_IF_RP_STRICT | GW_IF_BRIDGE));
}

// A host of a bridge may claim any source address: as in gw_decap_believe(), for who has no tunnel yet.
static bool
takes_piece(struct rte_mbuf *mbuf)
{
	return comes_from_there(mbuf, GW_IF_RP_FILTER | GW_IF_RP_STRICT | GW_IF_BRIDGE);
}

// Where nothing is forwarded nobody has asked before.
static __rte_noinline bool
is_for_us(struct rte_mbuf *mbuf, const struct rte_ipv4_hdr *ip)
{
	return is_ours(ip) && !gw_ip4_is_odd(rte_be_to_cpu_32(ip->src_addr)) &&
	       comes_from_there(mbuf, GW_IF_RP_FILTER | GW_IF_RP_STRICT);
}

// What ip4-lookup has judged already, if the packet has come by there.
static __rte_always_inline bool
in_order(struct rte_mbuf *mbuf, const struct rte_ipv4_hdr *ip, bool early)
{
	const bool here = gw_mark(mbuf)->reason == GW_PUNT_NOT_FORWARDING;

	if (!early && !here)
		return true;
	return gw_ip4_sound(mbuf, ip) && ip->version_ihl == 0x45 && (early || is_for_us(mbuf, ip));
}

static __rte_always_inline uint8_t
parse(struct rte_mbuf *mbuf, struct gw_arrival *arrival, bool early)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	// VXLAN inside of VXLAN is the kernel's.
	if (unlikely(*gw_outer(mbuf) || !in_order(mbuf, ip, early)))
		return GW_DECAP_PUNT;
	if (unlikely(ip->next_proto_id != IPPROTO_UDP))
		return GW_DECAP_PUNT;
	arrival->words[0] = ip->src_addr;
	arrival->words[1] = 0;
	arrival->words[2] = 4ULL << GW_DECAP_FAMILY_SHIFT;
	if (unlikely(ip->fragment_offset & RTE_BE16(FRAGMENT)))
		return GW_DECAP_PIECE;
	arrival->room = rte_be_to_cpu_16(ip->total_length) - sizeof(*ip);
	if (unlikely(arrival->room < GW_VXLAN_UDP || mbuf->data_len < GW_VXLAN_OUTER4))
		return GW_DECAP_PUNT;
	arrival->udp = (const struct rte_udp_hdr *)(ip + 1);
	arrival->local = (const uint8_t *)&ip->dst_addr;
	arrival->tos = ip->type_of_service;
	return GW_DECAP_BRIDGE;
}

// RFC 3704, as ip4-lookup has it: one plain way, and by this device if that is asked for.
static bool
filter(const struct rte_mbuf *mbuf, struct gw_tunnel *tunnel)
{
	const uint16_t slot = gw_mark((struct rte_mbuf *)(uintptr_t)mbuf)->interface;
	const struct gw_nexthop *way = &gw_nexthops[gw_tunnel_answer(tunnel).nexthop];
	const uint8_t kind = gw_nexthop_kind(way);

	return (kind == GW_NEXTHOP_CONNECTED || kind == GW_NEXTHOP_PORT ||
		kind == GW_NEXTHOP_BRIDGE) &&
	       (way->interface == slot || !(gw_interfaces[slot].flags & GW_IF_RP_STRICT));
}

static uint16_t
vxlan4_decap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	static const struct gw_decap_family family = {
		.size = GW_VXLAN_OUTER4,
		.address = sizeof(rte_be32_t),
		.source_at = RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv4_hdr, src_addr),
		.forwards = GW_IF_FORWARD4,
		.parse = parse,
		.filter = filter,
		.takes_piece = takes_piece,
	};

	return gw_decap_burst(graph, node, objs, count, &family);
}

static struct rte_node_register registration = {
	.name = "vxlan4-decap",
	.process = vxlan4_decap,
	.init = gw_node_init,
	.nb_edges = GW_DECAP_EDGES,
	.next_nodes =
		{
			[GW_DECAP_BRIDGE] = "vxlan-bridge",
			[GW_DECAP_PUNT] = "punt",
			[GW_DECAP_DROP] = "drop",
			[GW_DECAP_PIECE] = "ip4-reassemble",
			[GW_DECAP_IP] = "ip4-lookup",
		},
};
RTE_NODE_REGISTER(registration)
