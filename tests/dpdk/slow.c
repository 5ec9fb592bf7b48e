/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loaded into gw-worker before DPDK: a single lookup takes so long that whatever changes while a
 * burst is on its way through the graph does so between two of its nodes, sooner or later.
 */
#include <rte_cycles.h>
#include <rte_hash.h>

enum { TAKES_US = 20 };

int32_t
rte_hash_lookup(const struct rte_hash *hash, const void *key)
{
	rte_delay_us_block(TAKES_US);
	return rte_hash_lookup_with_hash(hash, key, rte_hash_hash(hash, key));
}
