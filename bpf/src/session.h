/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Session records: found, touched, opened and removed. A record is one array element; a change
 * of life goes through compare-and-swap on `claim`, so that the scan and a packet that both find
 * a session expired remove it once.
 */
#ifndef GW_SESSION_H
#define GW_SESSION_H
#include "ends.h"
#include "index.h"
#include "log.h"
#include "mapping.h"
#include "permits.h"
#include "tcp.h"

static __always_inline struct gw_session *
session_record(__u32 index)
{
	struct gw_record *record = bpf_map_lookup_elem(&gw_records, &index);

	return record ? &record->session : 0;
}

static __always_inline void
session_place(const struct gw_session *session, enum gw_direction direction,
	      const struct gw_settings *nat, struct place *place)
{
	struct gw_session_key key;

	session_key(session, direction, &key);
	place_of(&key, nat, place);
}

/* Does an inside endpoint call its own outside endpoint, as STUN clients do to try hairpinning?
 * What it sends is then also its answer, and one key leads to the session. */
static __always_inline bool
session_calls_itself(const struct gw_session *session)
{
	struct gw_tuple answer = tuple_reversed(&session->leaves);

	return session->flags & GW_SESSION_HAIRPIN && tuple_equal(&session->arrives, &answer);
}

static __always_inline void
session_unlink(const struct gw_session *session, __u32 ref, const struct gw_settings *nat)
{
	struct place place;

	session_place(session, ref & REF_REVERSE ? GW_REVERSE_DIRECTION : GW_FORWARD_DIRECTION, nat,
		      &place);
	index_delete(&place, ref);
}

/* Gives back the mapping that a hairpin session calls, and its part of the callee's share. */
static __always_inline void
peer_release(const struct gw_session *session)
{
	if (session->peer == GW_NO_SLOT)
		return;
	mapping_leave(session->peer, session->protocol, session->arrives.daddr);
	host_release(session->leaves.daddr);
}

/* Gives back what a session holds: permit, mappings, the host's share. */
static __noinline void
session_release(const struct gw_session *session)
{
	if (session->flags & GW_SESSION_PERMIT)
		permit_release(session->slot, session_remote(session).address);
	if (session->slot != GW_NO_SLOT)
		mapping_leave(session->slot, session->protocol, session_outside(session).address);
	peer_release(session);
	host_release(session_inside(session).address);
}

/* Ends the session that had this claim when it was judged, live or expired; returns 1 for the one
 * caller that did it. */
__noinline int
session_remove(__u32 index, __u32 claim)
{
	struct gw_session *session = session_record(index);
	struct gw_settings *nat = settings();

	if (!session || !nat)
		return 0;
	if ((claim & GW_CLAIM_MASK) != GW_CLAIM_LIVE)
		return 0;
	if (__sync_val_compare_and_swap(&session->claim, claim, claim + 1) != claim)
		return 0;
	session_unlink(session, index, nat);
	session_unlink(session, index | REF_REVERSE, nat);
	if (nat->log & GW_LOG_SESSIONS)
		log_session(session, GW_LOG_SESSION_CLOSED);
	session_release(session);
	/* Free again, one generation later. */
	session->claim = (claim & ~GW_CLAIM_MASK) + GW_CLAIM_GENERATION;
	bpf_map_push_elem(&gw_free, &index, 0);
	return 1;
}

/* Does a packet of this session look so when it arrives? */
static __always_inline bool
session_expects(const struct gw_session *session, const struct gw_session_key *key, bool reverse)
{
	const struct gw_tuple *t = &key->tuple;

	if (session->protocol != key->protocol)
		return false;
	if (!reverse)
		return tuple_equal(&session->arrives, t) &&
		       session_side(session, GW_FORWARD_DIRECTION) == key->side;
	return session->leaves.saddr == t->daddr && session->leaves.daddr == t->saddr &&
	       session->leaves.sport == t->dport && session->leaves.dport == t->sport &&
	       session_side(session, GW_REVERSE_DIRECTION) == key->side;
}

/* The session that the key leads to, expired or not, or 0. */
static __always_inline struct gw_session *
session_under(const struct gw_session_key *key, const struct gw_settings *nat, __u32 *ref,
	      __u32 *claim)
{
	struct gw_session *session;
	struct place place;

	place_of(key, nat, &place);
	*ref = index_find(&gw_sessions, &place);
	if (*ref == REF_NONE)
		return 0;
	session = session_record(*ref & REF_INDEX);
	if (!session)
		return 0;
	*claim = *(volatile __u32 *)&session->claim;
	if ((*claim & GW_CLAIM_MASK) != GW_CLAIM_LIVE)
		return 0;
	/* The tag is a part of the hash and the entry may just have been reused. */
	return session_expects(session, key, *ref & REF_REVERSE) ? session : 0;
}

