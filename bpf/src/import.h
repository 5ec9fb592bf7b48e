/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over sessions from other maps or from disk: each gets exactly what it had, by way of
 * what opens sessions, or nothing at all. The records are not trusted: what contradicts itself is
 * refused, for it may have come from a damaged file.
 *
 * Limits of a host do not apply, for its sessions were legal when they were opened; neither does a
 * port's rest, which keeps newcomers away from whom the port was given to. No session lives longer
 * than gw_settings.timeouts allow, whatever its record says.
 */
#ifndef GW_IMPORT_H
#define GW_IMPORT_H
#include "open.h"
#include "saved.h"

/* The slot of an outside endpoint, or GW_NO_SLOT: no such mapping can be. */
static __always_inline __u32
outside_slot(const struct gw_settings *nat, const struct gw_endpoint *outside)
{
	__u32 index = pool_index(nat, outside->address);

	if (index >= GW_POOL_MAX || !outside->port)
		return GW_NO_SLOT;
	return slot_of(index, outside->protocol, bpf_ntohs(outside->port));
}

static __always_inline __u64
smaller(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/* The session as it is to be, but for what it holds. */
static __always_inline void
saved_session(const struct gw_saved *saved, const struct opening *open, struct gw_session *session)
{
	__u64 timeout;

	session->protocol = saved->protocol;
	session->flags = saved->flags & ~GW_SESSION_PERMIT;
	session->tcp_state = saved->tcp_state;
	session->fins = saved->fins;
	session->arrives = saved->arrives;
	session->leaves = saved->leaves;
	session->traffic[0] = saved->traffic[0];
	session->traffic[1] = saved->traffic[1];
	session->slot = session->peer = GW_NO_SLOT;
	session->created = seconds(open->now) - saved->age;
	timeout = open->nat->timeouts[timer_class(session) & (GW_TIMERS - 1)];
	session->deadline = open->now + smaller(saved->left, timeout);
}

/* When the session's timer was last set. */
static __always_inline __s64
set_at(const struct gw_session *session, const struct gw_settings *nat)
{
	return session->deadline - nat->timeouts[timer_class(session) & (GW_TIMERS - 1)];
}

/*
 * The session lives already, for its packets came first or it was taken over before. The later
 * state of a connection knows better when it ends; of the same state the later deadline counts.
 */
static __always_inline void
session_merge(struct gw_session *live, const struct gw_session *saved,
	      const struct gw_settings *nat)
{
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (live->traffic[i].packets < saved->traffic[i].packets)
			live->traffic[i].packets = saved->traffic[i].packets;
		if (live->traffic[i].bytes < saved->traffic[i].bytes)
			live->traffic[i].bytes = saved->traffic[i].bytes;
	}
	if ((__s32)(live->created - saved->created) > 0)
		live->created = saved->created;
	/* Its endpoints have connected anew since. */
	if (saved->tcp_state == GW_TCP_CLOSING && live->tcp_state < GW_TCP_CLOSING &&
	    set_at(live, nat) > set_at(saved, nat))
		return;
	live->fins |= saved->fins;
	if (saved->tcp_state > live->tcp_state ||
	    (saved->tcp_state == live->tcp_state && saved->deadline > live->deadline))
		live->deadline = saved->deadline;
	if (saved->tcp_state > live->tcp_state)
		live->tcp_state = saved->tcp_state;
}

/* Is the session, or another one with its tuple, there already? GW_SAVED_NEW: neither. */
static __noinline enum gw_saved_result
import_into_live(const struct opening *open)
{
	const struct gw_session *saved = &open->session;
	struct gw_session_key key;
	struct gw_session *live;
	__u32 ref, claim;

	session_key(saved, GW_FORWARD_DIRECTION, &key);
	live = session_under(&key, open->nat, &ref, &claim);
	if (!live)
		return GW_SAVED_NEW;
	if (open->now > live->deadline) {
		if (session_remove(ref & REF_INDEX, claim))
			count(open->row, GW_NAT_CLOSED_SESSION);
		return GW_SAVED_NEW;
	}
	if (ref & REF_REVERSE || (live->flags & ~GW_SESSION_PERMIT) != saved->flags ||
	    !tuple_equal(&live->leaves, &saved->leaves))
		return GW_SAVED_CONFLICT;
	session_merge(live, saved, open->nat);
	return GW_SAVED_MERGED;
}

