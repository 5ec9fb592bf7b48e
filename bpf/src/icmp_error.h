/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP errors of our own (RFC 792, RFC 1812 4.3.2). The kernel cannot send those to a sender
 * outside: a packet to the outside address is its own, so it would answer for a closed port
 * instead. Senders inside get its answers, for it sees the packet as they sent it; only that there
 * is no room for a session it cannot know.
 */
#ifndef GW_ICMP_ERROR_H
#define GW_ICMP_ERROR_H
#include "packet.h"
#include "route.h"

enum {
	ERROR_QUOTE = sizeof(struct iphdr) + 8, /* all that every receiver needs */
	ERROR_ROOM = sizeof(struct iphdr) + sizeof(struct icmphdr),
	ERROR_TTL = 64,
	ERRORS_PER_S = 100, /* on each core (RFC 1812 4.3.2.8) */
};

/* Refusals have a budget of their own: a host that has used its share must not use up the errors
 * that others need to find out their path's MTU. */
enum error_kind {
	ERROR_PATH = 0,
	ERROR_REFUSAL = 1,
	ERROR_KINDS = 2,
};

/* Written by XDP: when the last error went out and how many are still allowed. */
struct error_budget {
	__u64 last; /* ns */
	__u64 left;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ERROR_KINDS);
	__type(key, __u32);
	__type(value, struct error_budget);
} gw_error_budget SEC(".maps");

static __always_inline bool
error_allowed(__u32 kind)
{
	struct error_budget *budget = bpf_map_lookup_elem(&gw_error_budget, &kind);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!budget)
		return false;
	if (now - budget->last >= 1000000000) {
		budget->last = now;
		budget->left = ERRORS_PER_S;
	}
	if (!budget->left)
		return false;
	budget->left--;
	return true;
}

/* Not to a sender that is no single host (RFC 1122 3.2.2). */
static __always_inline bool
may_be_told(const struct ethhdr *eth, const struct iphdr *ip)
{
	return unicast(ip->saddr) && !(eth->h_source[0] & 1);
}

struct error_packet {
	struct ethhdr eth;
	struct iphdr ip;
	struct icmphdr icmp;
	__u8 quote[ERROR_QUOTE];
} __attribute__((packed));

/* The frame becomes an error about itself, from `source` to its sender; 0: no error was made of it. */
static __noinline int
icmp_error(struct xdp_md *ctx, __u32 source, __u8 type, __u8 code, __u16 mtu)
{
	struct ethhdr eth;
	struct error_packet *error;
	__u8 quote[ERROR_QUOTE];
	__u32 sender;
	struct headers h;
	long length = bpf_xdp_get_buff_len(ctx);

	if (!packet_headers(ctx, sizeof(struct udphdr), &h) || !may_be_told(h.eth, h.ip))
		return 0;
	if (!error_allowed(code == ICMP_PKT_FILTERED ? ERROR_REFUSAL : ERROR_PATH))
		return 0;
	__builtin_memcpy(&eth, h.eth, sizeof(eth));
	__builtin_memcpy(quote, h.ip, sizeof(quote));
	sender = h.ip->saddr;
	if (bpf_xdp_adjust_tail(ctx, (int)(sizeof(eth) + ERROR_QUOTE - length)) ||
	    bpf_xdp_adjust_head(ctx, -(int)ERROR_ROOM))
		return 0;
	error = (void *)(long)ctx->data;
	if ((void *)(error + 1) > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(error->eth.h_dest, eth.h_source, sizeof(eth.h_source));
	__builtin_memcpy(error->eth.h_source, eth.h_dest, sizeof(eth.h_dest));
	error->eth.h_proto = bpf_htons(ETH_P_IP);
	error->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = 0xc0, /* internetwork control (RFC 1812 4.3.2.5) */
		.tot_len = bpf_htons(sizeof(*error) - sizeof(eth)),
		.frag_off = bpf_htons(
			IP_DF_BIT), /* atomic: the identification says nothing (RFC 6864) */
		.ttl = ERROR_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = source,
		.daddr = sender,
	};
	error->ip.check = csum_of(&error->ip, sizeof(error->ip));
	error->icmp = (struct icmphdr){.type = type, .code = code};
	error->icmp.mtu = bpf_htons(mtu);
	__builtin_memcpy(error->quote, quote, sizeof(quote));
	error->icmp.checksum = csum_of(&error->icmp, sizeof(error->icmp) + sizeof(quote));
	return 1;
}
#endif
