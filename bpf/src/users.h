/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entries of a hash that live as long as somebody uses them. The count is raised from zero only
 * by the one who inserted the entry: whoever finds it at zero finds an entry that is being
 * deleted, and treats it as absent. A preallocated hash may give the element to another key in
 * the moment between a lookup and the count; the count that goes astray then costs an early or
 * late end of one permit or of one unit of a host's share, never a translation.
 * For the values of gw_permits and gw_hosts alike: both begin with the count.
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

/* One more user of the entry: PARSED, or why not (`full`: it has `limit` users already). */
static __always_inline enum gw_counter
users_acquire(void *map, const void *key, __u32 limit, enum gw_counter full)
{
	struct gw_host first = {.users = 1}; /* gw_users is its beginning */
	struct gw_users *entry = bpf_map_lookup_elem(map, key);

	if (entry && raise_if_used(&entry->users, limit))
		return PARSED;
	if (entry && entry->users >= limit)
		return full;
	if (bpf_map_update_elem(map, key, &first, BPF_NOEXIST) == 0)
		return PARSED;
	/* Another core inserted it, or has not yet deleted it: once more, then give up. */
	entry = bpf_map_lookup_elem(map, key);
	if (!entry)
		return GW_DROP_TABLE_FULL;
	return raise_if_used(&entry->users, limit) ? PARSED : GW_DROP_RACE;
}

static __always_inline void
users_release(void *map, const void *key)
{
	struct gw_users *entry = bpf_map_lookup_elem(map, key);

	if (entry && lower(&entry->users))
		bpf_map_delete_elem(map, key);
}
#endif