/* One more user of exactly this mapping, which is made if nobody holds it. */
static __always_inline enum gw_saved_result
mapping_claim(const struct gw_endpoint *inside, __u32 slot)
{
	struct gw_mapping *mapping = bpf_map_lookup_elem(&gw_mappings, &slot);
	struct gw_settings *nat = settings();
	__u32 address = inside->address, held;
	struct gw_host *host = bpf_map_lookup_elem(&gw_hosts, &address);
	enum inserted result;

	if (!nat || !mapping || !host)
		return GW_SAVED_CONFLICT;
	held = mapping_acquire(inside, nat);
	if (held == slot)
		return GW_SAVED_DONE;
	if (held != GW_NO_SLOT) {
		mapping_release(held, inside->protocol);
		return GW_SAVED_CONFLICT;
	}
	if (__sync_val_compare_and_swap(&mapping->users, 0, MAPPING_CLAIMED) != 0)
		return GW_SAVED_CONFLICT;
	mapping->inside_address = inside->address;
	mapping->inside_port = inside->port;
	result = mapping_publish(mapping, slot, inside, host, nat);
	if (result != INSERTED)
		return result == INSERT_FULL ? GW_SAVED_FULL : GW_SAVED_CONFLICT;
	/* What it opens from now on comes from the same address (RFC 4787 REQ-2). */
	if (!host->pool)
		host->pool = (slot >> 16) / GW_NAT_PROTOCOLS + 1;
	return GW_SAVED_DONE;
}

static __always_inline enum gw_saved_result
saved_result(enum gw_counter verdict)
{
	return verdict == GW_DROP_TABLE_FULL ? GW_SAVED_FULL : GW_SAVED_CONFLICT;
}

/* A unit of the inside host's share and, unless `slot` is GW_NO_SLOT, its mapping: both or none. */
__noinline int
inside_take(const struct gw_endpoint *inside, __u32 slot)
{
	enum gw_saved_result result;
	enum gw_counter verdict;

	if (!inside)
		return GW_SAVED_CONFLICT;
	verdict = host_acquire(inside->address, MAPPING_CLAIMED);
	if (verdict != PARSED)
		return saved_result(verdict);
	if (slot == GW_NO_SLOT)
		return GW_SAVED_DONE;
	result = mapping_claim(inside, slot);
	if (result != GW_SAVED_DONE)
		host_release(inside->address);
	return result;
}

/* All that the session holds, in the order of open.h; on failure nothing of it stays taken. */
static __noinline enum gw_saved_result
import_open(struct opening *open)
{
	struct gw_session *session = &open->session;
	__u32 slot = session->slot, peer = session->peer;
	struct gw_endpoint inside = session_inside(session);
	struct gw_endpoint callee = destination_of(&session->leaves, session->protocol);
	enum gw_saved_result result = inside_take(&inside, slot);
	__s64 opened;

	if (result != GW_SAVED_DONE)
		return result;
	session->peer = GW_NO_SLOT;
	if (peer != GW_NO_SLOT) {
		result = inside_take(&callee, peer);
		if (result == GW_SAVED_DONE)
			session->peer = peer;
	}
	if (result == GW_SAVED_DONE) {
		opened = session_enter(open);
		if (opened >= 0)
			return GW_SAVED_DONE;
		result = saved_result(refused(opened));
	}
	session_release(session);
	return result;
}

/* Where its mappings are, in the session for now; or why there cannot be such ones. */
static __noinline enum gw_saved_result
import_places(struct gw_session *session, const struct gw_settings *nat, __u32 holds)
{
	struct gw_endpoint outside = session_outside(session);
	struct gw_endpoint called = session_called(session);

	if (holds & GW_SAVED_MAPPING) {
		session->slot = outside_slot(nat, &outside);
		if (session->slot == GW_NO_SLOT)
			return GW_SAVED_GONE;
	}
	if (holds & GW_SAVED_PEER) {
		session->peer = outside_slot(nat, &called);
		if (session->peer == GW_NO_SLOT)
			return GW_SAVED_GONE;
	}
	return session_is_orphan(session, nat) ? GW_SAVED_GONE : GW_SAVED_NEW;
}

static __noinline enum gw_saved_result
import_saved(const struct gw_saved *saved)
{
	struct opening open = {
		.nat = settings(),
		.now = bpf_ktime_get_coarse_ns(),
		.row = ROW_SWEEP,
	};
	enum gw_saved_result result;

	if (!open.nat || !saved_makes_sense(saved))
		return GW_SAVED_CONFLICT;
	if (!saved->left)
		return GW_SAVED_GONE;
	saved_session(saved, &open, &open.session);
	result = import_places(&open.session, open.nat, saved->holds);
	if (result == GW_SAVED_NEW)
		result = import_into_live(&open);
	if (result == GW_SAVED_NEW)
		result = import_open(&open);
	return result;
}

/* One record, for bpf_loop: 1 ends it. */
static long
import_one(__u32 i, __u32 *zero)
{
	struct gw_saved *saved = bpf_map_lookup_elem(&gw_saved_batch, &i);
	struct gw_batch *batch = bpf_map_lookup_elem(&gw_batch, zero);

	if (!saved || !batch)
		return 1;
	saved->result = import_saved(saved);
	/* In the map: a count on the stack the verifier would follow through every turn. */
	if (saved->result == GW_SAVED_DONE)
		batch->done++;
	return 0;
}

static __always_inline bool
import_batch(void)
{
	__u32 zero = 0;
	struct gw_batch *batch = bpf_map_lookup_elem(&gw_batch, &zero);

	if (!batch)
		return false;
	batch->done = 0;
	bpf_loop(smaller(batch->count, GW_BATCH_MAX), import_one, &zero, 0);
	return true;
}
#endif
