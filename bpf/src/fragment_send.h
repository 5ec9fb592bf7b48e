/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XDP's part of fragments: remembering first ones, keeping early ones, sending the rest. */
#ifndef GW_FRAGMENT_SEND_H
#define GW_FRAGMENT_SEND_H
#include "delivery.h"
#include "fragment.h"
#include "rewrite.h"

enum { NO_FLOW = -1 };

static __always_inline __u32
bits(__u32 set)
{
	return __builtin_popcount(set);
}

static __always_inline void
fragment_key_of(const struct packet *pkt, struct fragment_key *key)
{
	key->saddr = pkt->key.tuple.saddr;
	key->daddr = pkt->key.tuple.daddr;
	key->id = pkt->id;
	key->protocol = pkt->key.protocol;
	key->side = pkt->key.side;
}

/* Does the session still live that the first fragment belonged to? */
static __always_inline bool
flow_alive(const struct fragment_flow *flow, __u64 now)
{
	struct gw_session *session = session_record(flow->ref & REF_INDEX);

	return session && session->claim == flow->claim && now <= session->deadline;
}

/* A look for a remembered packet. */
struct flow_match {
	struct fragment_key key;
	__u32 first;
	__u64 now;
	__s32 found;
	__u32 pad;
};

/* One way of the set, for bpf_loop: 1 ends it. */
static long
flow_match(__u32 way, struct flow_match *match)
{
	struct fragment_flow *flow = fragment_flow(match->first + way);

	if (!flow || flow->state != PLACE_FULL || flow->deadline <= match->now)
		return 0;
	if (!fragment_equal(&flow->key, &match->key) || !flow_alive(flow, match->now))
		return 0;
	match->found = match->first + way;
	return 1;
}

/* The index of the remembered packet that the fragment is of, or NO_FLOW. */
__noinline int
flow_find(const struct packet *pkt, const struct gw_settings *nat, __u64 now)
{
	struct flow_match match = {.now = now, .found = NO_FLOW};

	if (!pkt || !nat)
		return NO_FLOW;
	fragment_key_of(pkt, &match.key);
	match.first = flow_set(&match.key, nat) * FLOW_WAYS;
	bpf_loop(FLOW_WAYS, flow_match, &match, 0);
	return match.found;
}

/* A look for the place of a new packet: its own from before, a free one, or the oldest; of a full
 * set a source with half of it takes its own oldest. */
struct flow_search {
	struct fragment_key key;
	__u32 first;
	__u64 now;
	__u64 deadline; /* of the oldest */
	__u64 own_deadline; /* of the source's own oldest */
	__u32 oldest;
	__u32 own_oldest;
	__u32 own; /* the ways that the source has, a bit each: the verifier would follow a count */
};

/* One way of the set, for bpf_loop: 1 ends it. */
static long
flow_look(__u32 way, struct flow_search *search)
{
	struct fragment_flow *flow = fragment_flow(search->first + way);
	__u64 ends;

	if (!flow)
		return 1;
	if (flow->state == PLACE_BUSY)
		return 0;
	if (flow->state == PLACE_FULL && fragment_equal(&flow->key, &search->key)) {
		search->own = 0;
		search->oldest = way;
		return 1;
	}
	ends = flow->state == PLACE_FREE || flow->deadline <= search->now ? 0 : flow->deadline;
	if (ends < search->deadline) {
		search->deadline = ends;
		search->oldest = way;
	}
	if (!ends || flow->key.saddr != search->key.saddr)
		return 0;
	search->own |= 1U << (way & 31);
	if (ends < search->own_deadline) {
		search->own_deadline = ends;
		search->own_oldest = way;
	}
	return 0;
}

