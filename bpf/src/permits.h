/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which remote addresses a mapping has sent to (address-dependent filtering), each for as long as
 * a session keeps the permit. A table like gw_sessions whose references lead nowhere: the lower
 * half counts the sessions and the upper one holds more of the hash, so that 48 bits have to agree
 * before a stranger would be let in. The count is raised from zero only by inserting: who finds it
 * at zero finds a permit that is going away, and treats it as absent.
 */
#ifndef GW_PERMITS_H
#define GW_PERMITS_H
#include "index.h"
#include "users.h"

enum {
	PERMIT_USERS = 0xffff,
};

/* Returns what the upper half of the reference has to be. */
static __always_inline __u32
permit_place(const struct gw_settings *nat, __u32 slot, __u32 remote, struct place *place)
{
	__u64 hash = (bpf_ntohl(remote) ^ nat->seed) * 0x9e3779b97f4a7c15ULL;

	hash ^= hash >> 32;
	hash = (hash ^ slot) * 0xbf58476d1ce4e5b9ULL;
	hash ^= hash >> 29;
	place_from(hash, nat->endpoint_mask, place);
	return hash & ~PERMIT_USERS;
}

static __always_inline bool
permit_raise(__u32 *permit, __u32 hash)
{
	for (int i = 0; i < CAS_TRIES; i++) {
		__u32 old = *(volatile __u32 *)permit, users = old & PERMIT_USERS;

		if (old - users != hash || users == 0 || users == PERMIT_USERS)
			return false;
		if (__sync_val_compare_and_swap(permit, old, old + 1) == old)
			return true;
	}
	return false;
}

/* What is to be known of one permit. */
struct permit {
	struct place place;
	__u32 hash;
	__u32 *entry; /* 0: there is none, or somebody else's with its tag */
};

/* Looks it up; false without settings. */
static __always_inline bool
permit_find(__u32 slot, __u32 remote, struct permit *permit)
{
	struct gw_settings *nat = settings();

	if (!nat)
		return false;
	permit->hash = permit_place(nat, slot, remote, &permit->place);
	permit->entry = index_entry(&gw_permits, &permit->place);
	return true;
}

/* One more session that keeps the permit: PARSED, or why not. */
__noinline int
permit_acquire(__u32 slot, __u32 remote)
{
	struct permit permit;

	if (!permit_find(slot, remote, &permit))
		return GW_DROP_RACE;
	if (permit.entry && permit_raise(permit.entry, permit.hash))
		return PARSED;
	switch (table_insert(&gw_permits, &permit.place, permit.hash | 1)) {
	case INSERTED:
		return PARSED;
	case INSERT_FULL:
		return GW_DROP_TABLE_FULL;
	}
	/* Another core inserted it, or has not yet deleted it: once more, then give up. */
	permit.entry = index_entry(&gw_permits, &permit.place);
	return permit.entry && permit_raise(permit.entry, permit.hash) ? PARSED : GW_DROP_RACE;
}

__noinline int
permit_release(__u32 slot, __u32 remote)
{
	struct permit permit;

	if (!permit_find(slot, remote, &permit) || !permit.entry)
		return 0;
	if ((__sync_fetch_and_add(permit.entry, -1) & PERMIT_USERS) != 1)
		return 0;
	return table_delete(&gw_permits, &permit.place, permit.hash);
}

/* Is there one? */
__noinline int
permit_held(__u32 slot, __u32 remote)
{
	struct permit permit;

	return permit_find(slot, remote, &permit) && permit.entry &&
	       (*permit.entry & ~PERMIT_USERS) == permit.hash && *permit.entry & PERMIT_USERS;
}
#endif
