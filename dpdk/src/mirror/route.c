/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes of the tables local, main and default, as the kernel orders them: the items of a prefix
 * stand in the order in which it looks at them. What an event means without doubt is done at once;
 * where there is doubt the kernel forwards for the prefix, and a dump tells.
 */
#include <string.h>

#include "node.h"

static uint32_t prefixes[FAMILIES];

static const enum step steps[FAMILIES] = {STEP_ROUTES4, STEP_ROUTES6};

void
routes_open(void)
{
	for (enum family family = 0; family < FAMILIES; family++) {
		uint32_t key = node_key_sizes[family];

		table_open(&mirror.routes[family], NODE_LINK + key + sizeof(struct node), key, key);
		prefixes[family] = 0;
		nested_collect(family);
	}
}

uint32_t
routes_count(enum family family)
{
	return prefixes[family];
}

/* ---- items ----------------------------------------------------------------------------------------- */

/* Those of one prefix that agree in table and metric: the kernel looks at the first that works. */
struct equals {
	void *first, *last;
	void *before; /* the item that they would stand behind, or NULL */
	uint32_t count;
};

static bool
precedes(const struct node *node, const struct route *route)
{
	if (node->rank != (uint8_t)route->rank)
		return node->rank < (uint8_t)route->rank;
	return node->metric < route->metric;
}

static struct equals
equals_of(const struct route *route)
{
	const struct table *table = &mirror.routes[route->family];
	struct equals equals = {};
	void *item = table_first(table, &route->prefix);

	for (; item; item = table_next(table, item)) {
		const struct node *node = node_of(route->family, item);

		if (precedes(node, route)) {
			equals.before = item;
		} else if (node->rank == (uint8_t)route->rank && node->metric == route->metric) {
			equals.first = equals.first ?: item;
			equals.last = item;
			equals.count++;
		}
	}
	return equals;
}

static struct node *
insert(const struct route *route, struct path *path, void *behind)
{
	enum family family = route->family;
	struct table *table = &mirror.routes[family];
	bool fresh = !table_first(table, &route->prefix);
	void *item = table_add(table, &route->prefix, behind);
	struct node *node;

	if (!item) {
		mirror.failed = true;
		path_put(path);
		return NULL;
	}
	prefixes[family] += fresh;
	node = node_of(family, item);
	node->metric = route->metric;
	node->rank = route->rank;
	node->path = path_index(path);
	node->flags = route->special ? NODE_SPECIAL : 0;
	install_later(family, &route->prefix);
	if (nests(family, node, &route->prefix))
		nested_collect(family);
	return node;
}

static void
discard(enum family family, void *item)
{
	struct table *table = &mirror.routes[family];
	const struct node node = *node_of(family, item);
	struct prefix prefix = {};

	memcpy(&prefix, prefix_of(item), node_key_sizes[family]);
	path_put(path_at(node.path));
	table_remove(table, item);
	prefixes[family] -= !table_first(table, &prefix);
	install_later(family, &prefix);
	if (nests(family, &node, &prefix))
		nested_collect(family);
}

// Takes over the caller's reference to the path.
static void
turn(const struct route *route, struct node *node, struct path *path)
{
	uint8_t flags = route->special ? NODE_SPECIAL : 0;
	struct path *before = path_at(node->path);

	if (before != path || node->flags != flags)
		install_later(route->family, &route->prefix);
	node->path = path_index(path);
	node->flags = flags;
	path_put(before);
}

static void
doubt(const struct route *route, const struct equals *equals)
{
	struct table *table = &mirror.routes[route->family];
	void *item = equals->first;

	for (uint32_t i = 0; i < equals->count; item = table_next(table, item)) {
		struct node *node = node_of(route->family, item);

		node->flags |= NODE_AMBIGUOUS;
		stamp_news(&node->stamp, steps[route->family]);
		i++;
	}
	install_later(route->family, &route->prefix);
	dump_want(WANT(steps[route->family]));
}

/* ---- events ---------------------------------------------------------------------------------------- */