/* Remembers what became of a first fragment; returns 1 + the index, 0 when it could not. */
__noinline int
flow_remember(const struct packet *pkt, const struct gw_settings *nat, __u64 now, __u32 ref,
	      const struct translation *t)
{
	struct flow_search search = {.now = now, .deadline = ~0ULL, .own_deadline = ~0ULL};
	struct gw_session *session = session_record(ref & REF_INDEX);
	struct fragment_flow *flow;
	__u32 index, state;

	if (!pkt || !nat || !t || !session)
		return 0;
	fragment_key_of(pkt, &search.key);
	search.first = flow_set(&search.key, nat) * FLOW_WAYS;
	bpf_loop(FLOW_WAYS, flow_look, &search, 0);
	index = search.first + search.oldest;
	if (search.deadline && bits(search.own) >= FLOW_WAYS / 2)
		index = search.first + search.own_oldest;
	flow = fragment_flow(index);
	if (!flow)
		return 0;
	state = flow->state;
	if (state == PLACE_BUSY || !place_claim(&flow->state, state))
		return 0;
	flow->key = search.key;
	flow->deadline = now + FLOW_NS;
	flow->ref = ref;
	flow->claim = session->claim;
	flow->saddr = t->to.saddr;
	flow->daddr = t->to.daddr;
	flow->id = t->id;
	flow->l3_delta = t->l3_delta;
	place_release(&flow->state, PLACE_FULL);
	return index + 1;
}

/* A look at the kept fragments of one source. */
struct kept_search {
	struct fragment_key key;
	__u64 now;
	__u32 first;
	__u32 own; /* the ways that the source has, a bit each */
	__u32 equal; /* and the same packet */
	__u32 free; /* 1 + an index that can be had */
};

static long
kept_look(__u32 way, struct kept_search *search)
{
	struct kept_fragment *kept = kept_fragment(search->first + way);

	if (!kept)
		return 1;
	if (kept->state == PLACE_FREE ||
	    (kept->state == PLACE_FULL && kept->deadline <= search->now)) {
		/* The first: kept ones are sent in this order. */
		if (!search->free)
			search->free = search->first + way + 1;
		return 0;
	}
	if (kept->key.saddr == search->key.saddr)
		search->own |= 1U << (way & 31);
	if (fragment_equal(&kept->key, &search->key))
		search->equal |= 1U << (way & 31);
	return 0;
}

static __always_inline void
kept_search(const struct packet *pkt, const struct gw_settings *nat, __u64 now,
	    struct kept_search *search)
{
	fragment_key_of(pkt, &search->key);
	search->now = now;
	search->first = kept_set(&search->key, nat) * KEPT_WAYS;
	bpf_loop(KEPT_WAYS, kept_look, search, 0);
}

/* Did fragments of this packet come before its first one? */
__noinline int
kept_waiting(const struct packet *pkt, const struct gw_settings *nat, __u64 now)
{
	struct kept_search search = {};

	if (!pkt || !nat)
		return 0;
	kept_search(pkt, nat, now, &search);
	return search.equal;
}

/* Keeps a copy; returns 1 + its index, or 0. */
__noinline int
kept_store(struct xdp_md *ctx, const struct packet *pkt, const struct gw_settings *nat, __u64 now)
{
	struct kept_search search = {};
	struct kept_fragment *kept;
	__u32 length, state;

	if (!pkt || !nat)
		return 0;
	/* At least one byte, in a way that the verifier of 6.1 understands. */
	length = (pkt->ip_length - 1) & (KEPT_BYTES - 1);
	barrier_var(length);
	length++;
	if (length != pkt->ip_length)
		return 0;
	kept_search(pkt, nat, now, &search);
	if (!search.free || bits(search.own) >= KEPT_WAYS / 2)
		return 0;
	kept = kept_fragment(search.free - 1);
	if (!kept)
		return 0;
	state = kept->state;
	if (state == PLACE_BUSY || !place_claim(&kept->state, state))
		return 0;
	kept->key = search.key;
	kept->deadline = now + KEPT_NS;
	kept->length = length;
	if (bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr), kept->bytes, length)) {
		place_release(&kept->state, PLACE_FREE);
		return 0;
	}
	place_release(&kept->state, PLACE_FULL);
	return search.free;
}

