/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_FORMS_H
#define BENCH_FORMS_H

// What the frames of enum bench_form look like, and whether all of one is right. No packed
// structures: clang would read and write them byte by byte.

#include <linux/ipv6.h>
#include <linux/udp.h>

#include "bench_program.h"

#define STATION_PREFIX(mac)  (*(__be16 *)(mac))
#define STATION_ADDRESS(mac) (*(__be32 *)((mac) + 2))
#define VXLAN_FLAGS	     0x08000000 // there is a VNI (RFC 7348 5)
#define INNER_UDP_SIZE	     (BENCH_INNER_HEADERS - ETH_HLEN - (int)sizeof(struct iphdr))
#define OFFSET_MORE	     1 // fragments follow (RFC 8200 4.5)

struct vxlan {
	struct udphdr udp;
	__be32 flags;
	__be32 vni;
};

// What makes the first piece of a packet: the fragment header and what was the packet.
struct piece {
	__u8 next, reserved;
	__be16 offset; // in units of eight bytes, above three bits
	__be32 id;
	struct vxlan vxlan;
};

_Static_assert(ETH_HLEN + sizeof(struct iphdr) + sizeof(struct vxlan) == BENCH_VXLAN4_SIZE, "");
_Static_assert(ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct vxlan) == BENCH_VXLAN6_SIZE, "");

static __always_inline bool
is_inner(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;

	return (void *)(ip + 1) <= end && end - data == constants.size &&
	       eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP;
}

static __always_inline bool
is_vxlan(const struct vxlan *vxlan)
{
	return vxlan->udp.dest == bpf_htons(BENCH_VXLAN_PORT) &&
	       vxlan->flags == bpf_htonl(VXLAN_FLAGS) && vxlan->vni == constants.vni;
}

static __always_inline bool
is_vxlan4(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct vxlan *vxlan = (void *)(ip + 1);

	return (void *)(vxlan + 1) <= end && end - data == BENCH_VXLAN4_SIZE + constants.size &&
	       eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP &&
	       is_vxlan(vxlan);
}

static __always_inline bool
is_vxlan6(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct vxlan *vxlan = (void *)(ip + 1);

	return (void *)(vxlan + 1) <= end && end - data == BENCH_VXLAN6_SIZE + constants.size &&
	       eth->h_proto == bpf_htons(ETH_P_IPV6) && ip->nexthdr == IPPROTO_UDP &&
	       is_vxlan(vxlan);
}

static __always_inline bool
is_form(__u8 form, void *data, void *end)
{
	switch (form) {
	case BENCH_INNER:
		return is_inner(data, end);
	case BENCH_VXLAN4:
		return is_vxlan4(data, end);
	default:
		return is_vxlan6(data, end);
	}
}

static __always_inline bool
inner_right(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	__u32 sum;

	if (data + BENCH_INNER_HEADERS > end)
		return false;
	if (STATION_PREFIX(eth->h_source) != bpf_htons(BENCH_STATION) ||
	    STATION_PREFIX(eth->h_dest) != bpf_htons(BENCH_STATION) ||
	    STATION_ADDRESS(eth->h_source) != ip->saddr ||
	    STATION_ADDRESS(eth->h_dest) != ip->daddr)
		return false;
	if (fold(sum_words((void *)ip, sizeof(*ip))) != 0xffff)
		return false;
	// What follows of a longer frame is zeros.
	sum = halves(ip->saddr) + halves(ip->daddr) + bpf_htons(IPPROTO_UDP) + udp->len;
	sum += sum_words((void *)udp, INNER_UDP_SIZE);

	return fold(sum) == 0xffff;
}

static __always_inline bool
outer4_right(void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	struct vxlan *vxlan = (void *)(ip + 1);

	return (void *)(vxlan + 1) <= end && !vxlan->udp.check &&
	       fold(sum_words((void *)ip, sizeof(*ip))) == 0xffff;
}

static __always_inline bool
outer6_right(void *data, void *end)
{
	const int size = sizeof(struct vxlan) + BENCH_INNER_HEADERS;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	__u32 sum;

	if ((void *)udp + size > end || !udp->check)
		return false;
	sum = sum_words((void *)&ip->saddr, sizeof(ip->saddr) + sizeof(ip->daddr));
	sum += bpf_htons(IPPROTO_UDP) + udp->len + sum_words((void *)udp, size);

	return fold(sum) == 0xffff;
}

static __always_inline bool
frame_right(void *data, void *end)
{
	switch (constants.expects) {
	case BENCH_INNER:
		return inner_right(data, end);
	case BENCH_VXLAN4:
		return outer4_right(data, end) && inner_right(data + BENCH_VXLAN4_SIZE, end);
	default:
		return outer6_right(data, end) && inner_right(data + BENCH_VXLAN6_SIZE, end);
	}
}

#endif
