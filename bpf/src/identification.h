/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IPv4 identification of what leaves under a shared address (RFC 6864 section 5.3.1, RFC 7857
 * section 9). Two inside hosts may use the same one toward the same destination, where fragments
 * of the two would be put together. An atomic packet (DF, no fragment) keeps its own: nobody may
 * look at that.
 */
#ifndef GW_IDENTIFICATION_H
#define GW_IDENTIFICATION_H
#include "packet.h"

enum { COUNTERS = 1024 };

/* Written by XDP: what was used last, by a hash of addresses and protocol as Linux does it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u32);
} gw_identifications SEC(".maps");

static __always_inline bool
is_atomic(const struct packet *pkt)
{
	return pkt->dont_fragment && !pkt->fragment;
}

/* The next one for this pair of addresses, in network byte order. */
__noinline int
next_identification(__u32 saddr, __u32 daddr, __u32 protocol)
{
	struct gw_settings *nat = settings();
	__u32 *last, place, start;
	__u64 hash;

	if (!nat)
		return 0;
	hash = ((__u64)saddr << 32 | daddr) ^ nat->seed;
	hash = (hash ^ protocol) * 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 32;
	place = hash & (COUNTERS - 1);
	/* Each pair has its own beginning, which nobody outside knows. */
	start = hash >> 48;
	last = bpf_map_lookup_elem(&gw_identifications, &place);
	if (!last)
		return 0;
	return bpf_htons((__u16)(start + __sync_fetch_and_add(last, 1)));
}
#endif
