// SPDX-License-Identifier: GPL-2.0-or-later
/* What the FDBs of VXLAN devices say: where stations are, and to whom is flooded. */
#include <string.h>
#include "mirror.h"

/* ---- where something leads to ------------------------------------------------------------- */

struct remote *
target_remote(const struct gw_mirror *mirror, __u32 target)
{
	const struct group *group;

	if (!target)
		return NULL;
	if (!(target & TARGET_GROUP))
		return table_at(&mirror->remotes, target - 1);
	group = target_group(mirror, target);
	return group && group->count == 1 ? table_at(&mirror->remotes, group->members[0] - 1) :
					    NULL;
}

__u32
target_tunnel(const struct gw_mirror *mirror, __u32 target)
{
	const struct remote *remote = target_remote(mirror, target);

	return remote ? remote->tunnel : 0;
}

/* What nothing leads to goes. */
static void
target_settle(struct gw_mirror *mirror, __u32 target)
{
	if (target & TARGET_GROUP)
		group_settle(mirror, target_group(mirror, target));
	else if (target)
		remote_settle(mirror, table_at(&mirror->remotes, target - 1));
}

static void
target_count(struct gw_mirror *mirror, __u32 target, int change)
{
	if (target & TARGET_GROUP)
		target_group(mirror, target)->references += change;
	else if (target)
		target_remote(mirror, target)->entries += change;
}

/* ---- entries ------------------------------------------------------------------------------ */

static void
update_station(struct gw_mirror *mirror, const struct entry_key *key)
{
	struct segment *segment = segment_by_vni(mirror, key->ifindex, key->vni);
	struct gw_fdb_key at = {};
	struct station *station;

	if (!segment)
		return;
	at.bridge = segment->is.bridge;
	at.vlan = segment->is.vlan;
	memcpy(at.mac, key->mac, sizeof(at.mac));
	station = table_find(&mirror->stations, &at);
	if (station && station->port == key->ifindex)
		station_update(mirror, station);
}

/* Leads elsewhere from now on. The old target goes last: XDP may be on its way there. */
static void
entry_turn(struct gw_mirror *mirror, struct entry *entry, __u32 target)
{
	__u32 before = entry->target;
	struct entry_key key = entry->key;

	if (before == target)
		return;
	target_count(mirror, target, 1);
	target_count(mirror, before, -1);
	entry->target = target;
	update_station(mirror, &key);
	target_settle(mirror, before);
}

void
entry_seen(struct gw_mirror *mirror, const struct entry_key *key, __u32 target, bool ages)
{
	struct entry *entry = table_find(&mirror->entries, key);
	bool fresh = !entry || entry->stamp.gone;

	if (!entry)
		entry = table_add(&mirror->entries, key);
	if (!entry) {
		mirror->what.refused++;
	} else if (mirror_news(mirror, &entry->stamp)) {
		entry->ages = ages;
		entry_turn(mirror, entry, target);
		/* Until now it was reached by flooding, perhaps. */
		if (fresh && !target)
			update_station(mirror, key);
	}
	target_settle(mirror, target);
}

void
entry_drop(struct gw_mirror *mirror, struct entry *entry)
{
	struct entry_key key = entry->key;
	__u32 before = entry->target;

	target_count(mirror, before, -1);
	table_remove(&mirror->entries, entry);
	update_station(mirror, &key);
	target_settle(mirror, before);
}

void
entry_gone(struct gw_mirror *mirror, const struct entry_key *key)
{
	struct entry *entry = table_find(&mirror->entries, key);

	if (!entry && mirror_remembers(mirror))
		entry = table_add(&mirror->entries, key);
	if (!entry)
		return;
	switch (mirror_gone(mirror, &entry->stamp)) {
	case GONE_LATER:
		mirror->dump.deleted++;
		entry_turn(mirror, entry, 0);
		update_station(mirror, key);
		break;
	case GONE_NOW:
		entry_drop(mirror, entry);
		break;
	case GONE_NOT:
		break;
	}
}

/* ---- members of flood sets, and of multicast entries -------------------------------------- */

struct entry_key
flood_key(const struct segment *segment)
{
	return (struct entry_key){.ifindex = segment->is.ifindex, .vni = segment_key(segment)};
}

