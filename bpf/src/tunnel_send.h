/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame in a map, to any number of VTEPs: encapsulated for each, and cut where the way there
 * asks for it. The sk_buff only carries one piece after the other.
 */
#ifndef GW_TUNNEL_SEND_H
#define GW_TUNNEL_SEND_H
#include "frame_sum.h"
#include "identification.h"
#include "tunnel_cut.h"
#include "underlay.h"
#include "vxlan_header.h"

enum {
	EGRESS_HEAD = 64, /* room for an outer IP header, UDP and VXLAN */
	EGRESS_PAYLOAD = EGRESS_HEAD - VXLAN_UDP, /* where the outer IP packet's payload begins */
	EGRESS_FRAME_MAX = SUM_MAX - 1, /* bytes of an inner frame */
	EGRESS_BYTES = EGRESS_HEAD + 2 * CUT_PAYLOAD_MAX,
};

/* The frame that is being sent, with its outer headers in front. */
struct egress_buffer {
	__u8 bytes[EGRESS_BYTES];
	__u32 busy; /* by another VXLAN device, whose underlay led here */
};

/* Written by gw_tunnel. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct egress_buffer);
} gw_egress SEC(".maps");

/* How a VTEP is reached. */
enum reach {
	REACH_FITS,
	REACH_CUT, /* the packet has to be cut, and may be */
	REACH_UNKNOWN, /* no next hop */
	REACH_KERNEL, /* it is the kernel's to send, or to say why not */
};

struct egress {
	struct __sk_buff *skb;
	struct gw_flood *flood; /* to whom, or 0: to `tunnel` alone */
	__u32 tunnel; /* 1 + index in gw_tunnels */
	__u32 length; /* of the frame */
	__u32 sum;
	__u32 sent; /* packets that were cut */
	__u32 lost; /* VTEPs that do not get the frame, or not all of it */
	__u32 row; /* in gw_counters, of the port that the last of them left by */
	__u8 reached[4]; /* whether any VTEP is, by enum reach */
	struct inner inner;
	struct bpf_fib_lookup fib;
};

static __always_inline struct egress_buffer *
egress_buffer(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gw_egress, &zero);
}

/* The i-th VTEP of the frame's, or 0. */
static __always_inline struct gw_tunnel *
egress_tunnel(struct egress *egress, __u32 i)
{
	__u32 reference = egress->tunnel;
	struct gw_tunnel *tunnel;

	if (egress->flood) {
		if (i >= GW_FLOOD_TUNNELS)
			return 0;
		reference = egress->flood->tunnels[i];
	}
	tunnel = tunnel_at(reference - 1);
	return tunnel && tunnel->ifindex == egress->skb->ifindex ? tunnel : 0;
}

