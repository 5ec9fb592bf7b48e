/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lives as long as somebody uses it. The count is raised from zero only by the one who
 * inserted the entry: whoever finds it at zero finds an entry that is being deleted, and treats it
 * as absent. A hash may give the element to another key in the moment between a lookup and the
 * count; the count that goes astray then costs an early or late end of one unit of a host's share,
 * never a translation.
 */
#ifndef GW_USERS_H
#define GW_USERS_H
#include "packet.h"

enum { CAS_TRIES = 8 };

/* Adds one to a count that is not zero and below `limit`; returns whether it did. */
static __always_inline bool
raise_if_used(__u32 *count, __u32 limit)
{
	for (int i = 0; i < CAS_TRIES; i++) {
		__u32 old = *(volatile __u32 *)count;

		if (old == 0 || old >= limit)
			return false;
		if (__sync_val_compare_and_swap(count, old, old + 1) == old)
			return true;
	}
	return false;
}

/* Takes one away and returns whether that was the last. */
static __always_inline bool
lower(__u32 *count)
{
	return __sync_fetch_and_add(count, -1) == 1;
}

/* One more session of an inside host: PARSED, or why not. */
static __always_inline enum gw_counter
host_acquire(__u32 address, __u32 limit)
{
	struct gw_host first = {.users = 1};
	struct gw_host *host = bpf_map_lookup_elem(&gw_hosts, &address);

	if (host && raise_if_used(&host->users, limit))
		return PARSED;
	if (host && host->users >= limit)
		return GW_DROP_HOST_LIMIT;
	if (bpf_map_update_elem(&gw_hosts, &address, &first, BPF_NOEXIST) == 0)
		return PARSED;
	/* Another core inserted it, or has not yet deleted it: once more, then give up. */
	host = bpf_map_lookup_elem(&gw_hosts, &address);
	if (!host)
		return GW_DROP_TABLE_FULL;
	return raise_if_used(&host->users, limit) ? PARSED : GW_DROP_RACE;
}

static __always_inline void
host_release(__u32 address)
{
	struct gw_host *host = bpf_map_lookup_elem(&gw_hosts, &address);

	if (host && lower(&host->users))
		bpf_map_delete_elem(&gw_hosts, &address);
}
#endif