// Whether the message is of the whole route that we have under another form.
static bool
supersedes(const struct route *route, const struct path *path, const struct node *node,
	   uint16_t flags)
{
	const struct path *before = path_at(node->path);

	if (node->flags & NODE_AMBIGUOUS)
		return false;
	if (flags & NLM_F_REPLACE || path == before || node->stamp.flags & STAMP_GONE)
		return true;
	// IPv6 tells of a route that grows by all its next hops; one by an object never grows.
	return route->family == FAMILY6 && !before->key.object && !path->key.object &&
	       path_within(before, path);
}

void
route_new(struct route *route, uint16_t flags)
{
	struct equals equals = equals_of(route);
	struct path *path = path_get(&route->way);
	struct node *node;

	if (!path)
		return;
	if (!equals.count) {
		node = insert(route, path, equals.before);
		if (node)
			stamp_news(&node->stamp, steps[route->family]);
		return;
	}
	node = node_of(route->family, equals.first);
	if (equals.count == 1 && supersedes(route, path, node, flags)) {
		if (node->stamp.flags & STAMP_GONE)
			install_later(route->family, &route->prefix);
		stamp_news(&node->stamp, steps[route->family]);
		turn(route, node, path);
		return;
	}
	doubt(route, &equals);
	path_put(path);
}

// What becomes of the only route of its metric.
static void
shrink(struct route *route, const struct equals *equals)
{
	struct node *node = node_of(route->family, equals->first);
	struct path *gone = path_get(&route->way), *before = path_at(node->path), *left;

	if (!gone)
		return;
	if (route->family == FAMILY4 || gone == before) {
		install_later(route->family, &route->prefix);
		if (stamp_gone(&node->stamp, steps[route->family]))
			discard(route->family, equals->first);
	} else if (path_within(gone, before) && gone->key.count < before->key.count) {
		left = path_without(before, gone);
		if (left) {
			stamp_news(&node->stamp, steps[route->family]);
			turn(route, node, left);
		}
	} else {
		doubt(route, equals);
	}
	path_put(gone);
}

void
route_deleted(struct route *route)
{
	struct equals equals = equals_of(route);

	if (equals.count > 1) {
		doubt(route, &equals);
	} else if (equals.count == 1) {
		if (!(node_of(route->family, equals.first)->stamp.flags & STAMP_GONE))
			shrink(route, &equals);
	} else if (dump_of(steps[route->family])) {
		struct path *path = path_get(&route->way);
		struct node *node = path ? insert(route, path, equals.before) : NULL;

		if (node)
			stamp_gone(&node->stamp, steps[route->family]);
	}
}

/* ---- dumps ----------------------------------------------------------------------------------------- */

void
route_dumped(struct route *route)
{
	const enum step step = steps[route->family];
	struct table *table = &mirror.routes[route->family];
	struct equals equals = equals_of(route);
	void *item = equals.first;
	struct path *path;
	struct node *node;

	for (uint32_t i = 0; i < equals.count; i++, item = table_next(table, item))
		if (node_of(route->family, item)->stamp.flags & STAMP_EVENT)
			return;
	path = path_get(&route->way);
	if (!path)
		return;
	// Equal ones come in their order: this is the first that was not named yet, or one more.
	item = equals.first;
	for (uint32_t i = 0; i < equals.count; i++, item = table_next(table, item)) {
		node = node_of(route->family, item);
		if (node->stamp.look == dump_look(step))
			continue;
		stamp_news(&node->stamp, step);
		turn(route, node, path);
		return;
	}
	node = insert(route, path, equals.last ?: equals.before);
	if (node)
		stamp_news(&node->stamp, step);
}

void
routes_sweep(enum family family)
{
	void *item;

	for (uint32_t i = 0; (item = table_walk(&mirror.routes[family], &i));) {
		struct node *node = node_of(family, item);
		bool touched = node->stamp.flags & STAMP_EVENT;

		if (!stamp_swept(&node->stamp, steps[family])) {
			discard(family, item);
		} else if (node->flags & NODE_AMBIGUOUS && !touched) {
			node->flags &= ~NODE_AMBIGUOUS;
			install_later(family, prefix_of(item));
		}
	}
	family_retry(family);
}
