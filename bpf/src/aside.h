/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports with a part in VXLAN and none in NAT: why they leave a frame to the kernel. */
#ifndef GW_ASIDE_H
#define GW_ASIDE_H
#include "inner.h"
#include "packet.h"

static __always_inline enum gw_counter
aside_ip4(const struct iphdr *ip, void *end)
{
	__u8 first;

	if ((void *)(ip + 1) > end)
		return GW_PUNT_NOT_NAT;
	first = *(const __u8 *)ip;
	if (first > IPV4_PLAIN && first >> 4 == 4)
		return GW_PUNT_OPTIONS;
	return ip->frag_off & bpf_htons(IP_FRAGMENT_BITS) ? GW_PUNT_FRAGMENT : GW_PUNT_NOT_NAT;
}

/* One of GW_PUNT_*, by what the frame says about itself; the kernel judges it. */
__noinline int
aside(struct xdp_md *ctx, const struct gw_device *port)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ip6hdr *ip = data + sizeof(struct ethhdr);
	enum gw_counter verdict;

	if (!port || data + sizeof(struct ethhdr) > end)
		return GW_PUNT_KERNEL_MODE;
	verdict = parse_ethernet(data, port);
	if (verdict == PARSED)
		return aside_ip4((void *)ip, end);
	if (verdict == GW_PUNT_NOT_IPV4 && ether_type(data) == bpf_htons(ETH_P_IPV6) &&
	    (void *)(ip + 1) <= end && ip->next_header == IP6_NEXT_FRAGMENT)
		return GW_PUNT_FRAGMENT;
	return verdict;
}
#endif
