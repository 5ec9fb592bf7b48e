/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 fragmentation (RFC 791 3.2) of a frame that XDP translated and that is too long for the
 * next link but may be cut. The stack would only cut what it has routed itself, and it must not
 * route this one: it would drop it for its source address.
 */
#ifndef GW_CUT_H
#define GW_CUT_H
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include "checksum.h"
#include "counters.h"

enum {
	CUT_AF_INET = 2,
	CUT_PAYLOAD_MAX = 4096, /* XDP sees frames of one page */
	CUT_PIECES_MAX = 64,
	CUT_DF = 0x4000,
	CUT_MF = 0x2000,
	CUT_OFFSET = 0x1fff,
	CUT_START = sizeof(struct ethhdr) + sizeof(struct iphdr),
};

/* Written by gw_handover: the payload while its frame is sent piece by piece. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, 2 * CUT_PAYLOAD_MAX);
} gw_cut SEC(".maps");

struct cutting {
	struct __sk_buff *skb;
	__u32 ifindex;
	__u32 payload; /* bytes of the whole packet */
	__u32 chunk; /* bytes of every piece but the last, a multiple of 8 */
	__u16 offset; /* of the packet itself, which may be a fragment, in units of 8 bytes */
	__u16 more; /* its MF */
	struct iphdr ip;
};

/* No change for 1 to CUT_PAYLOAD_MAX: says so in a way that the verifier of 6.1 understands. */
static __always_inline __u32
at_least_one(__u32 length)
{
	length = (length - 1) & (CUT_PAYLOAD_MAX - 1);
	barrier_var(length);
	return length + 1;
}

static __always_inline long
cut_headers(struct cutting *cut, __u32 offset, __u32 length)
{
	struct iphdr ip = cut->ip;

	ip.tot_len = bpf_htons(sizeof(ip) + length);
	ip.frag_off = bpf_htons((cut->offset + offset / 8) |
				(offset + length < cut->payload ? CUT_MF : cut->more));
	ip.check = 0;
	ip.check = csum_of(&ip, sizeof(ip));
	return bpf_skb_store_bytes(cut->skb, sizeof(struct ethhdr), &ip, sizeof(ip), 0);
}

/* Sends piece number i, for bpf_loop: 1 ends it. */
static long
cut_piece(__u32 i, struct cutting *cut)
{
	__u32 zero = 0, offset = i * cut->chunk, length = cut->chunk;
	char *payload = bpf_map_lookup_elem(&gw_cut, &zero);

	if (!payload || offset >= cut->payload || offset >= CUT_PAYLOAD_MAX)
		return 1;
	if (length > cut->payload - offset)
		length = cut->payload - offset;
	length = at_least_one(length);
	offset &= CUT_PAYLOAD_MAX - 1;
	barrier_var(offset);
	if (bpf_skb_change_tail(cut->skb, CUT_START + length, 0) ||
	    bpf_skb_store_bytes(cut->skb, CUT_START, payload + offset, length, 0) ||
	    cut_headers(cut, offset, length))
		return 1;
	return bpf_clone_redirect(cut->skb, cut->ifindex, 0) != 0;
}

/* Puts the next hop's addresses onto the frame; false: it is not known. Finds out the MTU if that
 * is less than the packet has. */
static __always_inline bool
cut_resolve(struct cutting *cut, struct ethhdr *eth, __u32 *mtu)
{
	struct bpf_fib_lookup fib = {
		.family = CUT_AF_INET,
		.tot_len = *mtu ? 0 : bpf_ntohs(cut->ip.tot_len),
		.ifindex = cut->ifindex,
		.ipv4_src = cut->ip.saddr,
		.ipv4_dst = cut->ip.daddr,
	};
	long found = bpf_fib_lookup(cut->skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT);

	/* A route's MTU is judged before the neighbour is looked up: asked again, without a length. */
	if (!*mtu && found == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		*mtu = fib.mtu_result;
		fib.tot_len = 0;
		found = bpf_fib_lookup(cut->skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT);
	}
	/* The device's MTU is judged last, and the addresses are there. */
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return false;
	__builtin_memcpy(eth->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib.smac, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	return true;
}

/* Sends the frame, as pieces of at most `mtu` bytes if that is too little for it (0: whatever the
 * next link takes); 0 when it was sent. */
static __noinline int
cut_and_send(struct __sk_buff *skb, __u32 ifindex, __u32 mtu)
{
	struct cutting cut = {.skb = skb, .ifindex = ifindex};
	__u32 zero = 0, length;
	char *payload = bpf_map_lookup_elem(&gw_cut, &zero);
	struct ethhdr eth;

	if (!payload || bpf_skb_load_bytes(skb, sizeof(eth), &cut.ip, sizeof(cut.ip)))
		return -1;
	if (!cut_resolve(&cut, &eth, &mtu) || bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return -1;
	if (!mtu)
		return bpf_clone_redirect(skb, ifindex, 0) ? -1 : 0;
	if (mtu < sizeof(struct iphdr) + 8 || cut.ip.frag_off & bpf_htons(CUT_DF))
		return -1;
	length = bpf_ntohs(cut.ip.tot_len) - sizeof(cut.ip);
	if (!length || length > CUT_PAYLOAD_MAX)
		return -1;
	length = at_least_one(length);
	if (bpf_skb_load_bytes(skb, CUT_START, payload, length))
		return -1;
	cut.payload = length;
	cut.chunk = (mtu - sizeof(cut.ip)) & ~7U;
	cut.offset = bpf_ntohs(cut.ip.frag_off) & CUT_OFFSET;
	cut.more = bpf_ntohs(cut.ip.frag_off) & CUT_MF;
	bpf_loop(CUT_PIECES_MAX, cut_piece, &cut, 0);
	return 0;
}

/* Leaves of the frame its first piece of at most `mtu` bytes; 0 when it did. */
static __noinline int
cut_first(struct __sk_buff *skb, __u32 mtu)
{
	struct cutting cut = {.skb = skb};

	if (mtu < sizeof(struct iphdr) + 8 ||
	    bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &cut.ip, sizeof(cut.ip)))
		return -1;
	cut.payload = bpf_ntohs(cut.ip.tot_len) - sizeof(cut.ip);
	cut.chunk = (mtu - sizeof(cut.ip)) & ~7U;
	cut.offset = bpf_ntohs(cut.ip.frag_off) & CUT_OFFSET;
	if (cut.chunk >= cut.payload || cut.ip.frag_off & bpf_htons(CUT_DF) ||
	    bpf_skb_change_tail(skb, CUT_START + cut.chunk, 0))
		return -1;
	return cut_headers(&cut, 0, cut.chunk);
}
#endif
