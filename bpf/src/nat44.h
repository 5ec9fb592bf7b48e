/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NAT44: from a parsed packet to its verdict. */
#ifndef GW_NAT44_H
#define GW_NAT44_H
#include "icmp_error.h"
#include "inbound.h"
#include "outbound.h"
#include "rewrite.h"

/* What to do with the frame, and where to. */
struct outcome {
	const struct gw_settings *nat;
	__u64 now; /* CLOCK_MONOTONIC ns */
	enum gw_counter verdict;
	__u32 ifindex; /* handing over: the L3 device to send it from */
	__u32 mtu; /* handing over: its MTU, when the packet has to be cut */
	__u32 row; /* forwarding: the port's row in gw_tx */
};

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
	if (icmp_error(ctx, too_big ? ICMP_DEST_UNREACH : ICMP_TIME_EXCEEDED,
		       too_big ? ICMP_FRAG_NEEDED : ICMP_EXC_TTL, mtu))
		return GW_REPLY;
	return drop;
}

/* A route that leads nowhere: the kernel answers if it can, else the packet is nobody's. */
static __always_inline enum gw_counter
no_way(const struct packet *pkt, const struct gw_session *session, long found)
{
	return to_kernel(pkt, session) ? route_failure(found) : GW_DROP_NO_ROUTE;
}

/* Which device the route of this session's packets has to lead to: of GW_DEV_INSIDE, _OUTSIDE. */
static __always_inline __u32
right_side(const struct gw_session *session, enum gw_direction direction)
{
	bool hairpin = session->flags & GW_SESSION_HAIRPIN;

	return session_outbound(session, direction) && !hairpin ? GW_DEV_OUTSIDE : GW_DEV_INSIDE;
}

static __always_inline bool
write_macs(struct xdp_md *ctx, const struct bpf_fib_lookup *fib)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(eth->h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib->smac, ETH_ALEN);
	return true;
}

/* Its own stack frame: with the one of a session's opening it would be too large for 6.1. */
static __noinline enum gw_counter
session_send(struct xdp_md *ctx, const struct packet *pkt, struct gw_session *session,
	     enum gw_direction direction, struct outcome *out)
{
	struct bpf_fib_lookup fib = {};
	struct gw_device *egress;
	struct translation t;
	enum gw_counter verdict;
	long found;

	if (!session)
		return GW_DROP_RACE;
	if (pkt->ttl <= 1)
		return answer(ctx, pkt, session, GW_PUNT_TTL, GW_DROP_TTL, 0);
	translation_of(session, direction, &t);
	found = route_find(ctx, &fib, pkt, t.to.daddr, pkt->ip_length);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		out->mtu = fib.mtu_result;
		if (pkt->dont_fragment)
			return answer(ctx, pkt, session, GW_PUNT_TOO_BIG, GW_DROP_TOO_BIG,
				      out->mtu);
		found = route_find(ctx, &fib, pkt, t.to.daddr, 0);
	}
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return no_way(pkt, session, found);
	egress = device(fib.ifindex);
	/* A session to the Internet whose route has moved elsewhere is not translated there. */
	if (!egress || !(egress->flags & right_side(session, direction)))
		return to_kernel(pkt, session) ? GW_PUNT_NOT_NAT : GW_DROP_NO_ROUTE;
	verdict = GW_PUNT_NO_NEIGHBOUR;
	if (out->mtu)
		verdict = GW_PUNT_CUT;
	else if (found == BPF_FIB_LKUP_RET_SUCCESS)
		verdict = egress_port(&fib, egress, out->now, &out->row);
	if (!rewrite(ctx, pkt->key.protocol, &t))
		return GW_DROP_TRUNCATED;
	session_touch(session, pkt, direction, out->nat, out->now);
	out->ifindex = fib.ifindex;
	if (verdict == GW_FORWARD && !write_macs(ctx, &fib))
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

static __always_inline enum gw_counter
nat44(struct xdp_md *ctx, struct packet *pkt, const struct gw_device *port, struct outcome *out)
{
	struct gw_session *session;
	enum gw_counter verdict;
	__s64 opened;
	__u32 ref;

	out->nat = settings();
	if (!out->nat || !out->nat->enabled || !(port->flags & (GW_DEV_INSIDE | GW_DEV_OUTSIDE)))
		return GW_PUNT_KERNEL_MODE;
	verdict = packet_parse(ctx, port, pkt);
	if (verdict != PARSED)
		return verdict;
	pkt->key.side = port->flags & GW_DEV_OUTSIDE ? GW_SIDE_OUTSIDE : GW_SIDE_INSIDE;
	out->now = bpf_ktime_get_coarse_ns();
	session = session_find(pkt, out->nat, out->now, &ref);
	if (!session) {
		opened = nat44_open(ctx, pkt, out);
		if (opened < 0)
			return refused(opened);
		ref = opened;
		session = session_record(ref & REF_INDEX);
		if (!session)
			return GW_DROP_RACE;
	}
	return session_send(ctx, pkt, session,
			    ref & REF_REVERSE ? GW_REVERSE_DIRECTION : GW_FORWARD_DIRECTION, out);
}
#endif
