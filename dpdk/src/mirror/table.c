/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>
#include <rte_random.h>

enum {
	BLOCK_BITS = 10, /* items that are allocated at once */
	BLOCK = 1 << BLOCK_BITS,
	BUCKETS_MIN = 64,
	VACANT = 1u << 31, /* in the link of an item that is none */
};

/* What every item begins with. */
struct item {
	uint32_t next; /* 1 + index */
	uint32_t own; /* 1 + its own index */
	uint8_t key[];
};

static struct item *
item_at(const struct table *table, uint32_t index)
{
	return (struct item *)(table->blocks[index >> BLOCK_BITS] +
			       (size_t)(index & (BLOCK - 1)) * table->item_size);
}

static uint32_t
bucket_of(const struct table *table, const void *key)
{
	return rte_jhash(key, table->hashed, table->seed) & (table->buckets - 1);
}

void
table_open(struct table *table, uint32_t item_size, uint32_t key_size, uint32_t hashed)
{
	*table = (struct table){
		.item_size = item_size,
		.key_size = key_size,
		.hashed = hashed,
		.seed = rte_rand(),
	};
}

void
table_close(struct table *table)
{
	uint32_t blocks = (table->fresh + BLOCK - 1) >> BLOCK_BITS;

	for (uint32_t i = 0; i < blocks; i++)
		free(table->blocks[i]);
	free(table->blocks);
	free(table->heads);
	table->blocks = NULL;
	table->heads = NULL;
	table->buckets = table->fresh = table->used = table->vacant = 0;
}

// Each chain becomes two, whose items keep their order.
static void
split(struct table *table, uint32_t *heads, uint32_t bucket)
{
	uint32_t *tails[2] = {&heads[bucket], &heads[bucket + table->buckets / 2]};
	uint32_t next = table->heads[bucket];

	while (next) {
		struct item *item = item_at(table, next - 1);
		uint32_t **tail = &tails[bucket_of(table, item->key) != bucket];

		**tail = next;
		next = item->next;
		item->next = 0;
		*tail = &item->next;
	}
}

static bool
grow(struct table *table)
{
	uint32_t before = table->buckets;
	uint32_t *heads = calloc(before ? before * 2 : BUCKETS_MIN, sizeof(*heads));

	if (!heads)
		return false;
	table->buckets = before ? before * 2 : BUCKETS_MIN;
	for (uint32_t i = 0; i < before; i++)
		split(table, heads, i);
	free(table->heads);
	table->heads = heads;
	return true;
}

// The block for the next items that were never used.
static bool
extend(struct table *table)
{
	uint32_t count = table->fresh >> BLOCK_BITS;
	uint8_t **blocks = realloc(table->blocks, (count + 1) * sizeof(*blocks));

	if (!blocks)
		return false;
	table->blocks = blocks;
	blocks[count] = malloc((size_t)BLOCK * table->item_size);
	return blocks[count] != NULL;
}

static struct item *
take(struct table *table)
{
	struct item *item;

	if (table->vacant) {
		item = item_at(table, table->vacant - 1);
		table->vacant = item->next & ~VACANT;
		return item;
	}
	if (!(table->fresh & (BLOCK - 1)) && !extend(table))
		return NULL;
	item = item_at(table, table->fresh);
	item->own = ++table->fresh;
	return item;
}

void *
table_add(struct table *table, const void *key, void *after)
{
	struct item *item;
	uint32_t *link, own;

	if (table->used >= table->buckets && !grow(table))
		return NULL;
	item = take(table);
	if (!item)
		return NULL;
	own = item->own;
	memset(item, 0, table->item_size);
	memcpy(item->key, key, table->key_size);
	item->own = own;
	link = after ? &((struct item *)after)->next : &table->heads[bucket_of(table, key)];
	item->next = *link;
	*link = own;
	table->used++;
	return item;
}

void
table_remove(struct table *table, void *removed)
{
	struct item *item = removed;
	uint32_t *link = &table->heads[bucket_of(table, item->key)];

	while (*link != item->own)
		link = &item_at(table, *link - 1)->next;
	*link = item->next;
	item->next = VACANT | table->vacant;
	table->vacant = item->own;
	table->used--;
}

// The first item from `next` on whose key begins so.
static void *
follow(const struct table *table, uint32_t next, const void *key, uint32_t size)
{
	while (next) {
		struct item *item = item_at(table, next - 1);

		if (!memcmp(item->key, key, size))
			return item;
		next = item->next;
	}
	return NULL;
}

void *
table_find(const struct table *table, const void *key)
{
	if (!table->used)
		return NULL;
	return follow(table, table->heads[bucket_of(table, key)], key, table->key_size);
}

void *
table_first(const struct table *table, const void *key)
{
	if (!table->used)
		return NULL;
	return follow(table, table->heads[bucket_of(table, key)], key, table->hashed);
}

void *
table_next(const struct table *table, const void *item)
{
	const struct item *before = item;

	return follow(table, before->next, before->key, table->hashed);
}

void *
table_at(const struct table *table, uint32_t index)
{
	struct item *item;

	if (index >= table->fresh)
		return NULL;
	item = item_at(table, index);
	return item->next & VACANT ? NULL : item;
}

uint32_t
table_index(const struct table *table, const void *item)
{
	return ((const struct item *)item)->own - 1;
}

void *
table_walk(const struct table *table, uint32_t *index)
{
	while (*index < table->fresh) {
		void *item = table_at(table, (*index)++);

		if (item)
			return item;
	}
	return NULL;
}
