/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rare when a frame comes out of VXLAN. */
#include "vxlan_decap.h"

#include "vxlan_way.h"

// The segment that listens at this address, or at whichever is ours; false: nobody has the VNI.
static bool
find_segment(const struct gw_arrival *arrival, uint16_t *segment)
{
	struct gw_arrival_key key = {
		.vni = arrival->sender.vni,
		.port = arrival->sender.port,
		.family = arrival->sender.family,
	};
	void *found = NULL;

	memcpy(key.local, arrival->local, arrival->address);
	if (rte_hash_lookup_data(gw_arrivals, &key, &found) < 0) {
		memset(key.local, 0, sizeof(key.local));
		if (rte_hash_lookup_data(gw_arrivals, &key, &found) < 0)
			return false;
	}
	*segment = (uintptr_t)found;
	return true;
}

uint8_t
gw_decap_unknown(struct rte_mbuf *mbuf, const struct gw_arrival *arrival)
{
	uint16_t segment;

	if (!find_segment(arrival, &segment))
		return gw_decap_because(mbuf, GW_DROP_VNI, GW_DECAP_DROP);
	// A VNI of the kernel's own.
	if (!segment || !gw_segments[segment].interface)
		return gw_decap_because(mbuf, GW_PUNT_VXLAN, GW_DECAP_PUNT);
	if (!(gw_segments[segment].flags & GW_SEGMENT_ANY_SOURCE))
		return gw_decap_because(mbuf, GW_DROP_VTEP, GW_DECAP_DROP);
	return gw_decap_strip(mbuf, arrival, segment, 0);
}

bool
gw_decap_is_behind(const struct rte_mbuf *mbuf, uint16_t tunnel)
{
	const struct gw_mark *mark = gw_mark((struct rte_mbuf *)(uintptr_t)mbuf);

	return gw_tunnel_leaves_by(&gw_tunnels[tunnel], mark->interface);
}

bool
gw_decap_is_peer(const struct gw_sender_key *sender)
{
	struct gw_sender_key key = {.family = sender->family};

	memcpy(key.remote, sender->remote, sizeof(key.remote));
	return rte_hash_lookup(gw_peers, &key) >= 0;
}

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

uint8_t
gw_decap_ecn(struct rte_mbuf *mbuf, const struct gw_arrival *arrival)
{
	const struct rte_ether_hdr *ether =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ether_hdr *, arrival->size);
	struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_udp_hdr *, arrival->size - GW_VXLAN_UDP);
	const uint32_t room = mbuf->data_len - arrival->size - RTE_ETHER_HDR_LEN;
	const bool ip4 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
			 room >= sizeof(struct rte_ipv4_hdr);
	const bool ip6 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
			 room >= sizeof(struct rte_ipv6_hdr);
	struct rte_ipv4_hdr *inner4 = (struct rte_ipv4_hdr *)(uintptr_t)(ether + 1);
	struct rte_ipv6_hdr *inner6 = (struct rte_ipv6_hdr *)(uintptr_t)(ether + 1);
	const uint8_t outer = arrival->tos & GW_ECN_MASK;
	uint8_t tos, ecn;

	if (!ip4 && !ip6)
		return GW_DECAP_BRIDGE;
	tos = ip4 ? inner4->type_of_service : gw_ip6_class(inner6);
	ecn = tos & GW_ECN_MASK;
	// Its ends would never hear of it.
	if (ecn == GW_ECN_NOT_ECT && outer == GW_ECN_CE)
		return gw_decap_because(mbuf, GW_DROP_ECN, GW_DECAP_DROP);
	if (combined(outer, ecn) == ecn)
		return GW_DECAP_BRIDGE;
	tos = (tos & ~GW_ECN_MASK) | combined(outer, ecn);
	if (ip4)
		set_ip4(inner4, tos);
	else
		set_ip6(inner6, udp, tos);
	return GW_DECAP_BRIDGE;
}
