/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP errors about packets of sessions (RFC 5508 section 4). An error quotes the packet that
 * caused it as it was on the far side of the NAT; the quote is turned back into what its sender
 * sent. The answer to a quoted packet is looked up, so one way serves errors from outside, from
 * inside and between two inside hosts. The session is neither refreshed nor ended (REQ-6).
 *
 * The quote ends where the packet or the original datagram's length says (RFC 4884); what follows
 * it is not touched. Its transport checksum may cover bytes that are not there: it is moved, not
 * verified.
 */
#ifndef GW_ICMP_TRANSLATE_H
#define GW_ICMP_TRANSLATE_H
#include "delivery.h"
#include "rewrite.h"
#include "scratch.h"

enum {
	ICMP_AT = sizeof(struct ethhdr) + sizeof(struct iphdr), /* in the frame */
	QUOTE_AT = sizeof(struct icmphdr), /* in the message */
	QUOTE_LENGTH_AT = 5, /* of the quote in words of 32 bits (RFC 4884 section 4) */
	QUOTE_TRANSPORT = 8, /* bytes of the transport header that are needed (RFC 792) */
	QUOTE_CHANGED = 60 + sizeof(struct tcphdr), /* no byte behind these is touched */
	IPV4_HEADER_MAX = 60,
};

/* Where the parts of the message are in the scratch bytes; offsets are masked where they are used. */
struct quote {
	__u32 transport; /* offset */
	__u32 end; /* offset */
};

static __always_inline void *
quote_at(struct scratch *s, __u32 offset)
{
	offset &= 127; /* QUOTE_AT + IPV4_HEADER_MAX + a checksum's place */
	barrier_var(offset);
	return &s->bytes[offset];
}

/* The identifier of a quoted query stands where its sender has the port, as in parse_icmp(). The
 * answer's tuple and type are what is looked up. */
static __always_inline bool
quote_answer(struct scratch *s, const struct quote *quote, struct packet *answer)
{
	const struct iphdr *ip = (void *)&s->bytes[QUOTE_AT];
	const struct icmphdr *icmp = quote_at(s, quote->transport);
	const __u16 *ports = (const void *)icmp;
	struct gw_tuple *t = &answer->key.tuple;

	answer->key.protocol = ip->protocol;
	t->saddr = ip->daddr;
	t->daddr = ip->saddr;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
		t->sport = ports[1];
		t->dport = ports[0];
		return true;
	}
	if (ip->protocol != IPPROTO_ICMP ||
	    (icmp->type != ICMP_ECHO && icmp->type != ICMP_ECHOREPLY))
		return false;
	t->sport = icmp->type == ICMP_ECHO ? 0 : icmp->id;
	t->dport = icmp->type == ICMP_ECHO ? icmp->id : 0;
	answer->icmp_type = icmp->type == ICMP_ECHO ? ICMP_ECHOREPLY : ICMP_ECHO;
	return true;
}

/* Checks the message and its quote and finds the quoted transport header (RFC 5508 REQ-3). */
__noinline int
quote_parse(struct xdp_md *ctx, __u32 length, struct quote *quote)
{
	struct scratch *s = scratch();
	const struct iphdr *ip;
	__u32 header, room;

	if (!s || !quote)
		return GW_DROP_ICMP;
	if (length < QUOTE_AT + sizeof(*ip) + QUOTE_TRANSPORT)
		return GW_DROP_ICMP;
	if (!scratch_load(ctx, s, ICMP_AT, length))
		return GW_DROP_TRUNCATED;
	if (scratch_sum(s, 0, length) != 0xffff)
		return GW_DROP_CHECKSUM;
	ip = (void *)&s->bytes[QUOTE_AT];
	header = (s->bytes[QUOTE_AT] & 0xf) * 4;
	room = length - QUOTE_AT;
	if (s->bytes[QUOTE_LENGTH_AT] && s->bytes[QUOTE_LENGTH_AT] * 4 < room)
		room = s->bytes[QUOTE_LENGTH_AT] * 4;
	if (s->bytes[QUOTE_AT] >> 4 != 4 || header < sizeof(*ip) || header + QUOTE_TRANSPORT > room)
		return GW_DROP_ICMP;
	if (scratch_sum(s, QUOTE_AT, header) != 0xffff)
		return GW_DROP_CHECKSUM;
	/* Without its ports nobody knows whose it was. */
	if (ip->frag_off & bpf_htons(IP_OFFSET_BITS))
		return GW_PUNT_ICMP;
	quote->transport = QUOTE_AT + header;
	quote->end = QUOTE_AT + room;
	return PARSED;
}

static __always_inline void
quote_checksum(struct scratch *s, const struct quote *quote, __u32 at, bool optional, __u16 delta)
{
	__u16 *check = quote_at(s, quote->transport + at);

	if (quote->transport + at + sizeof(*check) > quote->end || (optional && !*check))
		return;
	*check = csum_apply(*check, delta);
	if (optional && !*check)
		*check = 0xffff;
}

