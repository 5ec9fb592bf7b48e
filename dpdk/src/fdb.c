/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fdb.h"

#include <errno.h>

#include <rte_malloc.h>

#include "error.h"
#include "hash.h"
#include "interface.h"

struct rte_hash *gw_fdb;
struct gw_fdb_entry *gw_fdb_entries;
uint32_t gw_fdb_left_out;

int
gw_fdb_create(uint32_t entries)
{
	int result = gw_hash_create(&gw_fdb, "bridge FDB", entries, sizeof(struct gw_fdb_key));
	int32_t places;

	if (result)
		return result;
	// Positions go beyond the number of entries: rte_hash keeps some keys for each lcore.
	places = rte_hash_max_key_id(gw_fdb);
	// Zeroed entries would say port 0.
	gw_fdb_entries = rte_malloc("gw_fdb_entries", (places + 1) * sizeof(*gw_fdb_entries), 0);
	if (!gw_fdb_entries) {
		gw_fdb_destroy();
		return gw_fail(ENOMEM, "no memory for %u FDB entries", entries);
	}
	for (int32_t i = 0; i <= places; i++)
		gw_fdb_entries[i] = (struct gw_fdb_entry){GW_NO_PORT, GW_FDB_KERNEL, 0};
	return 0;
}

void
gw_fdb_destroy(void)
{
	rte_hash_free(gw_fdb);
	rte_free(gw_fdb_entries);
	gw_fdb = NULL;
	gw_fdb_entries = NULL;
}

uint64_t
gw_fdb_bytes(uint32_t entries)
{
	return gw_hash_bytes(entries, sizeof(struct gw_fdb_key)) +
	       (uint64_t)entries * sizeof(struct gw_fdb_entry);
}

int
gw_fdb_set(const struct gw_fdb_key *key, uint16_t port, uint16_t flags)
{
	union gw_fdb_place place = {.port = port, .flags = flags};
	int32_t index = rte_hash_lookup(gw_fdb, key);
	bool known = index >= 0;

	// A reader may find the key before its entry is written: that says "the kernel's" then, see
	// gw_fdb_create and gw_fdb_delete.
	if (!known)
		index = rte_hash_add_key(gw_fdb, key);
	if (index < 0)
		return gw_fail(ENOSPC, "no room for another FDB entry");
	if (!known)
		gw_fdb_entries[index].seen = 0;
	__atomic_store_n((uint32_t *)&gw_fdb_entries[index], place.word, __ATOMIC_RELEASE);
	return 0;
}

int
gw_fdb_delete(const struct gw_fdb_key *key)
{
	static const union gw_fdb_place nowhere = {.port = GW_NO_PORT, .flags = GW_FDB_KERNEL};
	int32_t index = rte_hash_del_key(gw_fdb, key);

	if (index < 0)
		return -ENOENT;
	// So that whoever gets the place next begins with frames to the kernel.
	__atomic_store_n((uint32_t *)&gw_fdb_entries[index], nowhere.word, __ATOMIC_RELEASE);
	return 0;
}
