/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TC's part of fragments: the first one was handed over, and those that came before it follow. */
#ifndef GW_REPLAY_H
#define GW_REPLAY_H
#include "cut.h"
#include "fragment.h"

struct replay {
	struct __sk_buff *skb;
	struct fragment_flow flow;
	__u64 now;
	__u32 ifindex;
	__u32 first; /* place in gw_kept */
	__u32 sent;
};

/* The kept packet's header as it has to leave. */
static __always_inline bool
replay_header(struct replay *replay, const struct kept_fragment *kept)
{
	struct iphdr ip;

	__builtin_memcpy(&ip, kept->bytes, sizeof(ip));
	if (ip.ttl <= 1)
		return false;
	ip.saddr = replay->flow.saddr;
	ip.daddr = replay->flow.daddr;
	ip.id = replay->flow.id;
	ip.ttl--;
	ip.check = 0;
	ip.check = csum_of(&ip, sizeof(ip));
	return bpf_skb_store_bytes(replay->skb, sizeof(struct ethhdr), &ip, sizeof(ip), 0) == 0;
}

static __always_inline bool
replay_send(struct replay *replay, struct kept_fragment *kept)
{
	__u32 length = (kept->length - 1) & (KEPT_BYTES - 1);

	barrier_var(length);
	length++;
	return !bpf_skb_change_tail(replay->skb, sizeof(struct ethhdr) + length, 0) &&
	       !bpf_skb_store_bytes(replay->skb, sizeof(struct ethhdr), kept->bytes, length, 0) &&
	       replay_header(replay, kept) && !cut_and_send(replay->skb, replay->ifindex, 0);
}

/* One place of the source's set, for bpf_loop. */
static long
replay_one(__u32 way, struct replay *replay)
{
	struct kept_fragment *kept = kept_fragment(replay->first + way);

	if (!kept)
		return 1;
	if (kept->state != PLACE_FULL || kept->deadline <= replay->now ||
	    !fragment_equal(&kept->key, &replay->flow.key) ||
	    !place_claim(&kept->state, PLACE_FULL))
		return 0;
	replay->sent += replay_send(replay, kept);
	place_release(&kept->state, PLACE_FREE);
	return 0;
}

/* Sends the frame and after it what was kept for it; returns how many of those, or -1 when the
 * frame itself could not be sent. */
static __noinline int
replay_kept(struct __sk_buff *skb, const struct gw_handover *handover)
{
	struct gw_settings *nat = settings();
	struct replay replay = {.skb = skb, .ifindex = handover->ifindex};
	struct fragment_flow *flow = fragment_flow(handover->flow - 1);

	if (!nat || !flow)
		return -1;
	replay.flow = *flow;
	barrier();
	if (flow->state != PLACE_FULL)
		return -1;
	replay.now = bpf_ktime_get_coarse_ns();
	replay.first = kept_set(&flow->key, nat) * KEPT_WAYS;
	if (cut_and_send(skb, handover->ifindex, handover->mtu))
		return -1;
	bpf_loop(KEPT_WAYS, replay_one, &replay, 0);
	return replay.sent;
}
#endif
