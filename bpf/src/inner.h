/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the outer headers take over from the frame inside: a hash of its flow, DSCP and ECN, DF. */
#ifndef GW_INNER_H
#define GW_INNER_H
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include "gw_abi.h"

/* <linux/ipv6.h> pulls in the C library. RFC 8200 section 3. */
struct ip6hdr {
	__u32 flow; /* version, traffic class, flow label */
	__u16 payload;
	__u8 next_header;
	__u8 hop_limit;
	__u32 source[4];
	__u32 destination[4];
};

enum {
	INNER_FRAGMENT = 0x3fff, /* MF and the offset */
	INNER_DF = 0x4000,
	IP6_NEXT_FRAGMENT = 44,
	IP6_NEXT_ICMP = 58,
};

struct inner {
	__u32 hash; /* of the flow; the fragments of one packet have the same */
	__u8 tos; /* DSCP and ECN, 0 for what is not IP */
	__u8 ttl; /* 0 for what is not IP */
	bool dont_fragment;
	__u8 pad;
};

static __always_inline __u8
ip6_class(const struct ip6hdr *ip)
{
	return bpf_ntohl(ip->flow) >> 20;
}

/* The bytes that the struct's name would have it read one by one: it is packed. */
static __always_inline __u16
ether_type(const void *frame)
{
	return *(const __u16 *)(frame + 2 * ETH_ALEN);
}

/* The last byte of an address, in which neighbours differ, is the top one here: a product alone
 * would leave it in the top bits of the hash. */
static __always_inline __u32
hash_of(__u64 addresses, __u64 rest)
{
	__u64 mixed = addresses ^ (rest * 0xff51afd7ed558ccdULL);

	return ((mixed ^ mixed >> 32) * 0x9e3779b97f4a7c15ULL) >> 32;
}

static __always_inline bool
has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static __always_inline void
inner_ip4(const struct iphdr *ip, void *end, struct inner *inner)
{
	__u64 addresses = (__u64)ip->saddr << 32 | ip->daddr, rest = ip->protocol;
	const __u32 *ports = (const void *)(ip + 1);

	inner->tos = ip->tos;
	inner->ttl = ip->ttl;
	inner->dont_fragment = ip->frag_off & bpf_htons(INNER_DF);
	if (ip->ihl == 5 && has_ports(ip->protocol) &&
	    !(ip->frag_off & bpf_htons(INNER_FRAGMENT)) && (void *)(ports + 1) <= end)
		rest |= (__u64)*ports << 8;
	inner->hash = hash_of(addresses, rest);
}

static __always_inline void
inner_ip6(const struct ip6hdr *ip, void *end, struct inner *inner)
{
	const __u64 *words = (const void *)ip->source;
	__u64 addresses = words[0] ^ words[1] * 3 ^ words[2] * 5 ^ words[3] * 7;
	__u64 rest = ip->next_header;
	const __u32 *ports = (const void *)(ip + 1);

	inner->tos = ip6_class(ip);
	inner->ttl = ip->hop_limit;
	/* Routers do not cut it (RFC 8200 section 5); `df inherit` of the kernel's takes it for DF. */
	inner->dont_fragment = true;
	if (has_ports(ip->next_header) && (void *)(ports + 1) <= end)
		rest |= (__u64)*ports << 8;
	inner->hash = hash_of(addresses, rest);
}

/* Fills `inner`; a frame shorter than its headers is hashed by its MAC addresses. False: not even
 * those are there. */
static __always_inline bool
inner_read(void *frame, void *end, struct inner *inner)
{
	void *packet = frame + sizeof(struct ethhdr);
	__u16 type;

	*inner = (struct inner){};
	if (packet > end)
		return false;
	type = ether_type(frame);
	if (type == bpf_htons(ETH_P_IP) && packet + sizeof(struct iphdr) <= end)
		inner_ip4(packet, end, inner);
	else if (type == bpf_htons(ETH_P_IPV6) && packet + sizeof(struct ip6hdr) <= end)
		inner_ip6(packet, end, inner);
	else
		inner->hash = hash_of(*(__u64 *)frame, (__u64)type << 32 | *(__u32 *)(frame + 8));
	return true;
}
#endif
