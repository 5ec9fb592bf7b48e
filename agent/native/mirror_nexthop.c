// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Next hops that FDB entries refer to (ip nexthop … fdb): always groups, whose members are VTEPs.
 * Of several the kernel chooses one for each flow, and XDP leaves that to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mirror.h"

/* ---- next hops ---------------------------------------------------------------------------- */

void
nexthop_seen(struct gw_mirror *mirror, __u32 id, __u8 family, const struct gw_vtep_address *address,
	     const __u32 *ids, __u32 count)
{
	struct nexthop *nexthop = table_find(&mirror->nexthops, &id);
	__u32 *copy = NULL;

	if (!nexthop)
		nexthop = table_add(&mirror->nexthops, &id);
	if (count)
		copy = malloc(count * sizeof(*copy));
	if (!nexthop || (count && !copy)) {
		mirror->what.refused++;
		free(copy);
		return;
	}
	if (!mirror_news(mirror, &nexthop->stamp)) {
		free(copy);
		return;
	}
	if (count)
		memcpy(copy, ids, count * sizeof(*copy));
	free(nexthop->ids);
	nexthop->ids = copy;
	nexthop->count = count;
	nexthop->family = family;
	nexthop->address = *address;
	mirror->nexthops_dirty = 1;
}

static void
nexthop_empty(struct gw_mirror *mirror, struct nexthop *nexthop)
{
	free(nexthop->ids);
	nexthop->ids = NULL;
	nexthop->count = 0;
	nexthop->family = 0;
	mirror->nexthops_dirty = 1;
}

void
nexthop_drop(struct gw_mirror *mirror, struct nexthop *nexthop)
{
	nexthop_empty(mirror, nexthop);
	table_remove(&mirror->nexthops, nexthop);
}

void
nexthop_gone(struct gw_mirror *mirror, __u32 id)
{
	struct nexthop *nexthop = table_find(&mirror->nexthops, &id);

	if (!nexthop && mirror_remembers(mirror))
		nexthop = table_add(&mirror->nexthops, &id);
	if (!nexthop)
		return;
	if (mirror_gone(mirror, &nexthop->stamp) == GONE_NOW)
		nexthop_drop(mirror, nexthop);
	else if (nexthop->stamp.gone)
		nexthop_empty(mirror, nexthop);
}

/* ---- groups as a VXLAN device uses them --------------------------------------------------- */

struct group *
target_group(const struct gw_mirror *mirror, __u32 target)
{
	return table_at(&mirror->groups, target & ~TARGET_GROUP);
}

static void
group_release(struct gw_mirror *mirror, __u32 *members, __u32 count)
{
	for (__u32 i = 0; i < count; i++) {
		struct remote *remote = table_at(&mirror->remotes, members[i] - 1);

		remote->groups--;
		remote_settle(mirror, remote);
	}
	free(members);
}

/* 1 + index of a member's remote, 0: it has none. */
static __u32
member_remote(struct gw_mirror *mirror, const struct group_key *key, __u32 id)
{
	const struct nexthop *nexthop = table_find(&mirror->nexthops, &id);
	struct remote_key at = {.ifindex = key->ifindex, .vni = key->vni};

	if (!nexthop || !nexthop->family)
		return 0;
	at.place.family = nexthop->family;
	at.place.address = nexthop->address;
	return remote_get(mirror, &at);
}

static void
group_resolve(struct gw_mirror *mirror, struct group *group)
{
	const struct nexthop *nexthop = table_find(&mirror->nexthops, &group->key.id);
	__u32 *before = group->members, known = group->count;
	__u32 *members = NULL, count = 0;

	if (nexthop && nexthop->count)
		members = calloc(nexthop->count, sizeof(*members));
	for (__u32 i = 0; members && i < nexthop->count; i++) {
		__u32 number = member_remote(mirror, &group->key, nexthop->ids[i]);
		struct remote *remote = number ? table_at(&mirror->remotes, number - 1) : NULL;

		if (!remote)
			continue;
		remote->groups++;
		members[count++] = number;
	}
	group->members = members;
	group->count = count;
	group_release(mirror, before, known);
}

__u32
group_get(struct gw_mirror *mirror, const struct group_key *key)
{
	struct group *group = table_find(&mirror->groups, key);

	if (!group) {
		group = table_add(&mirror->groups, key);
		if (!group) {
			mirror->what.refused++;
			return 0;
		}
		group_resolve(mirror, group);
	}
	return TARGET_GROUP | table_index(&mirror->groups, group);
}

void
group_settle(struct gw_mirror *mirror, struct group *group)
{
	if (group->references)
		return;
	group_release(mirror, group->members, group->count);
	table_remove(&mirror->groups, group);
}

void
groups_resolve(struct gw_mirror *mirror)
{
	struct group *group;

	for (__u32 i = 0; (group = table_walk(&mirror->groups, &i));) {
		struct segment *segment =
			segment_by_vni(mirror, group->key.ifindex, group->key.vni);

		group_resolve(mirror, group);
		if (segment)
			segment->stale = 1;
	}
	mirror->nexthops_dirty = 0;
}

void
groups_free(struct gw_mirror *mirror)
{
	struct nexthop *nexthop;
	struct group *group;

	for (__u32 i = 0; (group = table_walk(&mirror->groups, &i));)
		free(group->members);
	for (__u32 i = 0; (nexthop = table_walk(&mirror->nexthops, &i));)
		free(nexthop->ids);
}
