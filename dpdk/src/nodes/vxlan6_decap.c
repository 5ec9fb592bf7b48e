/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Out of VXLAN over IPv6: for an address of ours, or on a device that does not forward. */
#include "../compat.h"
#include "../fib.h"
#include "vxlan_decap.h"

static inline bool
sound(const struct rte_mbuf *mbuf, const struct rte_ipv6_hdr *ip)
{
	return mbuf->data_len >= RTE_ETHER_HDR_LEN + sizeof(*ip) &&
	       *(const uint8_t *)ip >> 4 == 6 &&
	       mbuf->pkt_len >= RTE_ETHER_HDR_LEN + sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
}

// What ip6-lookup has judged already, if it has seen the packet.
static inline bool
for_us(const struct rte_mbuf *mbuf, const struct rte_ipv6_hdr *ip)
{
	if (gw_mark((struct rte_mbuf *)(uintptr_t)mbuf)->reason != GW_PUNT_NOT_FORWARDING)
		return true;
	return sound(mbuf, ip) && !__atomic_load_n(&gw_fib6_closed, __ATOMIC_ACQUIRE) &&
	       gw_fib6_find((const uint8_t *)ip + offsetof(struct rte_ipv6_hdr, dst_addr)) ==
		       GW_NEXTHOP_LOCAL;
}

static inline uint8_t
parse(struct rte_mbuf *mbuf, struct gw_arrival *arrival, const struct rte_udp_hdr **udp,
      uint32_t *room)
{
	const struct rte_ipv6_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);
	const uint8_t *source = (const uint8_t *)ip + offsetof(struct rte_ipv6_hdr, src_addr);

	// VXLAN inside of VXLAN is the kernel's.
	if (unlikely(*gw_outer(mbuf) || !for_us(mbuf, ip)))
		return GW_DECAP_PUNT;
	*arrival = (struct gw_arrival){
		.sender.family = 6,
		.local = source + sizeof(ip->src_addr),
		.address = sizeof(ip->dst_addr),
		.size = GW_VXLAN_OUTER6,
		.source_at = RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv6_hdr, src_addr),
		.tos = gw_ip6_class(ip),
	};
	memcpy(arrival->sender.remote, source, sizeof(arrival->sender.remote));
	if (unlikely(ip->proto == IPPROTO_FRAGMENT && gw_decap_is_peer(&arrival->sender)))
		return GW_DECAP_PIECE;
	if (unlikely(ip->proto != IPPROTO_UDP))
		return GW_DECAP_PUNT;
	*room = rte_be_to_cpu_16(ip->payload_len);
	if (unlikely(*room < GW_VXLAN_UDP || mbuf->data_len < GW_VXLAN_OUTER6))
		return GW_DECAP_PUNT;
	*udp = (const struct rte_udp_hdr *)(ip + 1);
	return GW_DECAP_BRIDGE;
}

static inline bool
check(const struct rte_mbuf *mbuf, const struct rte_udp_hdr *udp)
{
	const uint8_t *source = (const uint8_t *)udp - 2 * sizeof(gw_ip6_address);

	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	return gw_decap_checksum(mbuf, source, 2 * sizeof(gw_ip6_address), udp);
}

static uint16_t
vxlan6_decap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	return gw_decap_burst(graph, node, objs, count, parse, check);
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
		},
};
RTE_NODE_REGISTER(registration)
