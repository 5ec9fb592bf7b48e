/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Next hops that entries of VXLAN devices refer to (ip nexthop ... fdb): groups, whose members are
 * VTEPs. Of several the kernel chooses one for each flow, and sending is left to it; all of them may
 * send to us.
 */
#include <stdlib.h>
#include <string.h>

#include "parts.h"

/* ---- next hops ---------------------------------------------------------------------------------- */

static void
keep(struct fdb_nexthop *nexthop, const struct place *place, uint32_t *ids, uint32_t count)
{
	free(nexthop->ids);
	nexthop->ids = ids;
	nexthop->count = count;
	nexthop->place = *place;
	mirror.groups_dirty = true;
}

void
fdb_nexthop_seen(uint32_t id, const struct place *place, const uint32_t *ids, uint32_t count)
{
	struct fdb_nexthop *nexthop = table_find(&mirror.fdb_nexthops, &id);
	uint32_t *copy = NULL;

	if (!nexthop)
		nexthop = table_add(&mirror.fdb_nexthops, &id, NULL);
	if (!nexthop) {
		mirror.failed = true;
		return;
	}
	if (!stamp_news(&nexthop->stamp, STEP_OBJECTS))
		return;
	if (count)
		copy = malloc(count * sizeof(*copy));
	if (copy)
		memcpy(copy, ids, count * sizeof(*copy));
	mirror.failed |= count && !copy;
	keep(nexthop, place, copy, copy ? count : 0);
}

static void
drop(struct fdb_nexthop *nexthop)
{
	static const struct place nowhere;

	keep(nexthop, &nowhere, NULL, 0);
	table_remove(&mirror.fdb_nexthops, nexthop);
}

void
fdb_nexthop_gone(uint32_t id)
{
	static const struct place nowhere;
	struct fdb_nexthop *nexthop = table_find(&mirror.fdb_nexthops, &id);

	if (!nexthop && dump_of(STEP_OBJECTS))
		nexthop = table_add(&mirror.fdb_nexthops, &id, NULL);
	if (!nexthop)
		return;
	if (stamp_gone(&nexthop->stamp, STEP_OBJECTS))
		drop(nexthop);
	else
		keep(nexthop, &nowhere, NULL, 0);
}

void
fdb_nexthops_sweep(void)
{
	struct fdb_nexthop *nexthop;

	for (uint32_t i = 0; (nexthop = table_walk(&mirror.fdb_nexthops, &i));)
		if (!stamp_swept(&nexthop->stamp, STEP_OBJECTS))
			drop(nexthop);
}

/* ---- groups as a VXLAN device uses them --------------------------------------------------------- */

static void
put_members(uint32_t *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		remote_put(members[i]);
	free(members);
}

// Those before go last, so that who stays may send all the time.
static void
resolve(struct fdb_group *group)
{
	const struct fdb_nexthop *nexthop = table_find(&mirror.fdb_nexthops, &group->key.id);
	uint32_t *before = group->members, known = group->count;
	uint32_t wanted = nexthop ? nexthop->count : 0;

	group->count = 0;
	group->members = wanted ? calloc(wanted, sizeof(*group->members)) : NULL;
	for (uint32_t i = 0; group->members && i < wanted; i++) {
		const struct fdb_nexthop *member =
			table_find(&mirror.fdb_nexthops, &nexthop->ids[i]);
		uint32_t remote = member && member->place.family ?
					  remote_get(group->key.ifindex, &member->place) :
					  0;

		if (remote)
			group->members[group->count++] = remote;
	}
	put_members(before, known);
}

uint32_t
fdb_group_get(uint32_t ifindex, uint32_t id)
{
	const struct fdb_group_key key = {ifindex, id};
	struct fdb_group *group = table_find(&mirror.fdb_groups, &key);

	if (!group) {
		group = table_add(&mirror.fdb_groups, &key, NULL);
		if (!group) {
			mirror.failed = true;
			return 0;
		}
		resolve(group);
	}
	group->references++;
	return 1 + table_index(&mirror.fdb_groups, group);
}

void
fdb_group_put(uint32_t number)
{
	struct fdb_group *group = number ? table_at(&mirror.fdb_groups, number - 1) : NULL;
	uint32_t *members, count;

	if (!group || --group->references)
		return;
	members = group->members;
	count = group->count;
	table_remove(&mirror.fdb_groups, group);
	put_members(members, count);
}

uint32_t
fdb_group_remote(uint32_t number)
{
	const struct fdb_group *group = number ? table_at(&mirror.fdb_groups, number - 1) : NULL;

	return group && group->count == 1 ? group->members[0] : 0;
}

void
fdb_groups_resolve(void)
{
	struct fdb_group *group;

	mirror.groups_dirty = false;
	for (uint32_t i = 0; (group = table_walk(&mirror.fdb_groups, &i));) {
		struct segment *segment = segment_of(group->key.ifindex);

		resolve(group);
		if (segment)
			segment->stale = 1;
	}
}

void
fdb_groups_close(void)
{
	struct fdb_nexthop *nexthop;
	struct fdb_group *group;

	for (uint32_t i = 0; (group = table_walk(&mirror.fdb_groups, &i));)
		free(group->members);
	for (uint32_t i = 0; (nexthop = table_walk(&mirror.fdb_nexthops, &i));)
		free(nexthop->ids);
	table_close(&mirror.fdb_groups);
	table_close(&mirror.fdb_nexthops);
}
