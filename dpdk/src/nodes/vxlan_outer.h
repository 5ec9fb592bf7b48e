/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The outer headers of VXLAN (RFC 7348 section 5), from what the tunnel has of them. */
#ifndef GW_VXLAN_OUTER_H
#define GW_VXLAN_OUTER_H

#include "../tunnel.h"
#include "vxlan_cut.h"
#include "vxlan_inner.h"

/* What differs from packet to packet, and is not read off the frame. */
struct gw_outer_plan {
	uint32_t length; /* of the inner frame */
	uint16_t sum; /* of the inner frame, not complemented; for a UDP checksum only */
	uint16_t identification; /* IPv4 without DF */
	uint8_t dont_fragment; /* IPv4 */
};

/* IPv6 has no such bit, and there the kernel does not look at what `df` says either. */
static inline bool
gw_outer_is_whole(const struct gw_tunnel *tunnel, uint16_t flags, const struct gw_inner *inner)
{
	if (tunnel->length == GW_VXLAN_OUTER6)
		return false;
	return flags & GW_SEGMENT_DF || (flags & GW_SEGMENT_DF_INHERIT && inner->dont_fragment);
}

/* Whether what is too long for the way is cut. */
static inline bool
gw_outer_may_cut(const struct gw_segment *segment, union gw_tunnel_way way)
{
	return segment->flags & GW_SEGMENT_FRAGMENT && way.mtu >= GW_CUT_MTU_MIN;
}

/* DSCP as configured; ECN is always the inner one (RFC 6040 section 4.1, normal mode). */
static inline uint8_t
gw_outer_tos(uint16_t flags, uint8_t configured, uint8_t inner)
{
	const uint8_t dscp = flags & GW_SEGMENT_TOS_INHERIT ? inner : configured;

	return (dscp & ~GW_ECN_MASK) | (inner & GW_ECN_MASK);
}

static inline uint8_t
gw_outer_ttl(uint16_t flags, uint8_t configured, uint8_t inner)
{
	return flags & GW_SEGMENT_TTL_INHERIT && inner ? inner : configured;
}

/*
 * UDP's part. `pseudo` is where the addresses begin in the tunnel's own header, which goes on with
 * UDP and VXLAN up to `end`: those are summed from there, for what has just been written to the
 * frame in small parts would have to be waited for.
 */
static inline void
gw_outer_udp(struct rte_udp_hdr *udp, const struct gw_segment *segment,
	     const struct gw_inner *inner, const struct gw_outer_plan *plan, const uint8_t *pseudo,
	     const uint8_t *end)
{
	const rte_be16_t length = rte_cpu_to_be_16(GW_VXLAN_UDP + plan->length);
	const uint16_t port = segment->first_port + ((uint64_t)inner->hash * segment->ports >> 32);
	uint16_t check;

	udp->src_port = rte_cpu_to_be_16(port);
	udp->dgram_len = length;
	if (!(segment->flags & GW_SEGMENT_CHECKSUM))
		return;
	check = ~gw_fold(rte_raw_cksum(pseudo, end - pseudo) + plan->sum + udp->src_port +
			 2 * length + RTE_BE16(IPPROTO_UDP));
	// Zero would say that there is none (RFC 768).
	udp->dgram_cksum = check ?: 0xffff;
}

/* `to` is the first of GW_VXLAN_OUTER4 bytes; Ethernet addresses are left to others. */
static inline void
gw_outer_write4(uint8_t *to, const struct gw_tunnel *tunnel, const struct gw_segment *segment,
		const struct gw_inner *inner, const struct gw_outer_plan *plan)
{
	const struct rte_ipv4_hdr *model =
		(const struct rte_ipv4_hdr *)&tunnel->header[RTE_ETHER_HDR_LEN];
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(to + RTE_ETHER_HDR_LEN);
	const uint8_t tos = gw_outer_tos(segment->flags, model->type_of_service, inner->tos);
	const uint8_t ttl = gw_outer_ttl(segment->flags, model->time_to_live, inner->ttl);
	const rte_be16_t length = rte_cpu_to_be_16(sizeof(*ip) + GW_VXLAN_UDP + plan->length);
	const rte_be16_t fragment = plan->dont_fragment ? RTE_BE16(RTE_IPV4_HDR_DF_FLAG) : 0;
	const rte_be16_t id = rte_cpu_to_be_16(plan->identification);
	uint32_t sum = (uint16_t)~model->hdr_checksum + length + id;

	memcpy(to, tunnel->header, GW_VXLAN_OUTER4);
	// Each word that is another one than in the model (RFC 1624).
	sum += rte_cpu_to_be_16(tos) + (uint16_t)~rte_cpu_to_be_16(model->type_of_service);
	sum += rte_cpu_to_be_16(ttl << 8) + (uint16_t)~rte_cpu_to_be_16(model->time_to_live << 8);
	sum += fragment + (uint16_t)~model->fragment_offset;
	ip->type_of_service = tos;
	ip->time_to_live = ttl;
	ip->total_length = length;
	ip->packet_id = id;
	ip->fragment_offset = fragment;
	ip->hdr_checksum = ~gw_fold(sum);
	gw_outer_udp((struct rte_udp_hdr *)(ip + 1), segment, inner, plan,
		     (const uint8_t *)&model->src_addr, &tunnel->header[GW_VXLAN_OUTER4]);
}

/* Likewise GW_VXLAN_OUTER6 bytes. */
static inline void
gw_outer_write6(uint8_t *to, const struct gw_tunnel *tunnel, const struct gw_segment *segment,
		const struct gw_inner *inner, const struct gw_outer_plan *plan)
{
	const struct rte_ipv6_hdr *model =
		(const struct rte_ipv6_hdr *)&tunnel->header[RTE_ETHER_HDR_LEN];
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(to + RTE_ETHER_HDR_LEN);
	const uint8_t tos = gw_outer_tos(segment->flags, gw_ip6_class(model), inner->tos);

	memcpy(to, tunnel->header, GW_VXLAN_OUTER6);
	ip->vtc_flow = (model->vtc_flow & ~RTE_BE32(0xffU << GW_IP6_CLASS_SHIFT)) |
		       rte_cpu_to_be_32((uint32_t)tos << GW_IP6_CLASS_SHIFT);
	ip->hop_limits = gw_outer_ttl(segment->flags, model->hop_limits, inner->ttl);
	ip->payload_len = rte_cpu_to_be_16(GW_VXLAN_UDP + plan->length);
	gw_outer_udp((struct rte_udp_hdr *)(ip + 1), segment, inner, plan,
		     (const uint8_t *)model + offsetof(struct rte_ipv6_hdr, src_addr),
		     &tunnel->header[GW_VXLAN_OUTER6]);
}

#endif
