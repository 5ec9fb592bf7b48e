/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows from the routes of a prefix. */
#include <string.h>

#include "node.h"

enum { NESTED_MAX = 16 };

static const uint8_t lengths[FAMILIES] = {32, 128};

/* Prefixes of the table local that are more than one address: what other tables have inside them is
 * in the kernel's trie or behind it, depending on its past. */
static struct prefix nested[FAMILIES][NESTED_MAX];
static uint32_t nested_count[FAMILIES];

static bool
is_inside(const struct prefix *inner, const struct prefix *outer)
{
	uint32_t bytes = outer->length / 8, bits = outer->length % 8;

	if (inner->length <= outer->length || memcmp(inner->address, outer->address, bytes))
		return false;
	return !bits ||
	       !((inner->address[bytes] ^ outer->address[bytes]) & (uint8_t)(0xff00 >> bits));
}

static bool
is_nested(enum family family, const struct prefix *prefix)
{
	for (uint32_t i = 0; i < nested_count[family] && i < NESTED_MAX; i++)
		if (is_inside(prefix, &nested[family][i]))
			return true;
	return false;
}

bool
nests(enum family family, const struct node *node, const struct prefix *prefix)
{
	return node->rank == RANK_LOCAL && prefix->length < lengths[family];
}

// Anew, for there are few; everything inside may have another answer now.
void
nested_collect(enum family family)
{
	struct table *table = &mirror.routes[family];
	uint32_t count = 0;
	void *item;

	for (uint32_t i = 0; (item = table_walk(table, &i));) {
		const struct prefix *prefix = prefix_of(item);
		const struct node *node = node_of(family, item);

		if (!nests(family, node, prefix) || node->stamp.flags & STAMP_GONE)
			continue;
		if (count < NESTED_MAX)
			memcpy(&nested[family][count], prefix, node_key_sizes[family]);
		count++;
	}
	nested_count[family] = count;
	family_punting(family, PUNTING_NESTED, count > NESTED_MAX);
	install_all_later(family);
}

// Of the routes of one prefix, what the first that works says. -1: none does.
static int
first_answer(enum family family, const struct prefix *prefix, const struct node **which)
{
	const struct table *table = &mirror.routes[family];
	const struct node *best = NULL;
	void *item = table_first(table, prefix);

	for (; item; item = table_next(table, item)) {
		const struct node *node = node_of(family, item);
		const struct path *path = path_at(node->path);

		if (node->stamp.flags & STAMP_GONE)
			continue;
		if (node->flags & (NODE_AMBIGUOUS | NODE_SPECIAL)) {
			*which = node;
			return GW_NEXTHOP_POLICY;
		}
		if (path->nexthop == GW_NEXTHOP_NONE)
			continue;
		if (!best)
			best = node;
		// Of IPv6 routes alike in all but the way the kernel takes one by rules of its own.
		else if (family == FAMILY6 && best->rank == node->rank &&
			 best->metric == node->metric && best->path != node->path)
			return GW_NEXTHOP_POLICY;
	}
	*which = best;
	return best ? path_at(best->path)->nexthop : -1;
}

int
routes_answer(enum family family, const struct prefix *prefix)
{
	const struct node *node = NULL;
	int answer = first_answer(family, prefix, &node);

	if (answer < 0 || !node || node->rank == RANK_LOCAL)
		return answer;
	// Asked only when the table main has nothing at all: not by the longest match of both.
	if (node->rank == RANK_DEFAULT && prefix->length)
		return GW_NEXTHOP_POLICY;
	return nested_count[family] && is_nested(family, prefix) ? GW_NEXTHOP_POLICY : answer;
}

const struct prefix *
routes_walk(enum family family, uint32_t *index)
{
	void *item = table_walk(&mirror.routes[family], index);

	return item ? prefix_of(item) : NULL;
}
