/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Out of VXLAN over IPv4: for an address of ours, or on a device that does not forward. */
#include "../fib.h"
#include "ip4_header.h"
#include "vxlan_decap.h"

enum { FRAGMENT = RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK };

// What ip4-lookup has judged already, if it has seen the packet.
static inline bool
for_us(const struct rte_mbuf *mbuf, const struct rte_ipv4_hdr *ip)
{
	if (gw_mark((struct rte_mbuf *)(uintptr_t)mbuf)->reason != GW_PUNT_NOT_FORWARDING)
		return true;
	return gw_ip4_sound(mbuf, ip) && ip->version_ihl == 0x45 &&
	       !__atomic_load_n(&gw_fib4_closed, __ATOMIC_ACQUIRE) &&
	       gw_fib4_find(rte_be_to_cpu_32(ip->dst_addr)) == GW_NEXTHOP_LOCAL;
}

static inline uint8_t
parse(struct rte_mbuf *mbuf, struct gw_arrival *arrival, const struct rte_udp_hdr **udp,
      uint32_t *room)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	// VXLAN inside of VXLAN is the kernel's.
	if (unlikely(*gw_outer(mbuf) || !for_us(mbuf, ip)))
		return GW_DECAP_PUNT;
	if (unlikely(ip->next_proto_id != IPPROTO_UDP))
		return GW_DECAP_PUNT;
	*arrival = (struct gw_arrival){
		.sender.family = 4,
		.local = (const uint8_t *)&ip->dst_addr,
		.address = sizeof(ip->dst_addr),
		.size = GW_VXLAN_OUTER4,
		.source_at = RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv4_hdr, src_addr),
		.tos = ip->type_of_service,
	};
	memcpy(arrival->sender.remote, &ip->src_addr, sizeof(ip->src_addr));
	if (unlikely(ip->fragment_offset & RTE_BE16(FRAGMENT)))
		return gw_decap_is_peer(&arrival->sender) ? GW_DECAP_PIECE : GW_DECAP_PUNT;
	*room = rte_be_to_cpu_16(ip->total_length) - sizeof(*ip);
	if (unlikely(*room < GW_VXLAN_UDP || mbuf->data_len < GW_VXLAN_OUTER4))
		return GW_DECAP_PUNT;
	*udp = (const struct rte_udp_hdr *)(ip + 1);
	return GW_DECAP_BRIDGE;
}

static inline bool
check(const struct rte_mbuf *mbuf, const struct rte_udp_hdr *udp)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)udp - 1;

	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	return gw_decap_checksum(mbuf, &ip->src_addr, 2 * sizeof(ip->src_addr), udp);
}

static uint16_t
vxlan4_decap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	return gw_decap_burst(graph, node, objs, count, parse, check);
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
		},
};
RTE_NODE_REGISTER(registration)
