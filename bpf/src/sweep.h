/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Expiry: a kernel timer scans the records in slices, so that it goes on while no agent runs.
 * A slice is bounded both in records looked at and in sessions removed: under a millisecond.
 */
#ifndef GW_SWEEP_H
#define GW_SWEEP_H
#include "session.h"

enum {
	SWEEP_SLICE = 32768, /* records looked at in one go */
	SWEEP_REMOVALS = 1024, /* sessions removed in one go */
	SWEEP_IDLE_NS = 1000000000, /* between two scans of the whole table */
	SWEEP_NEXT_NS = 20000000, /* between two slices of one scan */
	SWEEP_BUSY_NS = 4000000, /* after a slice that found more to remove than it may */
	CLOCK_MONOTONIC_ID = 1,
};

struct sweep_timer {
	struct bpf_timer timer;
};

/* Written by gw_sweep_start: the timer that sweeps. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweep_timer);
} gw_timer SEC(".maps");

/* Written by whoever sweeps. In a map and not on the stack, where the verifier would follow the
 * counts through every turn of the loop. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GW_SWEEPERS);
	__type(key, __u32);
	__type(value, struct gw_sweep);
} gw_sweeps SEC(".maps");

static __always_inline bool
sweep_wants(const struct gw_sweep *sweep, const struct gw_session *session)
{
	struct gw_settings *nat;

	if (sweep->what == GW_SWEEP_ALL || sweep->now > session->deadline)
		return true;
	if (sweep->what != GW_SWEEP_ORPHANS)
		return false;
	nat = settings();
	return nat && session_is_orphan(session, nat);
}

/* One record, for bpf_loop: 1 ends the slice. */
static long
sweep_one(__u32 i, __u32 *sweeper)
{
	struct gw_sweep *sweep = bpf_map_lookup_elem(&gw_sweeps, sweeper);
	struct gw_session *session;
	__u32 index, claim;

	if (!sweep)
		return 1;
	index = sweep->from + i;
	session = session_record(index);
	if (!session)
		return 1;
	sweep->looked++;
	claim = *(volatile __u32 *)&session->claim;
	if ((claim & GW_CLAIM_MASK) != GW_CLAIM_LIVE)
		return 0;
	if (!sweep_wants(sweep, session))
		return 0;
	if (session_remove(index, claim)) {
		count(ROW_SWEEP, GW_NAT_CLOSED_SESSION);
		sweep->removed++;
	}
	return sweep->removed >= SWEEP_REMOVALS;
}

static __always_inline void
sweep_slice(__u32 sweeper, struct gw_sweep *sweep)
{
	sweep->now = bpf_ktime_get_coarse_ns();
	sweep->looked = 0;
	sweep->removed = 0;
	bpf_loop(sweep->count, sweep_one, &sweeper, 0);
}

/* Scans the next slice; returns when to come again. */
static __always_inline __u64
sweep_next(struct gw_status *status, struct gw_sweep *sweep)
{
	__u32 left = status->fresh - status->cursor;

	if (status->cursor >= status->fresh) {
		status->cursor = 0;
		status->scans++;
		return SWEEP_IDLE_NS;
	}
	sweep->from = status->cursor;
	sweep->count = left < SWEEP_SLICE ? left : SWEEP_SLICE;
	sweep->what = GW_SWEEP_EXPIRED;
	sweep_slice(GW_SWEEPER_TIMER, sweep);
	status->cursor += sweep->looked;
	status->expired += sweep->removed;
	return sweep->removed >= SWEEP_REMOVALS ? SWEEP_BUSY_NS : SWEEP_NEXT_NS;
}

static int
sweep_tick(void *map, __u32 *key, struct sweep_timer *slot)
{
	__u32 zero = 0, mine = GW_SWEEPER_TIMER;
	struct gw_status *status = bpf_map_lookup_elem(&gw_status, &zero);
	struct gw_sweep *sweep = bpf_map_lookup_elem(&gw_sweeps, &mine);

	if (status && sweep)
		bpf_timer_start(&slot->timer, sweep_next(status, sweep), 0);
	return 0;
}
#endif
