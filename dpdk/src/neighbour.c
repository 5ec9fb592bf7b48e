/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "neighbour.h"

#include <errno.h>
#include <stddef.h>

#include "error.h"
#include "hash.h"
#include "nexthop.h"

struct rte_hash *gw_neighbours4, *gw_neighbours6;

int
gw_neighbours_create(uint32_t entries)
{
	int result = gw_hash_create(&gw_neighbours4, "IPv4 neighbours", entries,
				    sizeof(struct gw_neighbour4_key));

	if (!result)
		result = gw_hash_create(&gw_neighbours6, "IPv6 neighbours", entries,
					sizeof(struct gw_neighbour6_key));
	return result;
}

void
gw_neighbours_destroy(void)
{
	rte_hash_free(gw_neighbours4);
	rte_hash_free(gw_neighbours6);
	gw_neighbours4 = gw_neighbours6 = NULL;
}

uint64_t
gw_neighbours_bytes(uint32_t entries)
{
	return gw_hash_bytes(entries, sizeof(struct gw_neighbour4_key)) +
	       gw_hash_bytes(entries, sizeof(struct gw_neighbour6_key));
}

static int
set(struct rte_hash *hash, const void *key, uint32_t nexthop)
{
	int result = rte_hash_add_key_data(hash, key, (void *)(uintptr_t)nexthop);

	gw_ways_changed();
	return result ? gw_fail(ENOSPC, "no room for another neighbour") : 0;
}

static int
forget(struct rte_hash *hash, const void *key)
{
	int result = rte_hash_del_key(hash, key);

	gw_ways_changed();
	return result < 0 ? -ENOENT : 0;
}

int
gw_neighbour4_set(const struct gw_neighbour4_key *key, uint32_t nexthop)
{
	return set(gw_neighbours4, key, nexthop);
}

int
gw_neighbour4_delete(const struct gw_neighbour4_key *key)
{
	return forget(gw_neighbours4, key);
}

int
gw_neighbour6_set(const struct gw_neighbour6_key *key, uint32_t nexthop)
{
	return set(gw_neighbours6, key, nexthop);
}

int
gw_neighbour6_delete(const struct gw_neighbour6_key *key)
{
	return forget(gw_neighbours6, key);
}
