/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ending sessions that the agent picked, if they are still the ones it looked at. */
#ifndef GW_REMOVE_H
#define GW_REMOVE_H
#include "session.h"

/* One of gw_picks, for bpf_loop: 1 ends it. */
static long
remove_one(__u32 i, __u32 *zero)
{
	struct gw_pick *pick = bpf_map_lookup_elem(&gw_picks, &i);
	struct gw_batch *batch = bpf_map_lookup_elem(&gw_batch, zero);

	if (!pick || !batch)
		return 1;
	if (session_remove(pick->index, pick->claim)) {
		count(ROW_SWEEP, GW_NAT_CLOSED_SESSION);
		batch->done++;
	}
	return 0;
}

static __always_inline bool
remove_batch(void)
{
	__u32 zero = 0;
	struct gw_batch *batch = bpf_map_lookup_elem(&gw_batch, &zero);

	if (!batch)
		return false;
	batch->done = 0;
	bpf_loop(batch->count < GW_BATCH_MAX ? batch->count : GW_BATCH_MAX, remove_one, &zero, 0);
	return true;
}
#endif
