/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rare when a frame comes out of VXLAN. */
#include "vxlan_decap.h"

#include "vxlan_way.h"

struct gw_decap_memo gw_decap_memos[GW_WORKER_LCORES][GW_DECAP_MEMO];

uint16_t
gw_decap_look_up(struct gw_decap_memo *memo, const struct gw_arrival *arrival,
		 const struct rte_hash *table)
{
	// Before the table is read: what changes meanwhile has a later version.
	const uint32_t version = __atomic_load_n(&gw_ways_version, __ATOMIC_ACQUIRE);
	void *found = NULL;

	if (rte_hash_lookup_data(table, &arrival->sender, &found) < 0)
		found = NULL;
	memcpy(memo->words, arrival->words, sizeof(memo->words));
	memo->version = version;
	memo->tunnel = (uintptr_t)found;
	return memo->tunnel;
}

// The segment that listens at this address, or at whichever is ours; negative: nobody has the VNI.
static int
find_segment(const struct gw_arrival *arrival, uint32_t address)
{
	struct gw_arrival_key key = {
		.vni = arrival->sender.vni,
		.port = arrival->sender.port,
		.family = arrival->sender.family,
	};
	void *found = NULL;

	memcpy(key.local, arrival->local, address);
	if (rte_hash_lookup_data(gw_arrivals, &key, &found) >= 0)
		return (uintptr_t)found;
	memset(key.local, 0, sizeof(key.local));
	return rte_hash_lookup_data(gw_arrivals, &key, &found) < 0 ? -1 : (int)(uintptr_t)found;
}

// The segment whose every sender is believed, or an answer that says why there is none.
uint16_t
gw_decap_segment(const struct gw_arrival *arrival, uint32_t address, uint8_t *answer,
		 struct rte_mbuf *mbuf)
{
	const int segment = find_segment(arrival, address);

	if (segment < 0)
		*answer = gw_decap_because(mbuf, GW_DROP_VNI, GW_DECAP_DROP);
	else if (segment == GW_SEGMENT_OF_KERNEL || !gw_segments[segment].interface)
		*answer = gw_decap_because(mbuf, GW_PUNT_VXLAN, GW_DECAP_PUNT);
	else if (!(gw_segments[segment].flags & GW_SEGMENT_ANY_SOURCE))
		*answer = gw_decap_because(mbuf, GW_DROP_VTEP, GW_DECAP_DROP);
	return RTE_MAX(segment, 0);
}

bool
gw_decap_is_behind(const struct rte_mbuf *mbuf, uint16_t tunnel)
{
	const struct gw_mark *mark = gw_mark((struct rte_mbuf *)(uintptr_t)mbuf);

	return gw_tunnel_leaves_by(&gw_tunnels[tunnel], mark->interface);
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

// Into the inner packet; false: its ends would never hear of it.
bool
gw_decap_ecn(struct rte_mbuf *mbuf, uint32_t size, uint8_t outer)
{
	const struct rte_ether_hdr *ether =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ether_hdr *, size);
	struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_udp_hdr *, size - GW_VXLAN_UDP);
	const uint32_t room = mbuf->data_len - size - RTE_ETHER_HDR_LEN;
	const bool ip4 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
			 room >= sizeof(struct rte_ipv4_hdr);
	const bool ip6 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
			 room >= sizeof(struct rte_ipv6_hdr);
	void *packet = rte_pktmbuf_mtod_offset(mbuf, void *, size + RTE_ETHER_HDR_LEN);
	uint8_t tos, ecn;

	if (!ip4 && !ip6)
		return true;
	tos = ip4 ? ((struct rte_ipv4_hdr *)packet)->type_of_service : gw_ip6_class(packet);
	ecn = tos & GW_ECN_MASK;
	outer &= GW_ECN_MASK;
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
