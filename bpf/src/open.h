/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slow path: the first packet of a session. Decides whether there may be one, takes what it
 * needs in a fixed order (host's share, mapping, permit, record, keys) and gives all of it back
 * in reverse when a later step fails.
 */
#ifndef GW_OPEN_H
#define GW_OPEN_H
#include "session.h"

/* An opened session's reference, or a verdict: kept apart by the sign. */
static __always_inline __s64
refuse(enum gw_counter verdict)
{
	return -1 - (__s64)verdict;
}

static __always_inline enum gw_counter
refused(__s64 opened)
{
	return (enum gw_counter)(-1 - opened);
}

/* A session to be: what the record will say, and what is already held for it. */
struct opening {
	struct gw_session session;
	const struct gw_settings *nat;
	__u64 now;
	__u32 row;
};

static __always_inline void
session_deltas(struct gw_session *session)
{
	__u32 addresses = csum_delta_addresses(&session->arrives, &session->leaves);
	__u32 ports = csum_delta_ports(&session->arrives, &session->leaves);

	session->l3_delta = csum_fold(addresses);
	/* ICMP has no pseudo header, and of the two ports only one is in the packet. */
	session->l4_delta =
		csum_fold(session->protocol == IPPROTO_ICMP ? ports : addresses + ports);
}

/* Writes the record and lets both directions lead to it; live only once they do, so that no sweep
 * ends a session that is half open. Refused is what a live session cannot be told from: two forwards
 * that lead to one inside endpoint, called from the same remote port, would be one flow to it. */
static __always_inline __s64
session_insert(struct opening *open)
{
	__u32 index = record_allocate(open->nat);
	struct gw_session *record;
	enum inserted result;
	struct place place;

	if (index == GW_NO_SLOT)
		return refuse(GW_DROP_TABLE_FULL);
	record = session_record(index);
	if (!record)
		return refuse(GW_DROP_TABLE_FULL);
	open->session.claim = (record->claim & ~GW_CLAIM_MASK) | GW_CLAIM_BUSY;
	*record = open->session;
	session_place(&open->session, GW_FORWARD_DIRECTION, open->nat, &place);
	result = index_insert(&place, index);
	if (result != INSERTED)
		goto undo_record;
	if (!session_calls_itself(&open->session)) {
		session_place(&open->session, GW_REVERSE_DIRECTION, open->nat, &place);
		result = index_insert(&place, index | REF_REVERSE);
	}
	if (result == INSERTED) {
		__sync_val_compare_and_swap(&record->claim, open->session.claim,
					    open->session.claim - GW_CLAIM_BUSY + GW_CLAIM_LIVE);
		return index;
	}
	session_place(&open->session, GW_FORWARD_DIRECTION, open->nat, &place);
	index_delete(&place, index);
undo_record:
	record->claim = (open->session.claim & ~GW_CLAIM_MASK) + GW_CLAIM_GENERATION;
	bpf_map_push_elem(&gw_free, &index, 0);
	return refuse(result == INSERT_FULL ? GW_DROP_TABLE_FULL : GW_DROP_RACE);
}

/* Takes the permit and the record. What was held before stays held when this refuses. */
static __always_inline __s64
session_enter(struct opening *open)
{
	struct gw_session *session = &open->session;
	enum gw_counter verdict;
	__s64 opened;

	session_deltas(session);
	/* Only what an inside host sends permits answers: a remote must not prolong its own permit by
	 * opening sessions. */
	if (session->slot != GW_NO_SLOT &&
	    !(session->flags & (GW_SESSION_HAIRPIN | GW_SESSION_INBOUND))) {
		verdict = permit_acquire(session->slot, session_remote(session).address);
		if (verdict != PARSED)
			return refuse(verdict);
		session->flags |= GW_SESSION_PERMIT;
	}
	opened = session_insert(open);
	if (opened >= 0)
		count(open->row, GW_NAT_NEW_SESSION);
	return opened;
}

static __noinline __s64
session_open(struct opening *open)
{
	struct gw_session *session = &open->session;
	__s64 opened;

	session->created = seconds(open->now);
	session->tcp_state = session->protocol == IPPROTO_TCP ? GW_TCP_OPENING : GW_TCP_NONE;
	session->deadline = open->now + open->nat->timeouts[timer_class(session) & (GW_TIMERS - 1)];
	opened = session_enter(open);
	if (opened >= 0 && open->nat->log & GW_LOG_SESSIONS)
		log_session(session, GW_LOG_SESSION_OPENED);
	return opened;
}

enum static_found {
	STATIC_NONE,
	STATIC_FOUND,
	STATIC_HOST, /* the gateway's own */
};

/* Which of the backends takes a session: the same for the same two endpoints, whenever they ask. */
static __always_inline const struct gw_backend *
static_backend(const struct gw_static *fixed, const struct gw_tuple *tuple)
{
	__u32 spread = (bpf_ntohl(tuple->saddr) ^ bpf_ntohs(tuple->sport)) * 0x9e3779b1;

	spread ^= spread >> 15;
	spread *= 0x85ebca6b;
#pragma unroll
	for (__u32 i = 0; i < GW_BACKENDS_MAX - 1; i++)
		if (i + 1 >= fixed->count || spread >> 16 <= fixed->backends[i].share)
			return &fixed->backends[i];
	return &fixed->backends[GW_BACKENDS_MAX - 1];
}

/* The static mapping of an inside or outside endpoint: where it leads to, for this packet. */
__noinline int
static_find(const struct gw_endpoint *from, bool outwards, const struct gw_tuple *tuple,
	    struct gw_endpoint *to)
{
	struct gw_static_key key = {.length = GW_STATIC_PORT};
	const struct gw_backend *backend;
	struct gw_static *fixed;

	if (!from || !tuple || !to)
		return STATIC_NONE;
	key.address = from->address;
	key.protocol = from->protocol;
	key.port = from->port;
	fixed = outwards ? bpf_map_lookup_elem(&gw_static_out, &key) :
			   bpf_map_lookup_elem(&gw_static_in, &key);
	if (!fixed)
		return STATIC_NONE;
	if (fixed->flags & GW_STATIC_HOST)
		return STATIC_HOST;
	backend = static_backend(fixed, tuple);
	to->address = backend->address;
	to->port = bpf_htons(bpf_ntohs(from->port) + backend->shift);
	return STATIC_FOUND;
}
#endif
