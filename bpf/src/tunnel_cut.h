/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragmentation of an outer packet that is longer than the underlay takes (RFC 791 3.2, RFC 8200
 * 4.5). RFC 7348 4.3 forbids a VTEP to do this; 1500 bytes over a link of 1500 need it.
 *
 * The frame itself becomes one piece after the other: what does not fit the first is kept in a map,
 * a clone of the piece is sent, the frame becomes the next one, and the last needs no clone. So a
 * packet in two pieces costs one clone, and the larger piece is never copied by us.
 */
#ifndef GW_TUNNEL_CUT_H
#define GW_TUNNEL_CUT_H
#include "cut.h"
#include "inner.h"

enum {
	/* Bytes that the last piece has at least: TC shortens no frame to less than what lies before
	 * the transport header, and of some frames it remembers the inner packet's. */
	CUT_LAST = 128,
	CUT_MTU_MIN = 576, /* RFC 791: what every host takes; an underlay of less is not served */
	CUT_XMIT_CN = 2, /* the queue is congested, but took the frame */
	FRAGMENT_MORE = 1,
};

/* RFC 8200 4.5. */
struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* bytes, a multiple of 8, and FRAGMENT_MORE */
	__be32 identification;
};

struct fragmented6 {
	struct ip6hdr ip;
	struct fragment_header fragment;
};

struct tunnel_cut {
	struct __sk_buff *skb;
	__u32 ifindex; /* of the underlay device */
	__u32 start; /* bytes in front of a piece's payload */
	__u32 payload; /* bytes of the whole packet */
	__u32 chunk; /* bytes of every piece but the last, a multiple of 8 */
	bool ipv6;
	bool fragmented; /* false, over IPv6: there is no fragment header */
	bool whole; /* the frame is the last piece by now */
	union {
		struct iphdr v4;
		struct fragmented6 v6;
	} outer;
};

/* Writes the outer IP header of the piece that the frame is. */
static __always_inline long
tunnel_piece_header(struct tunnel_cut *cut, __u32 offset, __u32 length)
{
	bool more = offset + length < cut->payload;
	struct iphdr *ip = &cut->outer.v4;

	if (cut->ipv6 && !cut->fragmented)
		return bpf_skb_store_bytes(cut->skb, sizeof(struct ethhdr), &cut->outer.v6.ip,
					   sizeof(cut->outer.v6.ip), 0);
	if (cut->ipv6) {
		cut->outer.v6.ip.payload = bpf_htons(sizeof(struct fragment_header) + length);
		cut->outer.v6.fragment.offset = bpf_htons(offset | (more ? FRAGMENT_MORE : 0));
		return bpf_skb_store_bytes(cut->skb, sizeof(struct ethhdr), &cut->outer.v6,
					   sizeof(cut->outer.v6), 0);
	}
	ip->tot_len = bpf_htons(sizeof(*ip) + length);
	ip->frag_off = bpf_htons(offset / 8 | (more ? CUT_MF : 0));
	ip->check = 0;
	ip->check = csum_of(ip, sizeof(*ip));
	return bpf_skb_store_bytes(cut->skb, sizeof(struct ethhdr), ip, sizeof(*ip), 0);
}

static __always_inline bool
tunnel_clone_sent(struct tunnel_cut *cut)
{
	long result = bpf_clone_redirect(cut->skb, cut->ifindex, 0);

	return !result || result == CUT_XMIT_CN;
}

/* Sends the piece that the frame is, and makes it the next one; for bpf_loop: 1 ends it. */
static long
tunnel_next_piece(__u32 i, struct tunnel_cut *cut)
{
	__u32 zero = 0, at = i * cut->chunk, offset = at + cut->chunk, length = cut->chunk;
	char *rest;

	if (offset >= cut->payload || at >= CUT_PAYLOAD_MAX || !tunnel_clone_sent(cut))
		return 1;
	rest = bpf_map_lookup_elem(&gw_cut, &zero);
	if (!rest)
		return 1;
	if (length >= cut->payload - offset)
		length = cut->payload - offset;
	cut->whole = offset + length == cut->payload;
	length = at_least_one(length);
	at &= CUT_PAYLOAD_MAX - 1;
	barrier_var(at);
	if (bpf_skb_change_tail(cut->skb, cut->start + length, 0) ||
	    bpf_skb_store_bytes(cut->skb, cut->start, rest + at, length, 0) ||
	    tunnel_piece_header(cut, offset, length)) {
		cut->whole = false;
		return 1;
	}
	return 0;
}

