/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a translated packet's destination to its verdict: by which port it leaves, or who sends it. */
#ifndef GW_DELIVERY_H
#define GW_DELIVERY_H
#include "route.h"
#include "session.h"

/* What to do with the frame, and where to. */
struct outcome {
	const struct gw_settings *nat;
	__u64 now; /* CLOCK_MONOTONIC ns */
	enum gw_counter verdict;
	__u32 ifindex; /* handing over: the L3 device to send it from */
	__u16 mtu; /* handing over: its MTU, when the packet has to be cut */
	__u16 flow; /* handing over: 1 + index of the fragmented packet that it begins */
	__u16 row; /* forwarding: the port's row in gw_tx */
	__u16 tunnel; /* forwarding: 1 + index of the tunnel instead, 0: none */
	bool answered; /* dropped, and the frame is now an ICMP error that says so */
};

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

/* Is the packet on its way with this verdict, once it is translated? */
static __always_inline bool
on_its_way(enum gw_counter verdict)
{
	return verdict == GW_FORWARD ||
	       (verdict >= GW_PUNT_NO_NEIGHBOUR && verdict <= GW_PUNT_REPLAY);
}

/*
 * The way to `target`, which has to lead to a device of `side`. Returns a verdict that is
 * on_its_way(), GW_PUNT_TOO_BIG for what may not be cut, with its MTU in `out`, GW_PUNT_NOT_NAT for
 * the wrong side, or route_failure().
 */
static __always_inline enum gw_counter
way_out(struct xdp_md *ctx, const struct packet *pkt, __u32 target, __u32 side,
	struct bpf_fib_lookup *fib, struct outcome *out)
{
	long found = route_find(ctx, fib, pkt, target, pkt->ip_length);
	struct gw_device *egress;

	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		out->mtu = fib->mtu_result;
		if (pkt->dont_fragment)
			return GW_PUNT_TOO_BIG;
		found = route_find(ctx, fib, pkt, target, 0);
	}
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return route_failure(found);
	egress = device(fib->ifindex);
	/* A session to the Internet whose route has moved elsewhere is not translated there. */
	if (!egress || !(egress->flags & side))
		return GW_PUNT_NOT_NAT;
	out->ifindex = fib->ifindex;
	if (out->mtu)
		return GW_PUNT_CUT;
	if (found != BPF_FIB_LKUP_RET_SUCCESS)
		return GW_PUNT_NO_NEIGHBOUR;
	return egress_port(fib, egress, out->now, &out->row, &out->tunnel);
}
#endif
