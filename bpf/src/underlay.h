/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to a VTEP. The kernel's FIB is asked as if the host sent the packet: that is what the
 * loopback device stands for, whose `forwarding` the agent switches on for this. An answer holds
 * for one tick of the coarse clock, like a session's (memo.h), for all frames to that VTEP.
 */
#ifndef GW_UNDERLAY_H
#define GW_UNDERLAY_H
#include "counters.h"
#include "packet.h"

enum {
	LOOPBACK_IFINDEX = 1, /* in every network namespace */
	UNDERLAY_INET = 2,
	UNDERLAY_INET6 = 10,
	UNDERLAY_SMALL = 68, /* no MTU is less: only to be told which it is */
	WAYS = 256,
};

struct way {
	__u64 now; /* the tick of the answer */
	__u32 tunnel; /* index */
	__u32 generation; /* that the tunnel had */
	__u32 ifindex; /* of the port that leads there */
	__u16 mtu; /* of the route */
	__u16 row; /* of the port */
	__u8 macs[2 * ETH_ALEN]; /* as they begin the frame */
	__u32 pad;
};

/* What VXLAN and bridging have made of a frame. Their functions are global ones, which the verifier
 * looks at once and by themselves: so no pointer is in here, and what was in it before is forgotten
 * with each call. */
struct passage {
	__u64 now; /* CLOCK_MONOTONIC ns */
	__u32 ifindex; /* to be cut: the port to send from; for the gateway: the bridge it came to */
	__u16 mtu; /* to be cut: for this much */
	__u16 row; /* bridged or encapsulated: the port's row in gw_tx */
	__u16 tunnel; /* decapsulated: 1 + index of the tunnel back, 0: there is none */
	__u16 outer; /* decapsulated: bytes of the headers that were taken off */
	__u8 tos; /* decapsulated: of the outer packet */
	__u8 encapsulated; /* 1: it is */
	__u8 pad[2];
};

/* Written by XDP: the ways asked for last, in slot index % WAYS. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WAYS);
	__type(key, __u32);
	__type(value, struct way);
} gw_ways SEC(".maps");

static __always_inline struct gw_tunnel *
tunnel_at(__u32 index)
{
	struct gw_tunnel *tunnel = bpf_map_lookup_elem(&gw_tunnels, &index);

	return tunnel && tunnel->ifindex ? tunnel : 0;
}

/* The question about a tunnel's packets; `fib` is cleared. */
static __always_inline void
way_question(const struct gw_tunnel *tunnel, __u16 source_port, struct bpf_fib_lookup *fib)
{
	fib->l4_protocol = IPPROTO_UDP;
	fib->sport = source_port;
	fib->dport = tunnel->port;
	fib->tot_len = UNDERLAY_SMALL;
	fib->ifindex = LOOPBACK_IFINDEX;
	if (tunnel->flags & GW_TUNNEL_IPV6) {
		fib->family = UNDERLAY_INET6;
		fib->flowinfo = tunnel->label;
		__builtin_memcpy(fib->ipv6_src, tunnel->local.bytes, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, tunnel->remote.bytes, sizeof(fib->ipv6_dst));
	} else {
		fib->family = UNDERLAY_INET;
		fib->tos = tunnel->tos;
		__builtin_memcpy(&fib->ipv4_src, tunnel->local.bytes, sizeof(fib->ipv4_src));
		__builtin_memcpy(&fib->ipv4_dst, tunnel->remote.bytes, sizeof(fib->ipv4_dst));
	}
}

/* Fills `way`; 0 when XDP can send there. */
__noinline int
way_ask(struct xdp_md *ctx, const struct gw_tunnel *tunnel, __u16 source_port, struct way *way)
{
	struct bpf_fib_lookup fib = {};
	struct gw_device *egress;
	__u32 mtu = 0;

	if (!tunnel || !way)
		return -1;
	way->now = 0;
	way_question(tunnel, source_port, &fib);
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return -1;
	egress = device(fib.ifindex);
	if (!egress || !(egress->flags & GW_DEV_UNDERLAY) || !(egress->flags & GW_DEV_PORT))
		return -1;
	/* A locked MTU of the route may be more than the device's, which refuses such a redirect
	 * without a word; the answer is in `mtu` whether this frame fits or not. */
	bpf_check_mtu(ctx, fib.ifindex, &mtu, 0, 0);
	way->ifindex = fib.ifindex;
	way->mtu = mtu && mtu < fib.mtu_result ? mtu : fib.mtu_result;
	way->row = egress->row;
	__builtin_memcpy(way->macs, fib.dmac, ETH_ALEN);
	__builtin_memcpy(way->macs + ETH_ALEN, fib.smac, ETH_ALEN);
	return 0;
}

/* The way to tunnel number `index`, or 0. */
static __always_inline struct way *
way_to(struct xdp_md *ctx, const struct gw_settings *nat, const struct gw_tunnel *tunnel,
       __u32 index, __u16 source_port, __u64 now)
{
	__u32 slot = index % WAYS;
	struct way *way = bpf_map_lookup_elem(&gw_ways, &slot);

	if (!way)
		return 0;
	if (way->now == now && way->tunnel == index && way->generation == tunnel->generation)
		return way;
	if (way_ask(ctx, tunnel, source_port, way))
		return 0;
	if (!(nat->vxlan & GW_VXLAN_ANY_PATH))
		way->now = now;
	way->tunnel = index;
	way->generation = tunnel->generation;
	return way;
}
#endif