/* A fragment of an unknown packet: the kernel's, or one whose first fragment is yet to come. */
static __always_inline int
fragment_keep(struct xdp_md *ctx, const struct packet *pkt, const struct outcome *out)
{
	int kept = kept_store(ctx, pkt, out->nat, out->now), flow;
	struct kept_fragment *copy;

	count(pkt->row, kept ? GW_FRAGMENT_KEPT : GW_FRAGMENT_NOT_KEPT);
	if (!kept)
		return NO_FLOW;
	/* The first one may have come on another core meanwhile, before the copy was to be seen. */
	flow = flow_find(pkt, out->nat, out->now);
	if (flow == NO_FLOW)
		return NO_FLOW;
	copy = kept_fragment(kept - 1);
	if (!copy || !place_claim(&copy->state, PLACE_FULL))
		return NO_FLOW;
	place_release(&copy->state, PLACE_FREE);
	return flow;
}

/* Is the packet to an endpoint that may be translated? Of others from outside nothing is kept. */
static __always_inline bool
worth_keeping(const struct packet *pkt)
{
	struct gw_static_key later = {
		.length = GW_STATIC_LATER,
		.address = pkt->key.tuple.daddr,
		.protocol = pkt->key.protocol,
		.pad = GW_STATIC_LATER_PAD,
	};

	return pkt->key.side == GW_SIDE_INSIDE ||
	       bpf_map_lookup_elem(&gw_addresses, &later.address) ||
	       bpf_map_lookup_elem(&gw_static_in, &later);
}

/* A packet whose first fragment was not translated: others of its key, from before, are not its. */
__noinline int
flow_forget(const struct packet *pkt, __u64 now)
{
	struct gw_settings *nat = settings();
	struct fragment_flow *flow;
	int found;

	if (!pkt || !nat)
		return 0;
	found = flow_find(pkt, nat, now);
	if (found == NO_FLOW)
		return 0;
	flow = fragment_flow(found);
	if (!flow || !place_claim(&flow->state, PLACE_FULL))
		return 0;
	place_release(&flow->state, PLACE_FREE);
	return 1;
}

static __always_inline bool
fragment_rewrite(struct xdp_md *ctx, const struct packet *pkt, const struct fragment_flow *flow)
{
	struct gw_tuple to = {.saddr = flow->saddr, .daddr = flow->daddr};
	struct headers h;

	if (!packet_headers(ctx, 0, &h))
		return false;
	rewrite_ipv4(h.ip, &to, flow->id, ipv4_delta(pkt, flow->l3_delta, flow->id));
	return true;
}

/* From a fragment without ports to its verdict. */
static __noinline enum gw_counter
fragment_send(struct xdp_md *ctx, const struct packet *pkt, struct outcome *out)
{
	int found = flow_find(pkt, out->nat, out->now);
	struct bpf_fib_lookup fib = {};
	struct fragment_flow copy, *flow;
	struct fragment_key key;
	struct gw_session *session;
	enum gw_direction direction;
	enum gw_counter verdict;

	if (found == NO_FLOW && worth_keeping(pkt))
		found = fragment_keep(ctx, pkt, out);
	if (found == NO_FLOW)
		return GW_PUNT_FRAGMENT;
	flow = fragment_flow(found);
	if (!flow)
		return GW_PUNT_FRAGMENT;
	/* Another core may give the place to another packet while it is read. */
	copy = *flow;
	barrier();
	fragment_key_of(pkt, &key);
	if (flow->state != PLACE_FULL || !fragment_equal(&flow->key, &key))
		return GW_DROP_RACE;
	session = session_record(copy.ref & REF_INDEX);
	if (!session)
		return GW_DROP_RACE;
	if (pkt->ttl <= 1)
		return GW_DROP_TTL;
	direction = ref_direction(copy.ref);
	verdict = way_out(ctx, pkt, copy.daddr, right_side(session, direction), &fib, out);
	if (!on_its_way(verdict))
		return verdict == GW_PUNT_TOO_BIG ? GW_DROP_TOO_BIG : GW_DROP_NO_ROUTE;
	if (!fragment_rewrite(ctx, pkt, &copy))
		return GW_DROP_TRUNCATED;
	session->traffic[direction & 1].packets++;
	session->traffic[direction & 1].bytes += pkt->ip_length;
	if (verdict == GW_FORWARD && !write_macs(ctx, &fib))
		return GW_DROP_TRUNCATED;
	return verdict;
}
#endif