static void
flood_changed(struct gw_mirror *mirror, const struct entry_key *key)
{
	struct segment *segment = segment_by_vni(mirror, key->ifindex, key->vni);

	if (segment && is_zero_mac(key->mac))
		segment->flood_dirty = 1;
}

/* To nowhere with 0. */
static void
member_turn(struct gw_mirror *mirror, struct member *member, __u32 target)
{
	__u32 before = member->remote;

	if (before == target)
		return;
	if (target)
		target_remote(mirror, target)->members++;
	if (before)
		target_remote(mirror, before)->members--;
	member->remote = target;
	flood_changed(mirror, &member->key.entry);
	target_settle(mirror, before);
}

void
member_seen(struct gw_mirror *mirror, const struct member_key *key)
{
	const struct remote_key to = {key->entry.ifindex, key->entry.vni, key->place};
	__u32 target = remote_get(mirror, &to);
	struct member *member = table_find(&mirror->members, key);

	if (!member)
		member = table_add(&mirror->members, key);
	if (!member)
		mirror->what.refused++;
	else if (mirror_news(mirror, &member->stamp))
		member_turn(mirror, member, target);
	target_settle(mirror, target);
}

void
member_drop(struct gw_mirror *mirror, struct member *member)
{
	flood_changed(mirror, &member->key.entry);
	member_turn(mirror, member, 0);
	table_remove(&mirror->members, member);
}

void
member_gone(struct gw_mirror *mirror, const struct member_key *key)
{
	struct member *member = table_find(&mirror->members, key);

	if (!member && mirror_remembers(mirror))
		member = table_add(&mirror->members, key);
	if (!member)
		return;
	switch (mirror_gone(mirror, &member->stamp)) {
	case GONE_LATER:
		mirror->dump.deleted++;
		member_turn(mirror, member, 0);
		break;
	case GONE_NOW:
		member_drop(mirror, member);
		break;
	case GONE_NOT:
		break;
	}
}

/* ---- flood sets --------------------------------------------------------------------------- */

static struct gw_flood_key
map_key(const struct segment *segment)
{
	return (struct gw_flood_key){.ifindex = segment->is.ifindex, .vlan = segment->is.vlan};
}

void
flood_delete(struct gw_mirror *mirror, const struct segment *segment)
{
	const struct gw_flood_key key = map_key(segment);

	map_delete(mirror, mirror->flood_map, &key);
}

/* False: there is none, or a member that only the kernel can reach. */
static bool
flood_collect(struct gw_mirror *mirror, const struct segment *segment, struct gw_flood *flood)
{
	const struct entry_key key = flood_key(segment);
	const struct member_key first = {.entry = key};
	struct member *member = table_first(&mirror->members, &first);
	bool whole = true;

	for (; member; member = table_next(&mirror->members, member)) {
		__u32 tunnel = target_tunnel(mirror, member->remote);

		if (member->stamp.gone)
			continue;
		if (!tunnel)
			whole = false;
		else if (flood->count < GW_FLOOD_TUNNELS)
			flood->tunnels[flood->count] = tunnel;
		flood->count++;
	}
	return whole && flood->count;
}

void
flood_write(struct gw_mirror *mirror, struct segment *segment)
{
	const struct gw_flood_key key = map_key(segment);
	struct gw_flood flood = {};
	bool whole = flood_collect(mirror, segment, &flood);
	__u32 only = whole && flood.count == 1 ? flood.tunnels[0] : 0;

	if (flood.count > GW_FLOOD_TUNNELS)
		memset(flood.tunnels, 0, sizeof(flood.tunnels));
	if (whole)
		segment->flood_written = !map_update(mirror, mirror->flood_map, &key, &flood);
	else if (segment->flood_written)
		segment->flood_written = map_delete(mirror, mirror->flood_map, &key) != 0;
	if (segment->only != only)
		segment->stale = 1;
	segment->only = only;
	segment->flood_dirty = 0;
}

static bool
flood_known(const struct gw_mirror *mirror, const void *key)
{
	const struct gw_flood_key *flood = key;
	const struct segment *segment = segment_by_vlan(mirror, flood->ifindex, flood->vlan);

	return segment && segment->flood_written;
}

void
floods_disown(struct gw_mirror *mirror)
{
	map_disown(mirror, mirror->flood_map, flood_known);
}
