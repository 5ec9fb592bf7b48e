/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hash.h"

#include <errno.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_hash_crc.h>

#include "error.h"
#include "lcore.h"

enum { BUCKET = 8 /* entries: no hash has less */ };

int
gw_hash_create(struct rte_hash **hash, const char *name, uint32_t entries, uint32_t key_length)
{
	struct rte_hash_parameters parameters = {
		.name = name,
		.entries = RTE_MAX(entries, (uint32_t)BUCKET),
		.key_len = key_length,
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag =
			RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	// In the writer's own time: what a deletion frees is used again after a grace period.
	struct rte_hash_rcu_config rcu = {.v = gw_rcu, .mode = RTE_HASH_QSBR_MODE_DQ};

	*hash = rte_hash_create(&parameters);
	if (!*hash)
		return gw_fail(rte_errno ?: ENOMEM, "no memory for %u entries of %s", entries,
			       name);
	if (rte_hash_rcu_qsbr_add(*hash, &rcu)) {
		rte_hash_free(*hash);
		*hash = NULL;
		return gw_fail(rte_errno ?: ENOMEM, "no memory for reclaiming entries of %s", name);
	}
	return 0;
}

uint64_t
gw_hash_bytes(uint32_t entries, uint32_t key_length)
{
	// Eight entries in a bucket of a cache line and a half, twice with the extension; the key
	// with its data, a free slot in a ring, and one in the queue of what is to be reclaimed.
	uint64_t slots = rte_align32pow2(entries);

	return slots * (2 * 16 + 16 + 16) + (uint64_t)entries * RTE_ALIGN(key_length + 8, 16);
}
