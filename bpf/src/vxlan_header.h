/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer headers of VXLAN (RFC 7348 section 5) as a tunnel wants them. Everything here works on
 * memory, so that XDP writes them into a frame and TC into a buffer.
 */
#ifndef GW_VXLAN_HEADER_H
#define GW_VXLAN_HEADER_H
#include <linux/udp.h>
#include "checksum.h"
#include "inner.h"

struct vxlanhdr {
	__u32 flags; /* network order: VXLAN_I, the rest is reserved */
	__u32 vni; /* network order, in the upper 24 bits */
};

enum {
	VXLAN_I = 0x08000000, /* the VNI is valid */
	VXLAN_UDP = sizeof(struct udphdr) + sizeof(struct vxlanhdr),
	OUTER4 = sizeof(struct ethhdr) + sizeof(struct iphdr) + VXLAN_UDP,
	OUTER6 = sizeof(struct ethhdr) + sizeof(struct ip6hdr) + VXLAN_UDP,
	ECN_MASK = 3,
	OUTER_DF = 0x4000,
};

/* What differs from packet to packet. */
struct outer {
	__u32 sum; /* of the inner frame, where the tunnel wants a UDP checksum */
	__u16 length; /* of the inner frame */
	__u16 source_port; /* network order */
	__u16 id; /* IPv4 identification, network order */
	__u8 tos;
	__u8 ttl;
	bool dont_fragment;
};

static __always_inline __u32
outer_size(const struct gw_tunnel *tunnel)
{
	return tunnel->flags & GW_TUNNEL_IPV6 ? OUTER6 : OUTER4;
}

/* DSCP as configured; ECN is always the inner one (RFC 6040 section 4.1, normal mode). */
static __always_inline void
outer_of(const struct gw_tunnel *tunnel, const struct inner *inner, __u32 length,
	 struct outer *outer)
{
	__u32 span = tunnel->port_high - tunnel->port_low + 1;
	__u8 dscp = tunnel->flags & GW_TUNNEL_TOS_INHERIT ? inner->tos : tunnel->tos;

	outer->length = length;
	outer->source_port = bpf_htons(tunnel->port_low + (__u16)((__u64)inner->hash * span >> 32));
	outer->tos = (dscp & ~ECN_MASK) | (inner->tos & ECN_MASK);
	outer->ttl = tunnel->flags & GW_TUNNEL_TTL_INHERIT && inner->ttl ? inner->ttl : tunnel->ttl;
	/* IPv6 has no such bit, and there the kernel does not look at what `df` says either. */
	outer->dont_fragment = !(tunnel->flags & GW_TUNNEL_IPV6) &&
			       (tunnel->flags & GW_TUNNEL_DF ||
				(tunnel->flags & GW_TUNNEL_DF_INHERIT && inner->dont_fragment));
	outer->sum = 0;
	outer->id = 0;
}

static __always_inline __u32
sum_words(const void *data, int count)
{
	const __u32 *words = data;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < count; i++)
		sum += words[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return csum_word32((__u32)sum) + (__u32)(sum >> 32);
}

static __always_inline void
outer_udp(struct udphdr *udp, const struct gw_tunnel *tunnel, const struct outer *outer,
	  __u32 addresses)
{
	struct vxlanhdr *vxlan = (void *)(udp + 1);
	__u16 length = bpf_htons(VXLAN_UDP + outer->length);
	__u32 vni = bpf_htonl(tunnel->vni << 8), sum;
	__u16 check = 0;

	if (tunnel->flags & GW_TUNNEL_CHECKSUM) {
		sum = addresses + outer->sum + outer->source_port + tunnel->port + 2 * length +
		      bpf_htons(IPPROTO_UDP) + csum_word32(bpf_htonl(VXLAN_I)) + csum_word32(vni);
		check = ~csum_fold(sum);
		/* Zero would say that there is none (RFC 768). */
		if (!check)
			check = 0xffff;
	}
	udp->source = outer->source_port;
	udp->dest = tunnel->port;
	udp->len = length;
	udp->check = check;
	vxlan->flags = bpf_htonl(VXLAN_I);
	vxlan->vni = vni;
}

/* From the IPv4 header on, sizeof(struct iphdr) + VXLAN_UDP bytes. */
static __always_inline void
outer_write4(void *to, const struct gw_tunnel *tunnel, const struct outer *outer)
{
	__u32 source = *(const __u32 *)tunnel->local.bytes;
	__u32 destination = *(const __u32 *)tunnel->remote.bytes;
	__u16 length = bpf_htons(sizeof(struct iphdr) + VXLAN_UDP + outer->length);
	__u16 fragment = outer->dont_fragment ? bpf_htons(OUTER_DF) : 0;
	__u32 addresses = csum_word32(source) + csum_word32(destination);
	__u16 first = bpf_htons(0x4500 | outer->tos);
	__u16 life = bpf_htons(outer->ttl << 8 | IPPROTO_UDP);
	__u16 *words = to;

	words[0] = first;
	words[1] = length;
	words[2] = outer->id;
	words[3] = fragment;
	words[4] = life;
	words[5] = ~csum_fold(addresses + first + length + outer->id + fragment + life);
	*(__u32 *)(words + 6) = source;
	*(__u32 *)(words + 8) = destination;
	outer_udp(to + sizeof(struct iphdr), tunnel, outer, addresses);
}

/* From the IPv6 header on, sizeof(struct ip6hdr) + VXLAN_UDP bytes. */
static __always_inline void
outer_write6(void *to, const struct gw_tunnel *tunnel, const struct outer *outer)
{
	struct ip6hdr *ip = to;

	ip->flow = bpf_htonl(6U << 28 | (__u32)outer->tos << 20) | tunnel->label;
	ip->payload = bpf_htons(VXLAN_UDP + outer->length);
	ip->next_header = IPPROTO_UDP;
	ip->hop_limit = outer->ttl;
	__builtin_memcpy(ip->source, tunnel->local.bytes, sizeof(ip->source));
	__builtin_memcpy(ip->destination, tunnel->remote.bytes, sizeof(ip->destination));
	outer_udp((void *)(ip + 1), tunnel, outer, sum_words(tunnel->local.bytes, 8));
}
#endif
