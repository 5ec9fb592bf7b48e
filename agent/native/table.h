/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table of items of one size in one piece of memory. An item begins with `next`, which is
 * the table's, and the key follows; the rest is the caller's. Items keep their index for as long
 * as they live, but not their place: a pointer is valid until the next table_add().
 *
 * The hash is keyed, so that nobody who chooses MAC addresses can choose where they end up. It may
 * be of the first part of the key only; then table_first() and table_next() go through all items
 * that agree in that part.
 */
#ifndef TABLE_H
#define TABLE_H
#include <stdbool.h>
#include <linux/types.h>

struct table {
	char *items;
	__u32 *heads; /* 1 + index of the first item of each chain */
	__u64 seed[2];
	__u32 item_size;
	__u32 key_size;
	__u32 hash_size; /* the part of the key that the hash is of */
	__u32 max; /* items */
	__u32 capacity; /* a power of two, or 0 */
	__u32 fresh; /* items from here on were never used */
	__u32 used;
	__u32 free_first; /* 1 + index; what was removed first is used again first */
	__u32 free_last;
};

int table_init(struct table *table, __u32 item_size, __u32 key_size, __u32 hash_size, __u32 max);
void table_free(struct table *table);
void *table_find(const struct table *table, const void *key);
/* Zeros after the key. NULL: the table is full, or there is no memory. */
void *table_add(struct table *table, const void *key);
void table_remove(struct table *table, void *item);
void *table_first(const struct table *table, const void *key);
void *table_next(const struct table *table, const void *item);
/* NULL: nothing is there. */
void *table_at(const struct table *table, __u32 index);
__u32 table_index(const struct table *table, const void *item);
/* The next item from *index on, which becomes the one after it; the item may be removed. */
void *table_walk(const struct table *table, __u32 *index);
/* Makes it smaller if a quarter would do, and says so: indices change then. */
bool table_trim(struct table *table);
#endif
