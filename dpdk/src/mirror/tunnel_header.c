/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The outer headers of a tunnel (RFC 7348 section 5), as far as they are the same for all packets. */
#include <string.h>

#include <rte_ip.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "segments.h"

enum { VXLAN_I = 0x08000000, ECN = 3, LABEL_BITS = 20 };

static uint8_t
dscp_of(const struct gw_segment_options *options)
{
	return options->flags & GW_SEGMENT_OPTION_TOS_INHERIT ? 0 : options->tos & ~ECN;
}

static void *
fill4(void *start, const struct gw_segment_options *options, const struct place *to)
{
	struct rte_ipv4_hdr *ip = start;

	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->type_of_service = dscp_of(options);
	if (options->flags & GW_SEGMENT_OPTION_DF)
		ip->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
	ip->time_to_live = options->ttl;
	ip->next_proto_id = IPPROTO_UDP;
	if (options->has_local)
		memcpy(&ip->src_addr, options->local.bytes, sizeof(ip->src_addr));
	memcpy(&ip->dst_addr, to->address, sizeof(ip->dst_addr));
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return ip + 1;
}

static void *
fill6(void *start, const struct gw_segment_options *options, const struct place *to)
{
	struct rte_ipv6_hdr *ip = start;

	ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)dscp_of(options) << LABEL_BITS |
					options->label);
	ip->proto = IPPROTO_UDP;
	ip->hop_limits = options->ttl;
	if (options->has_local)
		memcpy(&ip->src_addr, options->local.bytes, sizeof(ip->src_addr));
	memcpy(&ip->dst_addr, to->address, sizeof(ip->dst_addr));
	return ip + 1;
}

void
tunnel_fill(struct gw_tunnel *tunnel, const struct segment *segment, const struct place *to)
{
	const struct gw_segment_options *options = &segment->is;
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)tunnel->header;
	const uint32_t vni = to->vni ?: options->vni;
	struct rte_vxlan_hdr *vxlan;
	struct rte_udp_hdr *udp;

	memset(tunnel->header, 0, sizeof(tunnel->header));
	if (options->family == 4) {
		ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
		udp = fill4(ether + 1, options, to);
	} else {
		ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV6);
		udp = fill6(ether + 1, options, to);
	}
	udp->dst_port = to->port ?: rte_cpu_to_be_16(options->port);
	vxlan = (struct rte_vxlan_hdr *)(udp + 1);
	vxlan->vx_flags = RTE_BE32(VXLAN_I);
	vxlan->vx_vni = rte_cpu_to_be_32(vni << 8);
	tunnel->length = (uint8_t *)(vxlan + 1) - tunnel->header;
	// Without a local address the kernel has to find one; by a device that is not the segment's
	// own, it has to find the way.
	if (!options->has_local || (to->via && to->via != options->link))
		tunnel->flags |= GW_TUNNEL_KERNEL;
}
