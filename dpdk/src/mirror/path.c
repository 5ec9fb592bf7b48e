/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of next hops, which many routes share. A path never changes; routes turn to another one. */
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "../counters.h"
#include "parts.h"

static uint32_t *idle;
static uint32_t idle_count, idle_room, groups;

uint32_t
paths_groups(void)
{
	return groups;
}

struct path *
path_at(uint32_t index)
{
	return table_at(&mirror.paths, index);
}

uint32_t
path_index(const struct path *path)
{
	return table_index(&mirror.paths, path);
}

void
path_hold(struct path *path)
{
	path->references++;
}

void
path_put(struct path *path)
{
	if (--path->references || path->idle)
		return;
	if (idle_count == idle_room) {
		uint32_t room = idle_room ? idle_room * 2 : 64;
		uint32_t *more = realloc(idle, room * sizeof(*idle));

		if (!more)
			return; // it stays, unused, until it is used and left again
		idle = more;
		idle_room = room;
	}
	path->idle = 1;
	idle[idle_count++] = path_index(path);
}

static void
put_members(const struct member *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		hop_put(table_at(&mirror.hops, members[i].hop));
}

void
paths_free_idle(void)
{
	uint32_t nexthops[512], count = 0;

	for (uint32_t i = 0; i < idle_count; i++) {
		struct path *path = path_at(idle[i]);

		path->idle = 0;
		if (path->references)
			continue;
		if (path->own) {
			nexthops[count++] = path->nexthop;
			groups--;
		} else if (path->key.count > 1) {
			mirror.crowded.groups--;
		}
		put_members(path->members, path->key.count);
		free(path->members);
		table_remove(&mirror.paths, path);
		if (count == RTE_DIM(nexthops)) {
			gw_nexthops_free(nexthops, count);
			count = 0;
		}
	}
	if (count)
		gw_nexthops_free(nexthops, count);
	idle_count = 0;
}

/* ---- from a way to a path --------------------------------------------------------------------- */

static int
by_hop(const void *one, const void *other)
{
	uint32_t a = ((const struct member *)one)->hop, b = ((const struct member *)other)->hop;

	return (a > b) - (a < b);
}

// The hops, each with a reference, sorted, none twice. -1: no memory.
static int
collect(const struct way *way, struct member *members)
{
	int count = 0, merged = 0;

	for (uint32_t i = 0; i < way->count; i++) {
		struct hop *hop = hop_get(&way->hops[i].key);

		if (!hop) {
			put_members(members, count);
			return -1;
		}
		members[count++] =
			(struct member){table_index(&mirror.hops, hop), way->hops[i].weight};
	}
	qsort(members, count, sizeof(*members), by_hop);
	for (int i = 0; i < count; i++) {
		if (merged && members[merged - 1].hop == members[i].hop) {
			members[merged - 1].weight += members[i].weight;
			hop_put(table_at(&mirror.hops, members[i].hop));
		} else {
			members[merged++] = members[i];
		}
	}
	// The weight of a lone one says nothing.
	if (merged == 1)
		members[0].weight = 1;
	return merged;
}

static struct hop *
hop_of(const struct path *path, uint32_t member)
{
	return table_at(&mirror.hops, path->members[member].hop);
}

static int
write_group(const struct path *path, uint32_t index)
{
	uint16_t indices[WAY_HOPS], weights[WAY_HOPS];

	for (uint32_t i = 0; i < path->key.count; i++) {
		indices[i] = hop_of(path, i)->nexthop;
		weights[i] = RTE_MIN(path->members[i].weight, (uint32_t)UINT16_MAX);
	}
	return gw_nexthop_set_group(index, indices, weights, path->key.count);
}

// Without one the kernel chooses.
static void
give_group(struct path *path)
{
	int index = gw_nexthop_new(GW_PUNT_NEIGHBOUR);

	path->nexthop = GW_NEXTHOP_POLICY;
	if (index < 0)
		return;
	if (write_group(path, index)) {
		gw_nexthop_free(index);
		return;
	}
	path->nexthop = index;
	path->own = 1;
	groups++;
}

