/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Next hop objects (`ip nexthop`). As long as net.ipv4.nexthop_compat_mode is on, routes say
 * themselves what theirs are; which routes change with an object they never say.
 */
#include <stdlib.h>
#include <string.h>

#include "parts.h"

static void
empty(struct object *object)
{
	free(object->members);
	free(object->weights);
	object->members = NULL;
	object->weights = NULL;
	object->count = 0;
}

static bool
same(const struct object *one, const struct object *other)
{
	return one->ifindex == other->ifindex && one->family == other->family &&
	       one->connected == other->connected && one->blackhole == other->blackhole &&
	       one->encapsulates == other->encapsulates && one->dead == other->dead &&
	       one->count == other->count &&
	       !memcmp(one->address, other->address, sizeof(one->address)) &&
	       (!one->count ||
		(!memcmp(one->members, other->members, one->count * sizeof(*one->members)) &&
		 !memcmp(one->weights, other->weights, one->count * sizeof(*one->weights))));
}

static bool
is_used(uint32_t id)
{
	struct object *group;

	if (path_uses(id))
		return true;
	for (uint32_t i = 0; (group = table_walk(&mirror.objects, &i));)
		for (uint32_t j = 0; j < group->count; j++)
			if (group->members[j] == id && path_uses(group->id))
				return true;
	return false;
}

static void
routes_differ(uint32_t id)
{
	if (!dump_decoding() && is_used(id))
		dump_want_twice(WANT_ROUTES);
}

static bool
copy(struct object *object, const struct object *news)
{
	uint32_t link[2] = {object->link[0], object->link[1]};
	struct stamp stamp = object->stamp;

	empty(object);
	*object = *news;
	memcpy(object->link, link, sizeof(link));
	object->stamp = stamp;
	object->count = 0;
	object->members = malloc(RTE_MAX(news->count, 1) * sizeof(*object->members));
	object->weights = malloc(RTE_MAX(news->count, 1) * sizeof(*object->weights));
	if (!object->members || !object->weights)
		return false;
	object->count = news->count;
	memcpy(object->members, news->members, news->count * sizeof(*object->members));
	memcpy(object->weights, news->weights, news->count * sizeof(*object->weights));
	return true;
}

void
object_seen(const struct object *news)
{
	struct object *object = table_find(&mirror.objects, &news->id);
	bool fresh = !object;

	if (fresh)
		object = table_add(&mirror.objects, &news->id, NULL);
	if (!object) {
		mirror.failed = true;
		return;
	}
	if (!stamp_news(&object->stamp, STEP_OBJECTS) || (!fresh && same(object, news)))
		return;
	if (!copy(object, news))
		mirror.failed = true;
	// A route cannot lead to what was not there before, but this dump may be late.
	routes_differ(news->id);
}

void
object_gone(uint32_t id)
{
	struct object *object = table_find(&mirror.objects, &id);

	routes_differ(id);
	if (!object && dump_of(STEP_OBJECTS))
		object = table_add(&mirror.objects, &id, NULL);
	if (!object)
		return;
	empty(object);
	if (stamp_gone(&object->stamp, STEP_OBJECTS))
		table_remove(&mirror.objects, object);
}

void
objects_sweep(void)
{
	struct object *object;

	for (uint32_t i = 0; (object = table_walk(&mirror.objects, &i));) {
		if (stamp_swept(&object->stamp, STEP_OBJECTS))
			continue;
		empty(object);
		table_remove(&mirror.objects, object);
	}
}

/* ---- what routes lead to ------------------------------------------------------------------------ */

static void
add_hop(struct way *way, const struct object *object, uint16_t weight)
{
	struct way_hop *hop = &way->hops[way->count];

	if (object->dead) {
		way->partial = true;
		return;
	}
	*hop = (struct way_hop){.weight = weight};
	if (!object->encapsulates && !object->blackhole && slot_of(object->ifindex)) {
		hop->key.ifindex = object->ifindex;
		hop->key.family = object->family;
		hop->key.connected = object->connected;
		memcpy(hop->key.address, object->address, sizeof(hop->key.address));
	}
	way->count++;
}

bool
object_way(uint32_t id, struct way *way)
{
	const struct object *object = table_find(&mirror.objects, &id);

	if (!object || object->stamp.flags & STAMP_GONE || object->count > WAY_HOPS)
		return false;
	if (object->blackhole)
		way->fixed = GW_NEXTHOP_BLACKHOLE;
	if (object->blackhole)
		return true;
	if (!object->count)
		add_hop(way, object, 1);
	for (uint32_t i = 0; i < object->count; i++) {
		const struct object *member = table_find(&mirror.objects, &object->members[i]);

		if (!member || member->count)
			return false;
		add_hop(way, member, object->weights[i]);
	}
	return true;
}

void
objects_close(void)
{
	struct object *object;

	for (uint32_t i = 0; (object = table_walk(&mirror.objects, &i));)
		empty(object);
	table_close(&mirror.objects);
}
