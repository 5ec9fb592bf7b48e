/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translating a packet in place: addresses, ports or ICMP identifier, TTL and checksums. */
#ifndef GW_REWRITE_H
#define GW_REWRITE_H
#include "identification.h"
#include "session.h"

static __always_inline void
rewrite_tcp(struct tcphdr *tcp, const struct gw_tuple *to, __u16 delta)
{
	tcp->source = to->sport;
	tcp->dest = to->dport;
	tcp->check = csum_apply(tcp->check, delta);
}

static __always_inline void
rewrite_udp(struct udphdr *udp, const struct gw_tuple *to, __u16 delta)
{
	udp->source = to->sport;
	udp->dest = to->dport;
	if (!udp->check)
		return; /* the sender sums nothing, and zero stays zero */
	udp->check = csum_apply(udp->check, delta);
	if (!udp->check)
		udp->check = 0xffff; /* a sum of zero is sent as its other form (RFC 768) */
}

static __always_inline void
rewrite_icmp(struct icmphdr *icmp, const struct gw_tuple *to, __u16 delta)
{
	icmp->id = icmp->type == ICMP_ECHO ? to->sport : to->dport;
	icmp->checksum = csum_apply(icmp->checksum, delta);
}

/* One hop further: the TTL is the high byte of its checksum word. */
static __always_inline void
rewrite_ipv4(struct iphdr *ip, const struct gw_tuple *to, __u16 id, __u16 delta)
{
	ip->id = id;
	ip->saddr = to->saddr;
	ip->daddr = to->daddr;
	ip->ttl--;
	ip->check = csum_apply(ip->check, delta + (__u16)~bpf_htons(0x0100));
}

/* Where the packet goes and how far its checksums move, seen from its direction. */
struct translation {
	struct gw_tuple to;
	__u16 l3_delta; /* of the addresses */
	__u16 l4_delta;
	__u16 id; /* identification, network byte order */
};

static __always_inline void
translation_of(const struct gw_session *session, enum gw_direction direction,
	       const struct packet *pkt, struct translation *t)
{
	bool forward = direction == GW_FORWARD_DIRECTION;

	t->to = forward ? session->leaves : tuple_reversed(&session->arrives);
	t->l3_delta = forward ? session->l3_delta : (__u16)~session->l3_delta;
	t->l4_delta = forward ? session->l4_delta : (__u16)~session->l4_delta;
	t->id = pkt->id;
	if (!is_atomic(pkt) && session_outbound(session, direction))
		t->id = next_identification(t->to.saddr, t->to.daddr, pkt->key.protocol);
}

/* The change of the IPv4 checksum, but for the TTL. */
static __always_inline __u16
ipv4_delta(const struct packet *pkt, __u16 addresses, __u16 id)
{
	return id == pkt->id ? addresses : csum_fold(addresses + (__u16)~pkt->id + id);
}

/* False when the frame does not hold its headers, which packet_parse() has ruled out. */
static __always_inline bool
rewrite(struct xdp_md *ctx, const struct packet *pkt, const struct translation *t)
{
	__u8 protocol = pkt->key.protocol;
	struct headers h;

	if (protocol == IPPROTO_TCP) {
		if (!packet_headers(ctx, sizeof(struct tcphdr), &h))
			return false;
		rewrite_tcp(h.tcp, &t->to, t->l4_delta);
	} else {
		if (!packet_headers(ctx, sizeof(struct udphdr), &h))
			return false;
		if (protocol == IPPROTO_UDP)
			rewrite_udp(h.udp, &t->to, t->l4_delta);
		else
			rewrite_icmp(h.icmp, &t->to, t->l4_delta);
	}
	rewrite_ipv4(h.ip, &t->to, t->id, ipv4_delta(pkt, t->l3_delta, t->id));
	return true;
}
#endif
