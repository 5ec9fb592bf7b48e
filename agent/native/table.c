// SPDX-License-Identifier: GPL-2.0-or-later
/* Hash tables: see table.h. Collisions are chained by index. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "table.h"

enum {
	CAPACITY_MIN = 64,
	UNUSED = 0x80000000U, /* in `next` of a removed item */
	WORD = sizeof(__u64),
};

static __u32 *
next_of(const struct table *table, __u32 index)
{
	return (__u32 *)(table->items + (size_t)index * table->item_size);
}

static const char *
key_of(const void *item)
{
	return (const char *)item + sizeof(__u32);
}

/* ---- SipHash-1-3 (Aumasson, Bernstein) ---------------------------------------------------- */

static __u64
rotate(__u64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void
sip_round(__u64 v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static __u32
chain_of(const struct table *table, const char *key)
{
	__u64 v[4] = {
		table->seed[0] ^ 0x736f6d6570736575ULL,
		table->seed[1] ^ 0x646f72616e646f6dULL,
		table->seed[0] ^ 0x6c7967656e657261ULL,
		table->seed[1] ^ 0x7465646279746573ULL,
	};

	for (__u32 at = 0; at < table->hash_size; at += WORD) {
		__u32 rest = table->hash_size - at;
		__u64 word = 0;

		memcpy(&word, key + at, rest < WORD ? rest : WORD);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (v[0] ^ v[1] ^ v[2] ^ v[3]) & (table->capacity - 1);
}

/* ---- memory ------------------------------------------------------------------------------- */

int
table_init(struct table *table, __u32 item_size, __u32 key_size, __u32 hash_size, __u32 max)
{
	*table = (struct table){
		.item_size = item_size,
		.key_size = key_size,
		.hash_size = hash_size,
		.max = max,
	};
	if (getrandom(table->seed, sizeof(table->seed), 0) != sizeof(table->seed))
		return -errno;
	return 0;
}

void
table_free(struct table *table)
{
	free(table->items);
	free(table->heads);
	table->items = NULL;
	table->heads = NULL;
	table->capacity = table->fresh = table->used = 0;
	table->free_first = table->free_last = 0;
}

static void
link_item(struct table *table, __u32 index)
{
	__u32 *next = next_of(table, index);
	__u32 *head = &table->heads[chain_of(table, key_of(next))];

	*next = *head;
	*head = index + 1;
}

static int
grow(struct table *table)
{
	__u32 capacity = table->capacity ? table->capacity * 2 : CAPACITY_MIN;
	__u32 *heads = calloc(capacity, sizeof(*heads));
	char *items = realloc(table->items, (size_t)capacity * table->item_size);

	if (items)
		table->items = items;
	if (!heads || !items) {
		free(heads);
		return -ENOMEM;
	}
	free(table->heads);
	table->heads = heads;
	table->capacity = capacity;
	for (__u32 i = 0; i < table->fresh; i++)
		if (!(*next_of(table, i) & UNUSED))
			link_item(table, i);
	return 0;
}

bool
table_trim(struct table *table)
{
	struct table smaller = *table;

	if (table->capacity <= CAPACITY_MIN || table->used > table->capacity / 4)
		return false;
	if (!table->used) {
		table_free(table);
		return true;
	}
	smaller.items = NULL;
	smaller.heads = NULL;
	smaller.capacity = smaller.fresh = smaller.used = 0;
	smaller.free_first = smaller.free_last = 0;
	for (__u32 i = 0; i < table->fresh; i++) {
		const char *item = (char *)next_of(table, i);
		void *copy;

		if (*next_of(table, i) & UNUSED)
			continue;
		copy = table_add(&smaller, key_of(item));
		if (!copy) {
			table_free(&smaller);
			return false;
		}
		memcpy((char *)copy + sizeof(__u32), key_of(item),
		       table->item_size - sizeof(__u32));
	}
	free(table->items);
	free(table->heads);
	*table = smaller;
	return true;
}

/* ---- items -------------------------------------------------------------------------------- */

void *
table_at(const struct table *table, __u32 index)
{
	if (index >= table->fresh || *next_of(table, index) & UNUSED)
		return NULL;
	return next_of(table, index);
}

__u32
table_index(const struct table *table, const void *item)
{
	return ((const char *)item - table->items) / table->item_size;
}

/* The first one from `next` on whose key begins so. */
static void *
follow(const struct table *table, __u32 next, const void *key, __u32 size)
{
	while (next) {
		__u32 *item = next_of(table, next - 1);

		if (!memcmp(key_of(item), key, size))
			return item;
		next = *item;
	}
	return NULL;
}

void *
table_find(const struct table *table, const void *key)
{
	if (!table->used)
		return NULL;
	return follow(table, table->heads[chain_of(table, key)], key, table->key_size);
}

void *
table_first(const struct table *table, const void *key)
{
	if (!table->used)
		return NULL;
	return follow(table, table->heads[chain_of(table, key)], key, table->hash_size);
}

void *
table_next(const struct table *table, const void *item)
{
	return follow(table, *(const __u32 *)item, key_of(item), table->hash_size);
}

/* Index of an item that is free, or UNUSED. What was never used comes first. */
static __u32
take(struct table *table)
{
	__u32 index;

	if (table->fresh < table->capacity && table->fresh < table->max)
		return table->fresh++;
	if (!table->free_first)
		return UNUSED;
	index = table->free_first - 1;
	table->free_first = *next_of(table, index) & ~UNUSED;
	if (!table->free_first)
		table->free_last = 0;
	return index;
}

void *
table_add(struct table *table, const void *key)
{
	__u32 index;
	char *item;

	if (table->used >= table->max)
		return NULL;
	if (table->used == table->capacity && grow(table))
		return NULL;
	index = take(table);
	if (index == UNUSED)
		return NULL;
	item = (char *)next_of(table, index);
	memset(item, 0, table->item_size);
	memcpy(item + sizeof(__u32), key, table->key_size);
	link_item(table, index);
	table->used++;
	return item;
}

void
table_remove(struct table *table, void *item)
{
	__u32 index = table_index(table, item);
	__u32 *at = &table->heads[chain_of(table, key_of(item))];

	while (*at != index + 1)
		at = next_of(table, *at - 1);
	*at = *(__u32 *)item;
	*(__u32 *)item = UNUSED;
	if (table->free_last)
		*next_of(table, table->free_last - 1) = UNUSED | (index + 1);
	else
		table->free_first = index + 1;
	table->free_last = index + 1;
	table->used--;
}

void *
table_walk(const struct table *table, __u32 *index)
{
	while (*index < table->fresh) {
		void *item = table_at(table, (*index)++);

		if (item)
			return item;
	}
	return NULL;
}
