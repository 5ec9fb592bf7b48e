/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Out of VXLAN over IPv6. */
#include "../fib.h"
#include "vxlan_decap.h"

enum { ADDRESS = 16, SOURCE = offsetof(struct rte_ipv6_hdr, src_addr) };

static bool
is_ours(const struct rte_ipv6_hdr *ip)
{
	return !__atomic_load_n(&gw_fib6_closed, __ATOMIC_ACQUIRE) &&
	       gw_fib6_find((const uint8_t *)ip + SOURCE + ADDRESS) == GW_NEXTHOP_LOCAL;
}

static __rte_always_inline bool
sound(const struct rte_mbuf *mbuf, const struct rte_ipv6_hdr *ip)
{
	return mbuf->data_len >= RTE_ETHER_HDR_LEN + sizeof(*ip) &&
	       *(const uint8_t *)ip >> 4 == 6 &&
	       mbuf->pkt_len >= RTE_ETHER_HDR_LEN + sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
}

// A host of a bridge may claim any source address: as in gw_decap_believe(), for who has no tunnel yet.
static bool
takes_piece(struct rte_mbuf *mbuf)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, RTE_ETHER_HDR_LEN);
	const uint16_t slot = gw_mark(mbuf)->interface;

	return !(gw_interfaces[slot].flags & GW_IF_BRIDGE) ||
	       gw_nexthops[gw_fib6_find(ip + SOURCE)].interface == slot;
}

// Where nothing is forwarded nobody has asked before: no group, and none of ::/8, as in ip6-lookup.
static __rte_noinline bool
is_for_us(const struct rte_ipv6_hdr *ip)
{
	const uint8_t first = ((const uint8_t *)ip)[SOURCE];

	return is_ours(ip) && first != 0xff && first != 0;
}

// What ip6-lookup has judged already, if the packet has come by there.
static __rte_always_inline bool
in_order(struct rte_mbuf *mbuf, const struct rte_ipv6_hdr *ip, bool early)
{
	const bool here = gw_mark(mbuf)->reason == GW_PUNT_NOT_FORWARDING;

	if (!early && !here)
		return true;
	return sound(mbuf, ip) && (early || is_for_us(ip));
}

static __rte_always_inline uint8_t
parse(struct rte_mbuf *mbuf, struct gw_arrival *arrival, bool early)
{
	const struct rte_ipv6_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);

	// VXLAN inside of VXLAN is the kernel's.
	if (unlikely(*gw_outer(mbuf) || !in_order(mbuf, ip, early)))
		return GW_DECAP_PUNT;
	memcpy(arrival->words, (const uint8_t *)ip + SOURCE, ADDRESS);
	arrival->words[2] = 6ULL << GW_DECAP_FAMILY_SHIFT;
	if (unlikely(ip->proto == IPPROTO_FRAGMENT))
		return GW_DECAP_PIECE;
	if (unlikely(ip->proto != IPPROTO_UDP))
		return GW_DECAP_PUNT;
	arrival->room = rte_be_to_cpu_16(ip->payload_len);
	if (unlikely(arrival->room < GW_VXLAN_UDP || mbuf->data_len < GW_VXLAN_OUTER6))
		return GW_DECAP_PUNT;
	arrival->udp = (const struct rte_udp_hdr *)(ip + 1);
	arrival->local = (const uint8_t *)ip + SOURCE + ADDRESS;
	arrival->tos = gw_ip6_class(ip);
	return GW_DECAP_BRIDGE;
}

// IPv6 has no rp_filter.
static bool
filter(const struct rte_mbuf *mbuf __rte_unused, struct gw_tunnel *tunnel __rte_unused)
{
	return true;
}

static uint16_t
vxlan6_decap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	static const struct gw_decap_family family = {
		.size = GW_VXLAN_OUTER6,
		.address = ADDRESS,
		.source_at = RTE_ETHER_HDR_LEN + SOURCE,
		.forwards = GW_IF_FORWARD6,
		.parse = parse,
		.filter = filter,
		.takes_piece = takes_piece,
	};

	return gw_decap_burst(graph, node, objs, count, &family);
}

static struct rte_node_register registration = {
	.name = "vxlan6-decap",
	.process = vxlan6_decap,
	.init = gw_node_init,
	.nb_edges = GW_DECAP_EDGES,
	.next_nodes =
		{
			[GW_DECAP_BRIDGE] = "vxlan-bridge",
			[GW_DECAP_PUNT] = "punt",
			[GW_DECAP_DROP] = "drop",
			[GW_DECAP_PIECE] = "ip6-reassemble",
			[GW_DECAP_IP] = "ip6-lookup",
		},
};
RTE_NODE_REGISTER(registration)
