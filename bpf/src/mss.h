/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSS clamping: a SYN announces no more than what the path takes (RFC 9293 3.7.1). */
#ifndef GW_MSS_H
#define GW_MSS_H
#include "packet.h"

enum {
	TCP_AT = sizeof(struct ethhdr) + sizeof(struct iphdr),
	TCP_OPTIONS_MAX = 40,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_MSS_LENGTH = 4,
};

struct mss_search {
	__u8 options[TCP_OPTIONS_MAX + 4];
	__u32 length;
	__u32 at;
	__u32 found; /* offset of the value, 0: none */
};

/* Looks at one option, for bpf_loop: 1 ends it. */
static long
mss_step(__u32 i, struct mss_search *search)
{
	__u32 at = search->at;
	__u8 kind, length;

	if (at + 1 >= search->length || at >= TCP_OPTIONS_MAX)
		return 1;
	kind = search->options[at];
	length = search->options[at + 1];
	if (kind == TCP_OPTION_END)
		return 1;
	if (kind == TCP_OPTION_NOP) {
		search->at = at + 1;
		return 0;
	}
	if (length < 2 || at + length > search->length)
		return 1;
	if (kind == TCP_OPTION_MSS && length == TCP_OPTION_MSS_LENGTH) {
		search->found = at + 2;
		return 1;
	}
	search->at = at + length;
	return 0;
}

static __always_inline bool
mss_lower(struct xdp_md *ctx, __u32 offset, __u16 from, __u16 to)
{
	struct headers h;
	__u16 before, after;

	if (!packet_headers(ctx, sizeof(struct tcphdr), &h))
		return false;
	before = from;
	after = to;
	/* At an odd offset the two bytes stand in two words of the sum, the other way round. */
	if (offset & 1) {
		before = before << 8 | before >> 8;
		after = after << 8 | after >> 8;
	}
	h.tcp->check = csum_apply(h.tcp->check, (__u16)~before + after);
	return bpf_xdp_store_bytes(ctx, TCP_AT + sizeof(struct tcphdr) + offset, &to, sizeof(to)) ==
	       0;
}

/* Lowers the option of a SYN to `mss` bytes at most. */
__noinline int
mss_clamp(struct xdp_md *ctx, __u32 mss, __u32 row)
{
	struct mss_search search = {};
	struct headers h;
	__u16 value, limit = bpf_htons((__u16)mss);
	__u32 length;

	if (!packet_headers(ctx, sizeof(struct tcphdr), &h))
		return 0;
	/* One less, so that the verifier of 6.1 sees that it is not zero; none wraps around. */
	length = (h.tcp->doff * 4 - sizeof(struct tcphdr) - 1) & 63;
	barrier_var(length);
	if (length >= TCP_OPTIONS_MAX)
		return 0;
	if (bpf_xdp_load_bytes(ctx, TCP_AT + sizeof(struct tcphdr), search.options, length + 1))
		return 0;
	search.length = length + 1;
	bpf_loop(TCP_OPTIONS_MAX, mss_step, &search, 0);
	if (!search.found || search.found > TCP_OPTIONS_MAX)
		return 0;
	value = search.options[search.found] | (__u16)search.options[search.found + 1] << 8;
	if (bpf_ntohs(value) <= mss || !mss_lower(ctx, search.found, value, limit))
		return 0;
	count(row, GW_NAT_MSS_CLAMPED);
	return 1;
}
#endif