/* Leaves the next hop in egress->fib. */
static __always_inline enum reach
egress_ask(struct egress *egress, const struct gw_tunnel *tunnel, struct outer *outer)
{
	struct bpf_fib_lookup *fib = &egress->fib;
	__u32 size = outer_size(tunnel) - sizeof(struct ethhdr) + egress->length;

	outer_of(tunnel, &egress->inner, egress->length, outer);
	if (outer->dont_fragment || !(tunnel->flags & GW_TUNNEL_FRAGMENT))
		return REACH_KERNEL;
	__builtin_memset(fib, 0, sizeof(*fib));
	way_question(tunnel, outer->source_port, fib);
	if (bpf_fib_lookup(egress->skb, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return REACH_UNKNOWN;
	/* A link without MAC addresses takes no Ethernet frame. */
	if (!*(__u32 *)fib->smac && !*(__u16 *)(fib->smac + 4))
		return REACH_KERNEL;
	return size > fib->mtu_result ? REACH_CUT : REACH_FITS;
}

/* For bpf_loop. */
static long
egress_judge(__u32 i, struct egress *egress)
{
	struct gw_tunnel *tunnel = egress_tunnel(egress, i);
	enum reach reach = REACH_KERNEL;
	struct outer outer;

	if (tunnel)
		reach = egress_ask(egress, tunnel, &outer);
	egress->reached[reach & 3] = 1;
	return 0;
}

/* Sends piece number i, for bpf_loop: 1 ends it. */
static long
egress_piece(__u32 i, struct tunnel_cut *cut)
{
	__u32 offset = i * cut->chunk, length = cut->chunk;
	struct egress_buffer *buffer;

	if (offset >= cut->payload || offset >= CUT_PAYLOAD_MAX)
		return 1;
	buffer = egress_buffer();
	if (!buffer)
		return 1;
	if (length > cut->payload - offset)
		length = cut->payload - offset;
	length = at_least_one(length);
	offset &= CUT_PAYLOAD_MAX - 1;
	barrier_var(offset);
	if (bpf_skb_change_tail(cut->skb, cut->start + length, 0) ||
	    bpf_skb_store_bytes(cut->skb, cut->start, buffer->bytes + EGRESS_PAYLOAD + offset,
				length, 0) ||
	    tunnel_piece_header(cut, offset, length) || !tunnel_clone_sent(cut))
		return 1;
	cut->whole = offset + length == cut->payload;
	return 0;
}

/* Writes the outer headers in front of the frame, and says how it is to be cut. */
static __always_inline bool
egress_headers(struct tunnel_cut *cut, const struct gw_tunnel *tunnel, const struct outer *outer,
	       __u32 mtu)
{
	struct egress_buffer *buffer = egress_buffer();
	void *payload;

	if (!buffer)
		return false;
	payload = buffer->bytes + EGRESS_PAYLOAD;
	cut->ipv6 = tunnel->flags & GW_TUNNEL_IPV6;
	if (cut->ipv6) {
		outer_write6(payload - sizeof(struct ip6hdr), tunnel, outer);
		__builtin_memcpy(&cut->outer.v6.ip, payload - sizeof(struct ip6hdr),
				 sizeof(struct ip6hdr));
		cut->start = sizeof(struct ethhdr) + sizeof(struct ip6hdr);
	} else {
		outer_write4(payload - sizeof(struct iphdr), tunnel, outer);
		__builtin_memcpy(&cut->outer.v4, payload - sizeof(struct iphdr),
				 sizeof(struct iphdr));
		cut->start = sizeof(struct ethhdr) + sizeof(struct iphdr);
	}
	cut->payload = cut->chunk = VXLAN_UDP + outer->length;
	cut->fragmented = cut->start - sizeof(struct ethhdr) + cut->payload > mtu;
	if (!cut->fragmented)
		return true;
	if (cut->ipv6) {
		tunnel_fragment_header(&cut->outer.v6, bpf_get_prandom_u32());
		cut->start += sizeof(struct fragment_header);
	}
	return tunnel_cut_plan(cut, mtu);
}

/* What the kernel says of the sk_buff has to be right: whoever marks congestion on the way out
 * writes where it says that an IP header is. Of what is no IP it says nothing. */
static __always_inline bool
egress_protocol(struct __sk_buff *skb, bool ipv6)
{
	__u16 wanted = bpf_htons(ipv6 ? ETH_P_IPV6 : ETH_P_IP);

	if (skb->protocol == wanted ||
	    (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)))
		return true;
	return bpf_skb_change_proto(skb, wanted, 0) == 0;
}

/* To one VTEP, whose next hop is in egress->fib; false: it does not get all of it. */
static __always_inline bool
egress_send_to(struct egress *egress, const struct gw_tunnel *tunnel, struct outer *outer)
{
	struct tunnel_cut cut = {.skb = egress->skb, .ifindex = egress->fib.ifindex};
	struct gw_device *port = device(cut.ifindex);
	struct ethhdr eth;

	if (port && port->flags & GW_DEV_PORT)
		egress->row = port->row;
	outer->sum = egress->sum;
	if (!(tunnel->flags & GW_TUNNEL_IPV6))
		outer->id = next_identification(*(const __u32 *)tunnel->local.bytes,
						*(const __u32 *)tunnel->remote.bytes, IPPROTO_UDP);
	__builtin_memcpy(eth.h_dest, egress->fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, egress->fib.smac, ETH_ALEN);
	if (!egress_headers(&cut, tunnel, outer, egress->fib.mtu_result))
		return false;
	eth.h_proto = bpf_htons(cut.ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	if (!egress_protocol(egress->skb, cut.ipv6) ||
	    bpf_skb_store_bytes(egress->skb, 0, &eth, sizeof(eth), 0))
		return false;
	bpf_loop(CUT_PIECES_MAX, egress_piece, &cut, 0);
	egress->sent += cut.fragmented && cut.whole;
	return cut.whole;
}

/* To the i-th VTEP, for bpf_loop. */
static long
egress_send(__u32 i, struct egress *egress)
{
	struct gw_tunnel *tunnel = egress_tunnel(egress, i);
	struct outer outer;

	if (tunnel && (egress_ask(egress, tunnel, &outer) > REACH_CUT ||
		       !egress_send_to(egress, tunnel, &outer)))
		egress->lost++;
	return 0;
}
#endif
