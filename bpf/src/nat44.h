/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NAT44: from a parsed packet to its verdict. */
#ifndef GW_NAT44_H
#define GW_NAT44_H
#include "delivery.h"
#include "fragment_send.h"
#include "icmp_error.h"
#include "icmp_translate.h"
#include "inbound.h"
#include "memo.h"
#include "mss.h"
#include "outbound.h"
#include "rewrite.h"

/* May the kernel see the packet as it came? To an outside address it would take it for its own. */
static __always_inline bool
to_kernel(const struct packet *pkt, const struct gw_session *session)
{
	return pkt->key.side == GW_SIDE_INSIDE && !(session->flags & GW_SESSION_HAIRPIN);
}

/* An error: the kernel answers a sender inside, and we one who sent to an outside address. */
static __always_inline enum gw_counter
answer(struct xdp_md *ctx, const struct packet *pkt, const struct gw_session *session,
       enum gw_counter punt, enum gw_counter drop, __u16 mtu)
{
	bool too_big = punt == GW_PUNT_TOO_BIG;

	if (to_kernel(pkt, session))
		return punt;
	if (icmp_error(ctx, pkt->key.tuple.daddr, too_big ? ICMP_DEST_UNREACH : ICMP_TIME_EXCEEDED,
		       too_big ? ICMP_FRAG_NEEDED : ICMP_EXC_TTL, mtu))
		return GW_REPLY;
	return drop;
}

/* The others follow it; and it goes first if some of them came before. */
static __always_inline enum gw_counter
first_fragment(const struct packet *pkt, __u32 ref, const struct translation *t,
	       enum gw_counter verdict, struct outcome *out)
{
	out->flow = flow_remember(pkt, out->nat, out->now, ref, t);
	if (!out->flow || !kept_waiting(pkt, out->nat, out->now)) {
		out->flow = 0;
		return verdict;
	}
	return GW_PUNT_REPLAY;
}

/* Where the translated packet goes. Outwards NAT leaves that alone, and what the packet says is
 * there before the record has come from memory: the FIB is asked meanwhile. */
static __always_inline __u32
target_of(const struct packet *pkt, const struct gw_session *session, enum gw_direction direction,
	  const struct translation *t)
{
	bool stays = direction == GW_FORWARD_DIRECTION &&
		     !(session->flags & (GW_SESSION_HAIRPIN | GW_SESSION_INBOUND));

	return stays ? pkt->key.tuple.daddr : t->to.daddr;
}

/* Asks for the way; what is found is in `fib`, and in gw_memo for the next packet. */
static __always_inline enum gw_counter
way_asked(struct xdp_md *ctx, const struct packet *pkt, const struct gw_session *session, __u32 ref,
	  __u32 target, struct memo *known, struct bpf_fib_lookup *fib, struct outcome *out)
{
	__u32 side = right_side(session, ref_direction(ref));
	enum gw_counter verdict;

	__builtin_memset(fib, 0, sizeof(*fib));
	verdict = way_out(ctx, pkt, target, side, fib, out);
	if (verdict != GW_FORWARD)
		return verdict;
	/* From the second packet in a row on: where every packet is another session's, writing it all
	 * down would be felt. */
	if (known->ref != ref) {
		known->ref = ref;
		known->now = 0;
		return verdict;
	}
	memo_take(known, pkt, session, ref, out);
	__builtin_memcpy(known->macs, fib->dmac, ETH_ALEN);
	__builtin_memcpy(known->macs + ETH_ALEN, fib->smac, ETH_ALEN);
	return verdict;
}

/* Its own stack frame: with the one of a session's opening it would be too large for 6.1. */
static __noinline enum gw_counter
session_send(struct xdp_md *ctx, const struct packet *pkt, struct gw_session *session, __u32 ref,
	     struct outcome *out)
{
	enum gw_direction direction = ref_direction(ref);
	struct memo *known = memo();
	struct bpf_fib_lookup fib;
	struct translation t;
	bool held;
	enum gw_counter verdict;

