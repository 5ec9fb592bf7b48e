/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a packet's tuple to its session's record, and from an inside endpoint to its mapping. A
 * table of our own in an array map, because a BPF hash costs a call, a keyed hash over bytes and
 * three cache lines for each lookup and 88 bytes for each key; this one costs one line and 8
 * bytes. A bucket is one line of seven entries; a key may stand in either of two buckets, chosen
 * by how full they are, so that both hardly ever overflow (then the session is refused). An entry
 * holds 32 bits of the hash; whether it is the right one, the record says.
 *
 * Entries are taken and given back by compare-and-swap and read without a lock. Only inserting
 * locks, and only the key's first bucket: two cores that open the same flow come to the same lock.
 */
#ifndef GW_INDEX_H
#define GW_INDEX_H
#include <stdbool.h>
#include "counters.h"

enum {
	TAG_FREE = 0,
	TAG_TAKEN = 1, /* an entry that is being written */
	TAG_REAL = 2, /* set in every tag that stands for a key */
	LOCK_TRIES = 256,
	FIRST_BUCKET_ENOUGH = 3, /* entries of the first bucket before the second is considered */
	REF_REVERSE = 0x80000000, /* direction bit of a reference */
	REF_INDEX = 0x7fffffff,
	REF_NONE = 0xffffffff,
};

static __always_inline enum gw_direction
ref_direction(__u32 ref)
{
	return ref & REF_REVERSE ? GW_REVERSE_DIRECTION : GW_FORWARD_DIRECTION;
}

/* The two buckets a key may stand in, and what marks it there. */
struct place {
	__u32 first;
	__u32 second;
	__u32 tag;
};

static __always_inline void
place_from(__u64 hash, __u32 mask, struct place *place)
{
	place->tag = hash >> 32 | TAG_REAL;
	place->first = hash & mask;
	/* The lowest bit differs: a key with one bucket only would soon find it full. */
	place->second = (place->first ^ (place->tag * 0x5bd1e995U | 1)) & mask;
}

/*
 * A multiplication carries a bit of the key only upwards. So what differs most stands lowest, the
 * ports and, in host order, the last byte of an address, and the shifts bring the well-mixed upper
 * half down to where the bucket is read from.
 */
static __always_inline void
place_of(const struct gw_session_key *key, const struct gw_settings *nat, struct place *place)
{
	__u64 addresses = __builtin_bswap64((__u64)key->tuple.saddr << 32 | key->tuple.daddr);
	__u64 rest = (__u64)key->protocol << 40 | (__u64)key->side << 32 |
		     (__u32)key->tuple.dport << 16 | key->tuple.sport;
	__u64 hash = (addresses ^ nat->seed) * 0x9e3779b97f4a7c15ULL;

	hash ^= hash >> 32;
	hash = (hash ^ rest) * 0xbf58476d1ce4e5b9ULL;
	hash ^= hash >> 29;
	place_from(hash, nat->bucket_mask, place);
}

/* Of an inside endpoint in gw_endpoints. */
static __always_inline void
endpoint_place(const struct gw_endpoint *inside, const struct gw_settings *nat, struct place *place)
{
	__u64 hash = (__u64)inside->protocol << 48 | (__u64)inside->address << 16 | inside->port;

	hash = (hash ^ nat->seed) * 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 32;
	hash *= 0xbf58476d1ce4e5b9ULL;
	hash ^= hash >> 29;
	place_from(hash, nat->endpoint_mask, place);
}

static __always_inline struct gw_bucket *
bucket(void *table, __u32 number)
{
	return bpf_map_lookup_elem(table, &number);
}

static __always_inline __u32
bucket_find(const struct gw_bucket *b, __u32 tag)
{
#pragma unroll
	for (int i = 0; i < GW_BUCKET_ENTRIES; i++)
		if (b->tags[i] == tag)
			return b->refs[i];
	return REF_NONE;
}

/* The reference that the tag leads to, or REF_NONE. The caller compares what it refers to. */
static __always_inline __u32
index_find(void *table, const struct place *place)
{
	struct gw_bucket *b = bucket(table, place->first);
	__u32 ref = b ? bucket_find(b, place->tag) : REF_NONE;

	if (ref != REF_NONE)
		return ref;
	b = bucket(table, place->second);
	return b ? bucket_find(b, place->tag) : REF_NONE;
}