/* Turns the quote back; `t` is what becomes of the answer to it. */
static __always_inline void
quote_rewrite(struct scratch *s, const struct quote *quote, const struct translation *t)
{
	struct iphdr *ip = (void *)&s->bytes[QUOTE_AT];
	struct icmphdr *icmp = quote_at(s, quote->transport);
	__u16 *ports = (void *)icmp;

	ip->saddr = t->to.daddr;
	ip->daddr = t->to.saddr;
	ip->check = csum_apply(ip->check, t->l3_delta);
	if (ip->protocol == IPPROTO_ICMP) {
		icmp->id = icmp->type == ICMP_ECHO ? t->to.dport : t->to.sport;
		quote_checksum(s, quote, 2, false, t->l4_delta);
		return;
	}
	ports[0] = t->to.dport;
	ports[1] = t->to.sport;
	if (ip->protocol == IPPROTO_UDP)
		quote_checksum(s, quote, 6, true, t->l4_delta);
	else
		quote_checksum(s, quote, 16, false, t->l4_delta);
}

/* Writes the translated message back into the frame. */
__noinline int
quote_store(struct xdp_md *ctx, const struct quote *quote, const struct translation *t,
	    __u32 length)
{
	struct scratch *s = scratch();
	struct icmphdr *icmp;

	if (!s || !quote || !t)
		return 0;
	icmp = (void *)s->bytes;
	quote_rewrite(s, quote, t);
	icmp->checksum = 0;
	icmp->checksum = ~scratch_sum(s, 0, length);
	if (length > QUOTE_AT + QUOTE_CHANGED)
		length = QUOTE_AT + QUOTE_CHANGED;
	return scratch_store(ctx, s, ICMP_AT, length);
}

/* The header around the message: the source is hidden if it is inside (REQ-5), and the destination
 * is who sent the quoted packet. */
static __always_inline bool
error_header(struct xdp_md *ctx, const struct packet *pkt, const struct translation *t)
{
	struct headers h;
	struct gw_tuple to = {.saddr = pkt->key.tuple.saddr, .daddr = t->to.daddr};
	__u16 delta;

	if (!packet_headers(ctx, sizeof(struct icmphdr), &h))
		return false;
	if (pkt->key.side == GW_SIDE_INSIDE)
		to.saddr = t->to.saddr;
	delta = csum_fold(csum_delta_addresses(&pkt->key.tuple, &to));
	rewrite_ipv4(h.ip, &to, t->id, ipv4_delta(pkt, delta, t->id));
	return true;
}

/* Sends a checked error on; `ref` is that of the answer to the quoted packet. */
static __noinline enum gw_counter
error_send(struct xdp_md *ctx, const struct packet *pkt, const struct quote *quote, __u32 ref,
	   struct outcome *out)
{
	struct gw_session *session = session_record(ref & REF_INDEX);
	enum gw_direction direction = ref_direction(ref);
	struct bpf_fib_lookup fib = {};
	struct translation t;
	enum gw_counter verdict;

	if (!session)
		return GW_DROP_RACE;
	if (pkt->ttl <= 1)
		return GW_DROP_TTL;
	translation_of(session, direction, pkt, &t);
	verdict = way_out(ctx, pkt, t.to.daddr, right_side(session, direction), &fib, out);
	if (!on_its_way(verdict))
		return verdict == GW_PUNT_TOO_BIG ? GW_DROP_TOO_BIG : GW_DROP_NO_ROUTE;
	if (!quote_store(ctx, quote, &t, pkt->ip_length - sizeof(struct iphdr)) ||
	    !error_header(ctx, pkt, &t))
		return GW_DROP_TRUNCATED;
	if (verdict == GW_FORWARD && !write_macs(ctx, &fib))
		return GW_DROP_TRUNCATED;
	count(pkt->row, GW_NAT_ICMP_ERROR);
	return verdict;
}

/* From a parsed ICMP error to its verdict. */
static __noinline enum gw_counter
icmp_translate(struct xdp_md *ctx, const struct packet *pkt, struct outcome *out)
{
	struct packet answer = *pkt;
	struct scratch *s = scratch();
	struct gw_session *session;
	enum gw_counter verdict;
	struct quote quote = {};
	__u32 ref;

	verdict = quote_parse(ctx, pkt->ip_length - sizeof(struct iphdr), &quote);
	if (verdict != PARSED)
		return verdict;
	if (!s || !quote_answer(s, &quote, &answer))
		return GW_PUNT_ICMP;
	session = session_find(&answer, out->nat, out->now, &ref);
	if (!session)
		return GW_PUNT_ICMP;
	/* Whoever sent the quoted packet is who is told. */
	if (answer.key.tuple.daddr != pkt->key.tuple.daddr)
		return GW_DROP_ICMP;
	if (pkt->key.side == GW_SIDE_INSIDE && !source_belongs(ctx, pkt))
		return GW_PUNT_SOURCE;
	if (pkt->key.side == GW_SIDE_OUTSIDE &&
	    (!unicast(pkt->key.tuple.saddr) || source_is_ours(ctx, pkt)))
		return GW_DROP_SOURCE;
	return error_send(ctx, pkt, &quote, ref, out);
}
#endif