	if (!session || !known)
		return GW_DROP_RACE;
	if (pkt->ttl <= 1)
		return answer(ctx, pkt, session, GW_PUNT_TTL, GW_DROP_TTL, 0);
	translation_of(session, direction, pkt, &t);
	held = memo_holds(known, pkt, session, ref, out->now);
	if (held) {
		verdict = GW_FORWARD;
		out->row = known->row;
		out->tunnel = known->tunnel;
		out->ifindex = known->egress;
	} else {
		verdict = way_asked(ctx, pkt, session, ref, target_of(pkt, session, direction, &t),
				    known, &fib, out);
	}
	if (verdict == GW_PUNT_TOO_BIG)
		return answer(ctx, pkt, session, GW_PUNT_TOO_BIG, GW_DROP_TOO_BIG, out->mtu);
	if (!on_its_way(verdict))
		return to_kernel(pkt, session) ? verdict : GW_DROP_NO_ROUTE;
	if (!rewrite(ctx, pkt, &t))
		return GW_DROP_TRUNCATED;
	session_touch(session, pkt, direction, out->nat, out->now);
	if (pkt->tcp_flags & TCP_SYN && out->nat->mss)
		mss_clamp(ctx, out->nat->mss, pkt->row);
	if (pkt->fragment)
		verdict = first_fragment(pkt, ref, &t, verdict, out);
	if (verdict == GW_FORWARD && !(held ? memo_macs(ctx, known) : write_macs(ctx, &fib)))
		return GW_DROP_TRUNCATED;
	return verdict;
}

/* A new session's reference, or a verdict. In stages with frames of their own, like sending. */
static __noinline __s64
nat44_open(struct xdp_md *ctx, const struct packet *pkt, const struct outcome *out)
{
	struct opening open = {
		.session =
			{
				.protocol = pkt->key.protocol,
				.arrives = pkt->key.tuple,
				.leaves = pkt->key.tuple,
				.slot = GW_NO_SLOT,
				.peer = GW_NO_SLOT,
			},
		.nat = out->nat,
		.now = out->now,
		.row = pkt->row,
	};
	enum gw_counter verdict = pkt->key.side == GW_SIDE_OUTSIDE ?
					  inbound_prepare(ctx, pkt, &open) :
					  outbound_prepare(ctx, pkt, &open);
	__s64 opened;

	if (verdict == GW_PUNT_TTL)
		verdict = answer(ctx, pkt, &open.session, GW_PUNT_TTL, GW_DROP_TTL, 0);
	if (verdict != PARSED)
		return refuse(verdict);
	if (pkt->ttl <= 1) {
		session_release(&open.session);
		return refuse(answer(ctx, pkt, &open.session, GW_PUNT_TTL, GW_DROP_TTL, 0));
	}
	opened = session_open(&open);
	if (opened < 0)
		session_release(&open.session);
	return opened;
}

/* No room for a session: a sender inside is told (RFC 5508 REQ-8), from the gateway's address. */
static __always_inline enum gw_counter
refusal(struct xdp_md *ctx, const struct packet *pkt, enum gw_counter verdict, struct outcome *out)
{
	struct gw_device *dev;

	if (pkt->key.side != GW_SIDE_INSIDE ||
	    (verdict != GW_DROP_NO_PORT && verdict != GW_DROP_TABLE_FULL &&
	     verdict != GW_DROP_HOST_LIMIT))
		return verdict;
	dev = device(pkt->ingress);
	if (dev && dev->address &&
	    icmp_error(ctx, dev->address, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, 0)) {
		count(pkt->row, GW_NAT_REFUSAL);
		out->answered = true;
	}
	return verdict;
}

static __always_inline enum gw_counter
nat44(struct xdp_md *ctx, struct packet *pkt, const struct gw_device *port, struct outcome *out)
{
	struct gw_session *session;
	enum gw_counter verdict;
	__s64 opened;
	__u32 ref;

	if (!out->nat || !out->nat->enabled || !(port->flags & (GW_DEV_INSIDE | GW_DEV_OUTSIDE)))
		return GW_PUNT_KERNEL_MODE;
	pkt->key.side = port->flags & GW_DEV_OUTSIDE ? GW_SIDE_OUTSIDE : GW_SIDE_INSIDE;
	verdict = packet_parse(ctx, port, pkt);
	if (verdict < PARSED)
		return verdict;
	out->now = bpf_ktime_get_coarse_ns();
	if (verdict == PARSED_FRAGMENT)
		return fragment_send(ctx, pkt, out);
	if (verdict == PARSED_ICMP_ERROR)
		return icmp_translate(ctx, pkt, out);
	session = session_find(pkt, out->nat, out->now, &ref);
	if (!session) {
		opened = nat44_open(ctx, pkt, out);
		if (opened < 0)
			return refusal(ctx, pkt, refused(opened), out);
		ref = opened;
		session = session_record(ref & REF_INDEX);
		if (!session)
			return GW_DROP_RACE;
	}
	return session_send(ctx, pkt, session, ref, out);
}
#endif
