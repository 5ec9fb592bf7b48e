/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vxlan_ecn.h"

#include "vxlan_header.h"

// What outer and inner ECN come to (RFC 6040 figure 4), if it is not to be dropped.
static uint8_t
combined(uint8_t outer, uint8_t inner)
{
	if (inner == GW_ECN_NOT_ECT || inner == GW_ECN_CE)
		return inner;
	return outer == GW_ECN_CE || outer == GW_ECN_ECT1 ? outer : inner;
}

// One 16-bit word of what a checksum covers becomes another one (RFC 1624).
static rte_be16_t
adjusted(rte_be16_t sum, rte_be16_t before, rte_be16_t after)
{
	return ~gw_fold((uint16_t)~sum + (uint16_t)~before + after);
}

// The checksum of the header changes with it, so that the outer one stays right as it is.
static void
set_ip4(struct rte_ipv4_hdr *ip, uint8_t tos)
{
	ip->hdr_checksum = adjusted(ip->hdr_checksum, rte_cpu_to_be_16(ip->type_of_service),
				    rte_cpu_to_be_16(tos));
	ip->type_of_service = tos;
}

// IPv6 has none of its own. The kernel may still get the frame with its outer headers.
static void
set_ip6(struct rte_ipv6_hdr *ip, struct rte_udp_hdr *udp, uint8_t tos)
{
	const uint32_t flow = rte_be_to_cpu_32(ip->vtc_flow);
	const uint32_t mask = 0xffU << GW_IP6_CLASS_SHIFT;
	const uint32_t after = (flow & ~mask) | (uint32_t)tos << GW_IP6_CLASS_SHIFT;

	ip->vtc_flow = rte_cpu_to_be_32(after);
	if (!udp->dgram_cksum)
		return;
	udp->dgram_cksum =
		adjusted(udp->dgram_cksum, rte_cpu_to_be_16(flow >> 16), rte_cpu_to_be_16(after >> 16)) ?:
			0xffff;
}

bool
gw_ecn_carry(struct rte_mbuf *mbuf, uint8_t outer)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_udp_hdr *, -(int)GW_VXLAN_UDP);
	const uint32_t room = mbuf->data_len - RTE_ETHER_HDR_LEN;
	const bool ip4 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
			 room >= sizeof(struct rte_ipv4_hdr);
	const bool ip6 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
			 room >= sizeof(struct rte_ipv6_hdr);
	void *packet = rte_pktmbuf_mtod_offset(mbuf, void *, RTE_ETHER_HDR_LEN);
	uint8_t tos, ecn;

	if (!ip4 && !ip6)
		return true;
	tos = ip4 ? ((struct rte_ipv4_hdr *)packet)->type_of_service : gw_ip6_class(packet);
	ecn = tos & GW_ECN_MASK;
	if (ecn == GW_ECN_NOT_ECT && outer == GW_ECN_CE)
		return false;
	if (combined(outer, ecn) == ecn)
		return true;
	tos = (tos & ~GW_ECN_MASK) | combined(outer, ecn);
	if (ip4)
		set_ip4(packet, tos);
	else
		set_ip6(packet, udp, tos);
	return true;
}
