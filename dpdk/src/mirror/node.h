/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An item of the tables of routes; for route.c and route_answer.c. */
#ifndef GW_MIRROR_NODE_H
#define GW_MIRROR_NODE_H

#include "parts.h"

enum node_flags {
	NODE_SPECIAL = 1,
	NODE_AMBIGUOUS = 2,
};

struct node {
	uint32_t metric;
	uint32_t path; /* index */
	uint8_t rank; /* enum rank */
	uint8_t flags; /* enum node_flags */
	struct stamp stamp;
};

enum { NODE_LINK = 2 * sizeof(uint32_t) }; /* table.h */

/* The key is a struct prefix with as much of its address as the family has. */
static const uint32_t node_key_sizes[FAMILIES] = {8, 20};

static inline const struct prefix *
prefix_of(const void *item)
{
	return (const struct prefix *)((const uint8_t *)item + NODE_LINK);
}

static inline struct node *
node_of(enum family family, const void *item)
{
	return (struct node *)((uint8_t *)item + NODE_LINK + node_key_sizes[family]);
}

/* Whether other tables may have routes inside this one, a local prefix. */
bool nests(enum family family, const struct node *node, const struct prefix *prefix);
/* Those have changed. */
void nested_collect(enum family family);

#endif