static struct path *
known_path(const struct path_key *key, const struct member *members)
{
	struct path *path = table_first(&mirror.paths, key);

	for (; path; path = table_next(&mirror.paths, path))
		if (!memcmp(path->members, members, key->count * sizeof(*members)))
			return path;
	return NULL;
}

static struct path *
make_path(const struct path_key *key, const struct member *members)
{
	struct member *copy = malloc(RTE_MAX(key->count, 1) * sizeof(*copy));
	struct path *path = copy ? table_add(&mirror.paths, key, NULL) : NULL;

	if (!path) {
		free(copy);
		put_members(members, key->count);
		mirror.failed = true;
		return NULL;
	}
	memcpy(copy, members, key->count * sizeof(*copy));
	path->members = copy;
	if (!key->count)
		path->nexthop = key->fixed;
	else if (key->count == 1)
		path->nexthop = hop_of(path, 0)->nexthop;
	else
		give_group(path);
	mirror.crowded.groups += key->count > 1 && !path->own;
	return path;
}

// Members with a reference each, which the path takes or gives back.
static struct path *
path_of(uint32_t object, uint16_t fixed, bool partial, const struct member *members, uint32_t count)
{
	struct path_key key = {
		.digest = rte_jhash(members, count * sizeof(*members), 0),
		.object = object,
		.count = count,
		.fixed = count ? 0 : fixed,
		.partial = partial,
	};
	struct path *path = known_path(&key, members);

	if (path)
		put_members(members, count);
	else
		path = make_path(&key, members);
	if (path)
		path->references++;
	return path;
}

struct path *
path_get(struct way *way)
{
	struct member members[WAY_HOPS];
	int count = collect(way, members);

	if (count < 0)
		return NULL;
	return path_of(way->object, way->fixed, way->partial, members, count);
}

/* ---- comparing --------------------------------------------------------------------------------- */

static bool
has_member(const struct path *path, uint32_t hop)
{
	const struct member wanted = {.hop = hop};

	return bsearch(&wanted, path->members, path->key.count, sizeof(wanted), by_hop);
}

bool
path_within(const struct path *few, const struct path *many)
{
	if (few->key.partial || many->key.partial || !few->key.count || !many->key.count)
		return false;
	for (uint32_t i = 0; i < few->key.count; i++)
		if (!has_member(many, few->members[i].hop))
			return false;
	return true;
}

struct path *
path_without(const struct path *many, const struct path *few)
{
	struct member left[WAY_HOPS];
	uint32_t count = 0;

	for (uint32_t i = 0; i < many->key.count; i++) {
		struct hop *hop = hop_of(many, i);

		if (has_member(few, many->members[i].hop))
			continue;
		left[count++] = many->members[i];
		hop->references++;
	}
	if (count == 1)
		left[0].weight = 1;
	return path_of(many->key.object, GW_NEXTHOP_NONE, false, left, count);
}

bool
path_uses(uint32_t object)
{
	struct path *path;

	for (uint32_t i = 0; (path = table_walk(&mirror.paths, &i));)
		if (path->references && path->key.object == object)
			return true;
	return false;
}

bool
paths_may_revive(void)
{
	struct path *path;

	for (uint32_t i = 0; (path = table_walk(&mirror.paths, &i));)
		if (path->references && (path->key.partial || path->nexthop == GW_NEXTHOP_NONE))
			return true;
	return false;
}

// A group has the next hops that its members had.
static bool
misses_some(const struct path *path)
{
	const uint16_t *buckets = gw_nexthops[path->nexthop].buckets;

	for (uint32_t i = 0; i < GW_GROUP_BUCKETS; i++)
		if (buckets[i] == GW_NEXTHOP_POLICY)
			return true;
	return false;
}

bool
paths_retry(void)
{
	bool some = false;
	struct path *path;

	for (uint32_t i = 0; (path = table_walk(&mirror.paths, &i));) {
		uint16_t before = path->nexthop;

		if (path->key.count == 1)
			path->nexthop = hop_of(path, 0)->nexthop;
		else if (path->own && misses_some(path))
			write_group(path, path->nexthop);
		else if (path->key.count > 1 && !path->own)
			give_group(path);
		mirror.crowded.groups -= path->own && before == GW_NEXTHOP_POLICY;
		some |= path->nexthop != before;
	}
	return some;
}