static __always_inline __u32 *
bucket_entry(struct gw_bucket *b, __u32 tag)
{
#pragma unroll
	for (int i = 0; i < GW_BUCKET_ENTRIES; i++)
		if (b->tags[i] == tag)
			return &b->refs[i];
	return 0;
}

/* Where the reference stands, or 0. */
static __always_inline __u32 *
index_entry(void *table, const struct place *place)
{
	struct gw_bucket *b = bucket(table, place->first);
	__u32 *entry = b ? bucket_entry(b, place->tag) : 0;

	if (entry)
		return entry;
	b = bucket(table, place->second);
	return b ? bucket_entry(b, place->tag) : 0;
}

/* Inserting is rarer than finding, and unrolled it would need more stack than there is. */
static __always_inline bool
bucket_has(const struct gw_bucket *b, __u32 tag)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < GW_BUCKET_ENTRIES; i++)
		if (b->tags[i] == tag)
			return true;
	return false;
}

static __always_inline __u32
bucket_load(const struct gw_bucket *b)
{
	__u32 load = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < GW_BUCKET_ENTRIES; i++)
		load += b->tags[i] != TAG_FREE;
	return load;
}

static __always_inline bool
bucket_insert(struct gw_bucket *b, __u32 tag, __u32 ref)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < GW_BUCKET_ENTRIES; i++) {
		if (b->tags[i] != TAG_FREE ||
		    __sync_val_compare_and_swap(&b->tags[i], TAG_FREE, TAG_TAKEN) != TAG_FREE)
			continue;
		b->refs[i] = ref;
		__sync_lock_test_and_set(&b->tags[i], tag);
		return true;
	}
	return false;
}

static __always_inline bool
bucket_lock(struct gw_bucket *b)
{
	for (int i = 0; i < LOCK_TRIES; i++)
		if (__sync_val_compare_and_swap(&b->lock, 0, 1) == 0)
			return true;
	return false;
}

enum inserted {
	INSERTED,
	INSERT_EXISTS, /* the tag is there already: the same flow, opened by another core */
	INSERT_FULL,
	INSERT_BUSY,
};

/* Enters a reference under a key that is not there yet. */
static __always_inline int
table_insert(void *table, const struct place *place, __u32 ref)
{
	struct gw_bucket *first, *second;
	enum inserted result = INSERT_FULL;
	__u32 load;

	if (!place)
		return INSERT_BUSY;
	first = bucket(table, place->first);
	second = bucket(table, place->second);
	if (!first || !second || !bucket_lock(first))
		return INSERT_BUSY;
	load = bucket_load(first);
	if (bucket_has(first, place->tag) || bucket_has(second, place->tag))
		result = INSERT_EXISTS;
	else if (load > FIRST_BUCKET_ENOUGH && bucket_load(second) < load &&
		 bucket_insert(second, place->tag, ref))
		result = INSERTED;
	else if (bucket_insert(first, place->tag, ref) || bucket_insert(second, place->tag, ref))
		result = INSERTED;
	__sync_lock_test_and_set(&first->lock, 0);
	return result;
}

static __always_inline bool
bucket_delete(struct gw_bucket *b, __u32 tag, __u32 ref)
{
#pragma unroll
	for (int i = 0; i < GW_BUCKET_ENTRIES; i++)
		if (b->tags[i] == tag && b->refs[i] == ref) {
			b->tags[i] = TAG_FREE;
			return true;
		}
	return false;
}

/* Only for the one that ends what it refers to: nobody else touches its entries. */
static __always_inline int
table_delete(void *table, const struct place *place, __u32 ref)
{
	struct gw_bucket *b;

	if (!place)
		return 0;
	b = bucket(table, place->first);
	if (b && bucket_delete(b, place->tag, ref))
		return 1;
	b = bucket(table, place->second);
	return b && bucket_delete(b, place->tag, ref);
}

/* Global, like the other functions that are not static: the verifier then looks at it once and not
 * once for every way to it. */
__noinline int
index_insert(const struct place *place, __u32 ref)
{
	return table_insert(&gw_sessions, place, ref);
}

__noinline int
index_delete(const struct place *place, __u32 ref)
{
	return table_delete(&gw_sessions, place, ref);
}

__noinline int
endpoint_insert(const struct place *place, __u32 slot)
{
	return table_insert(&gw_endpoints, place, slot);
}

__noinline int
endpoint_delete(const struct place *place, __u32 slot)
{
	return table_delete(&gw_endpoints, place, slot);
}
#endif