/* The live session that the key leads to, or 0. One found expired is removed and counts as none. */
static __always_inline struct gw_session *
session_find(const struct packet *pkt, const struct gw_settings *nat, __u64 now, __u32 *ref)
{
	struct gw_session *session;
	__u32 claim;

	session = session_under(&pkt->key, nat, ref, &claim);
	if (!session)
		return 0;
	/* A request and a reply with identifier 0 have the same tuple. */
	if (pkt->key.protocol == IPPROTO_ICMP &&
	    (pkt->icmp_type == ICMP_ECHO) != !(*ref & REF_REVERSE))
		return 0;
	if (now <= session->deadline)
		return session;
	if (session_remove(*ref & REF_INDEX, claim)) {
		count(pkt->row, GW_NAT_EXPIRED_SESSION);
		count(pkt->row, GW_NAT_CLOSED_SESSION);
	}
	return 0;
}

/* Does this direction leave the inside host? Only that refreshes the timer (RFC 4787 REQ-6). */
static __always_inline bool
session_outbound(const struct gw_session *session, enum gw_direction direction)
{
	if (session->flags & GW_SESSION_HAIRPIN)
		return true;
	return !(session->flags & GW_SESSION_INBOUND) == (direction == GW_FORWARD_DIRECTION);
}

static __always_inline void
session_touch(struct gw_session *session, const struct packet *pkt, enum gw_direction direction,
	      const struct gw_settings *nat, __u64 now)
{
	bool refresh = session_outbound(session, direction);

	session->traffic[direction & 1].packets++;
	session->traffic[direction & 1].bytes += pkt->ip_length;
	if (pkt->key.protocol == IPPROTO_TCP) {
		__u8 state = tcp_next_state(session, pkt->tcp_flags, direction, refresh);

		/* A closing connection has its 4 minutes from the moment it closes. */
		if (state == GW_TCP_CLOSING)
			refresh = false;
		if (state != session->tcp_state) {
			session->tcp_state = state;
			refresh = true;
		}
	}
	if (refresh)
		session->deadline = now + nat->timeouts[timer_class(session) & (GW_TIMERS - 1)];
}

/* Is the outside endpoint, with its slot if a mapping is what it comes from, not ours any more? A
 * session would send from a foreign one until it ends, and UDP that goes on never ends. */
static __always_inline bool
outside_is_gone(const struct gw_settings *nat, const struct gw_endpoint *outside, __u32 slot)
{
	struct gw_static_key key = {
		.length = GW_STATIC_PORT,
		.address = outside->address,
		.protocol = outside->protocol,
		.port = outside->port,
	};

	if (slot != GW_NO_SLOT)
		return slot_address(nat, slot) != outside->address;
	/* An identity mapping's address is an inside one. */
	return !bpf_map_lookup_elem(&gw_addresses, &key.address) &&
	       !bpf_map_lookup_elem(&gw_static_in, &key);
}

static __always_inline bool
session_is_orphan(const struct gw_session *session, const struct gw_settings *nat)
{
	struct gw_endpoint outside = session_outside(session);
	struct gw_endpoint called = session_called(session);

	if (outside_is_gone(nat, &outside, session->slot))
		return true;
	return session->flags & GW_SESSION_HAIRPIN && outside_is_gone(nat, &called, session->peer);
}

/* How many sessions others may open to one inside host: a quarter of its share is out of their
 * reach, so that they cannot lock it out. */
static __always_inline __u32
share_of_others(const struct gw_settings *nat)
{
	return nat->host_sessions - nat->host_sessions / 4;
}

/* Is there a record to be had? Asked before an outside port is taken and would rest for nothing. */
static __always_inline bool
record_left(const struct gw_settings *nat)
{
	__u32 zero = 0, index;
	struct gw_status *status = bpf_map_lookup_elem(&gw_status, &zero);

	return status && (status->fresh < nat->sessions || !bpf_map_peek_elem(&gw_free, &index));
}

/* An unused record's index, or GW_NO_SLOT when the table is full. */
static __always_inline __u32
record_allocate(const struct gw_settings *nat)
{
	__u32 zero = 0, index;
	struct gw_status *status = bpf_map_lookup_elem(&gw_status, &zero);

	if (!status)
		return GW_NO_SLOT;
	/* Fresh ones first: while there are any, an index that was freed goes on resting. */
	if (status->fresh < nat->sessions) {
		index = __sync_fetch_and_add(&status->fresh, 1);
		if (index < nat->sessions)
			return index;
		__sync_fetch_and_add(&status->fresh, -1);
	}
	if (bpf_map_pop_elem(&gw_free, &index) == 0)
		return index;
	return GW_NO_SLOT;
}
#endif