/* Says how to cut; false when it cannot be done. */
static __always_inline bool
tunnel_cut_plan(struct tunnel_cut *cut, __u32 mtu)
{
	__u32 headers = cut->start - sizeof(struct ethhdr), last;

	if (mtu < CUT_MTU_MIN || cut->payload > CUT_PAYLOAD_MAX)
		return false;
	cut->chunk = (mtu - headers) & ~7U;
	last = cut->payload % cut->chunk;
	if (last && last < CUT_LAST)
		cut->chunk -= CUT_LAST;
	return cut->payload > cut->chunk;
}

/* The headers of an IPv6 packet without extension headers become those of its fragments. */
static __always_inline void
tunnel_fragment_header(struct fragmented6 *outer, __u32 identification)
{
	outer->fragment.next = outer->ip.next_header;
	outer->fragment.reserved = 0;
	outer->fragment.identification = identification;
	outer->ip.next_header = IP6_NEXT_FRAGMENT;
}

/* Takes the first piece's payload for the frame's, and keeps what is behind it. */
static __always_inline bool
tunnel_keep_rest(struct tunnel_cut *cut, __u32 start)
{
	__u32 zero = 0, end = start + cut->chunk;
	char *rest = bpf_map_lookup_elem(&gw_cut, &zero);
	__u32 length = at_least_one(cut->payload - cut->chunk);

	return rest && cut->skb->len >= start + cut->payload &&
	       !bpf_skb_load_bytes(cut->skb, end, rest, length) &&
	       !bpf_skb_change_tail(cut->skb, end, 0);
}

static __always_inline bool
tunnel_cut_ipv4(struct tunnel_cut *cut, __u32 mtu)
{
	struct iphdr *ip = &cut->outer.v4;

	cut->start = sizeof(struct ethhdr) + sizeof(*ip);
	if (bpf_skb_load_bytes(cut->skb, sizeof(struct ethhdr), ip, sizeof(*ip)))
		return false;
	cut->payload = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	return tunnel_cut_plan(cut, mtu) && tunnel_keep_rest(cut, cut->start);
}

static __always_inline bool
tunnel_cut_ipv6(struct tunnel_cut *cut, __u32 mtu, __u32 identification)
{
	struct fragmented6 *outer = &cut->outer.v6;

	cut->start = sizeof(struct ethhdr) + sizeof(*outer);
	if (bpf_skb_load_bytes(cut->skb, sizeof(struct ethhdr), &outer->ip, sizeof(outer->ip)))
		return false;
	cut->payload = bpf_ntohs(outer->ip.payload);
	/* Room behind the IPv6 header: the two headers in front move, the rest stays. */
	if (!tunnel_cut_plan(cut, mtu) ||
	    !tunnel_keep_rest(cut, sizeof(struct ethhdr) + sizeof(outer->ip)) ||
	    bpf_skb_adjust_room(cut->skb, sizeof(outer->fragment), BPF_ADJ_ROOM_NET, 0))
		return false;
	tunnel_fragment_header(outer, identification);
	return true;
}

/*
 * Sends the frame, an outer packet without IP options or extension headers that is addressed to
 * the next hop, in pieces of at most `mtu` bytes: all but the last itself. Returns a TC verdict:
 * TC_ACT_REDIRECT sends the last, TC_ACT_SHOT says that the underlay took it not or not whole.
 */
static __noinline int
tunnel_cut(struct __sk_buff *skb, __u32 ifindex, __u32 mtu, __u32 identification)
{
	struct tunnel_cut cut = {.skb = skb, .ifindex = ifindex, .fragmented = true};
	__u16 type = 0;

	if (bpf_skb_load_bytes(skb, 2 * ETH_ALEN, &type, sizeof(type)))
		return TC_ACT_SHOT;
	cut.ipv6 = type == bpf_htons(ETH_P_IPV6);
	if (cut.ipv6 ? !tunnel_cut_ipv6(&cut, mtu, identification) : !tunnel_cut_ipv4(&cut, mtu))
		return TC_ACT_SHOT;
	if (tunnel_piece_header(&cut, 0, cut.chunk))
		return TC_ACT_SHOT;
	bpf_loop(CUT_PIECES_MAX, tunnel_next_piece, &cut, 0);
	return cut.whole ? bpf_redirect(ifindex, 0) : TC_ACT_SHOT;
}
#endif
