/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments (RFC 4787 REQ-14). Only the first has ports. Once it has been translated, what became
 * of its addresses is remembered here and the others follow it without being put together.
 *
 * Of one that comes before its first, a copy is kept for a while and the frame itself goes to the
 * kernel as it came: the kernel keeps it too, and if the packet turns out to be the kernel's (the
 * gateway's own DNS answer, say) it is whole there. If the first one is translated, the copies
 * follow it: XDP cannot send them, so it hands the first one over and TC ingress sends all.
 *
 * Both tables are bounded: sets by a keyed hash of the source address, in which one source has at
 * most half of the places. A flood costs its own source its fragments, and at worst those who share
 * its set the out-of-order ones.
 */
#ifndef GW_FRAGMENT_H
#define GW_FRAGMENT_H
#include <stdbool.h>
#include "counters.h"

enum {
	FLOW_SETS = 512,
	FLOW_WAYS = 8,
	KEPT_SETS = 16,
	KEPT_WAYS = 32,
	KEPT_BYTES = 2048, /* of IPv4, a power of two: what leaves a common link */
};

/* How long a first fragment is remembered, and a copy kept (ns). */
#define FLOW_NS 10000000000ULL
#define KEPT_NS 2000000000ULL

enum place_state {
	PLACE_FREE = 0,
	PLACE_BUSY = 1, /* being written or sent */
	PLACE_FULL = 2,
};

/* What the fragments of one packet have in common (RFC 791 3.2), as they arrive. */
struct fragment_key {
	__u32 saddr;
	__u32 daddr;
	__u16 id;
	__u8 protocol;
	__u8 side; /* enum gw_side */
};

/* A packet whose first fragment was translated. */
struct fragment_flow {
	__u32 state;
	struct fragment_key key;
	__u64 deadline;
	__u32 ref; /* of the session */
	__u32 claim; /* that the session's record had */
	__u32 saddr;
	__u32 daddr;
	__u16 id;
	__u16 l3_delta;
	__u32 pad;
};

/* A copy of a fragment that came before its first. */
struct kept_fragment {
	__u32 state;
	struct fragment_key key;
	__u64 deadline;
	__u32 length; /* of the IPv4 packet */
	__u32 pad;
	__u8 bytes[KEPT_BYTES];
};

/* Written by XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_SETS *FLOW_WAYS);
	__type(key, __u32);
	__type(value, struct fragment_flow);
} gw_fragments SEC(".maps");

/* Written by XDP, emptied by TC. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEPT_SETS *KEPT_WAYS);
	__type(key, __u32);
	__type(value, struct kept_fragment);
} gw_kept SEC(".maps");

static __always_inline __u32
source_set(__u32 source, const struct gw_settings *nat, __u32 sets)
{
	__u64 hash = (source ^ nat->seed) * 0x9e3779b97f4a7c15ULL;

	return hash >> 40 & (sets - 1);
}

/* Either side has half of the sets: who floods from outside takes no room from inside. */
static __always_inline __u32
flow_set(const struct fragment_key *key, const struct gw_settings *nat)
{
	return key->side * (FLOW_SETS / 2) + source_set(key->saddr, nat, FLOW_SETS / 2);
}

static __always_inline __u32
kept_set(const struct fragment_key *key, const struct gw_settings *nat)
{
	return key->side * (KEPT_SETS / 2) + source_set(key->saddr, nat, KEPT_SETS / 2);
}

static __always_inline bool
fragment_equal(const struct fragment_key *a, const struct fragment_key *b)
{
	return a->saddr == b->saddr && a->daddr == b->daddr && a->id == b->id &&
	       a->protocol == b->protocol && a->side == b->side;
}

static __always_inline struct fragment_flow *
fragment_flow(__u32 index)
{
	return bpf_map_lookup_elem(&gw_fragments, &index);
}

static __always_inline struct kept_fragment *
kept_fragment(__u32 index)
{
	return bpf_map_lookup_elem(&gw_kept, &index);
}

static __always_inline bool
place_claim(__u32 *state, __u32 from)
{
	return __sync_val_compare_and_swap(state, from, PLACE_BUSY) == from;
}

static __always_inline void
place_release(__u32 *state, __u32 to)
{
	__sync_lock_test_and_set(state, to);
}
#endif
