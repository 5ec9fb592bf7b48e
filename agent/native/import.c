// SPDX-License-Identifier: GPL-2.0-or-later
/* Sessions into maps, and what is judged before: see gw_native.h. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gw_abi.h"
#include "gw_native.h"

enum {
	FRAME = 64, /* the program looks at no frame, but the kernel wants one */
	SLOTS = 4096, /* of gw_mappings read at a time */
	RESULTS = GW_SAVED_GONE + 1,
	NS = 1000000000,
};

static int
import_batch(const struct gw_importer *to, const struct gw_saved *records, __u32 count,
	     struct gw_saved *results)
{
	struct gw_batch batch = {.count = count};
	__u32 keys[GW_BATCH_MAX], zero = 0, done = count, following, size = FRAME, action;
	char frame[FRAME] = {};
	int result;

	for (__u32 i = 0; i < count; i++)
		keys[i] = i;
	result = bpf_map_update_batch(to->records, keys, records, &done, NULL);
	if (!result)
		result = bpf_map_update_elem(to->batch, &zero, &batch, BPF_ANY);
	if (!result)
		result = gw_test_run(to->program, frame, &size, FRAME, 0, &action);
	if (!result && action == 0)
		result = -EFAULT;
	if (result)
		return result;
	done = count;
	result = bpf_map_lookup_batch(to->records, NULL, &following, keys, results, &done, NULL);
	return result == -ENOENT ? 0 : result;
}

int
gw_import(const struct gw_importer *to, const struct gw_saved *records, __u32 count, __u32 *tally)
{
	struct gw_saved *results = calloc(GW_BATCH_MAX, sizeof(*results));
	int result = results ? 0 : -ENOMEM;

	for (__u32 start = 0; start < count && !result; start += GW_BATCH_MAX) {
		__u32 some = count - start < GW_BATCH_MAX ? count - start : GW_BATCH_MAX;

		result = import_batch(to, records + start, some, results);
		for (__u32 i = 0; i < some && !result; i++)
			if (results[i].result < RESULTS)
				tally[results[i].result]++;
	}
	free(results);
	return result;
}

int
gw_saved_elapse(struct gw_saved *records, __u32 count, __u64 passed)
{
	__u32 kept = 0;

	for (__u32 i = 0; i < count; i++) {
		struct gw_saved *saved = &records[i];

		if (saved->left <= passed)
			continue;
		saved->left -= passed;
		saved->age += passed / NS;
		saved->result = GW_SAVED_NEW;
		records[kept++] = *saved;
	}
	return kept;
}

/* ---- ports that rest ---------------------------------------------------------------------- */

struct slots {
	__u32 keys[SLOTS];
	char values[];
};

/* Where a slot of theirs is with us, or GW_NO_SLOT. */
static __u32
slot_here(const struct gw_resting *rest, __u32 slot)
{
	__u32 place = slot / GW_SLOTS_PER_ADDRESS;

	if (place >= GW_POOL_MAX || rest->places[place] < 0)
		return GW_NO_SLOT;
	return rest->places[place] * GW_SLOTS_PER_ADDRESS + slot % GW_SLOTS_PER_ADDRESS;
}

static int
rest_one(const struct gw_resting *rest, __u32 slot, const char *value)
{
	struct gw_mapping mapping = {};
	__u32 users, here;

	memcpy(&users, value + rest->users, sizeof(users));
	memcpy(&mapping.released, value + rest->released, sizeof(mapping.released));
	here = slot_here(rest, slot);
	if (users || !mapping.released || mapping.released < rest->since || here == GW_NO_SLOT)
		return 0;
	return bpf_map_update_elem(rest->ours, &here, &mapping, BPF_ANY);
}

int
gw_carry_rest(const struct gw_resting *rest)
{
	struct slots *slots = malloc(sizeof(*slots) + (size_t)SLOTS * rest->value_size);
	__u32 following, count;
	void *previous = NULL;
	int result = 0, end;

	if (!slots)
		return -ENOMEM;
	do {
		count = SLOTS;
		end = bpf_map_lookup_batch(rest->theirs, previous, &following, slots->keys,
					   slots->values, &count, NULL);
		if (end && end != -ENOENT)
			result = end;
		for (__u32 i = 0; i < count && !result; i++)
			result = rest_one(rest, slots->keys[i],
					  slots->values + (size_t)i * rest->value_size);
		previous = &following;
	} while (!result && !end);
	free(slots);
	return result;
}

/* ---- pins --------------------------------------------------------------------------------- */

int
gw_exchange(const char *one, const char *other)
{
	return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) ? -errno : 0;
}
