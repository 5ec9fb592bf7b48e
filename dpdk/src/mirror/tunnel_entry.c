/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the FDBs of VXLAN devices say: where stations are, and to whom is flooded. */
#include <string.h>

#include "parts.h"

struct entry *
entry_find(uint32_t ifindex, const uint8_t *mac)
{
	struct entry_key key = {.ifindex = ifindex};
	struct entry *entry;

	memcpy(key.mac, mac, sizeof(key.mac));
	entry = table_find(&mirror.entries, &key);
	return entry && !(entry->stamp.flags & STAMP_GONE) ? entry : NULL;
}

uint32_t
entry_remote(const struct entry *entry)
{
	return entry->group ? fdb_group_remote(entry->group) : entry->remote;
}

uint16_t
station_tunnel(uint32_t ifindex, const uint8_t *mac)
{
	const struct entry *entry = entry_find(ifindex, mac);
	const struct segment *segment = segment_of(ifindex);

	if (!segment)
		return 0;
	// The device floods to what it has no entry for; where one is all, that is where it is.
	return entry ? remote_tunnel(entry_remote(entry)) : segment->only;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static void
station_follows(const struct entry_key *key)
{
	const struct segment *segment = segment_of(key->ifindex);
	struct station_key at = {};

	if (!segment)
		return;
	at.bridge = segment->is.bridge;
	memcpy(at.mac, key->mac, sizeof(at.mac));
	station_follow(&at, key->ifindex);
}

// Leads elsewhere from now on. The old remote goes last: frames may be on their way there.
static void
entry_turn(struct entry *entry, uint32_t remote, uint32_t group)
{
	const struct entry before = *entry;

	entry->remote = remote;
	entry->group = group;
	station_follows(&entry->key);
	remote_put(before.remote);
	fdb_group_put(before.group);
}

void
entry_seen(const struct entry_key *key, const struct place *place, uint32_t nexthop, bool ages)
{
	struct entry *entry = table_find(&mirror.entries, key);
	uint32_t remote = 0, group = 0;

	if (!entry)
		entry = table_add(&mirror.entries, key, NULL);
	if (!entry) {
		mirror.failed = true;
		return;
	}
	if (!stamp_news(&entry->stamp, STEP_STATIONS))
		return;
	entry->ages = ages;
	if (nexthop)
		group = fdb_group_get(key->ifindex, nexthop);
	else if (place->family)
		remote = remote_get(key->ifindex, place);
	entry_turn(entry, remote, group);
}

static void
entry_drop(struct entry *entry)
{
	const struct entry before = *entry;

	table_remove(&mirror.entries, entry);
	station_follows(&before.key);
	remote_put(before.remote);
	fdb_group_put(before.group);
}

void
entry_gone(const struct entry_key *key)
{
	struct entry *entry = table_find(&mirror.entries, key);

	if (!entry && dump_of(STEP_STATIONS))
		entry = table_add(&mirror.entries, key, NULL);
	if (!entry)
		return;
	if (stamp_gone(&entry->stamp, STEP_STATIONS))
		entry_drop(entry);
	else
		entry_turn(entry, 0, 0);
}

/* ---- members of flood lists, and of groups ---------------------------------------------------- */

static void
flood_follows(const struct flooded_key *key)
{
	static const uint8_t all[6];
	struct segment *segment = segment_of(key->entry.ifindex);

	if (segment && !memcmp(key->entry.mac, all, sizeof(all)))
		segment->flood_dirty = 1;
}

static void
member_turn(struct flooded *member, uint32_t remote)
{
	uint32_t before = member->remote;

	member->remote = remote;
	flood_follows(&member->key);
	remote_put(before);
}

// Behind another one of its chain, or as its beginning.
static struct flooded *
member_add(const struct flooded_key *key)
{
	struct flooded *member = table_add(&mirror.members, key, NULL);

	if (!member)
		mirror.failed = true;
	return member;
}

void
member_seen(const struct flooded_key *key)
{
	struct flooded *member = table_find(&mirror.members, key);

	if (!member)
		member = member_add(key);
	if (!member || !stamp_news(&member->stamp, STEP_STATIONS) || member->remote)
		return;
	member_turn(member, remote_get(key->entry.ifindex, &key->place));
}

static void
member_drop(struct flooded *member)
{
	const struct flooded_key key = member->key;
	uint32_t before = member->remote;

	table_remove(&mirror.members, member);
	flood_follows(&key);
	remote_put(before);
}

void
member_gone(const struct flooded_key *key)
{
	struct flooded *member = table_find(&mirror.members, key);

	if (!member && dump_of(STEP_STATIONS))
		member = member_add(key);
	if (!member)
		return;
	if (stamp_gone(&member->stamp, STEP_STATIONS))
		member_drop(member);
	else
		member_turn(member, 0);
}

/* ---- all of them ------------------------------------------------------------------------------ */

void
entries_sweep(void)
{
	struct flooded *member;
	struct entry *entry;

	for (uint32_t i = 0; (entry = table_walk(&mirror.entries, &i));)
		if (!stamp_swept(&entry->stamp, STEP_STATIONS))
			entry_drop(entry);
	for (uint32_t i = 0; (member = table_walk(&mirror.members, &i));)
		if (!stamp_swept(&member->stamp, STEP_STATIONS))
			member_drop(member);
}

void
entries_forget(uint32_t ifindex)
{
	struct flooded *member;
	struct entry *entry;

	for (uint32_t i = 0; (entry = table_walk(&mirror.entries, &i));)
		if (entry->key.ifindex == ifindex)
			entry_drop(entry);
	for (uint32_t i = 0; (member = table_walk(&mirror.members, &i));)
		if (member->key.entry.ifindex == ifindex)
			member_drop(member);
}
