/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hash tables of the mirror's own: items of one size, each beginning with a link that is the
 * table's and its key. Items never move, so pointers and indices are good until table_remove().
 *
 * The hash is of the key's first `hashed` bytes; items that agree in those are one chain in the
 * order in which the caller puts them. It is seeded, since strangers choose addresses.
 */
#ifndef GW_MIRROR_TABLE_H
#define GW_MIRROR_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct table {
	uint8_t **blocks;
	uint32_t *heads; /* 1 + index */
	uint32_t item_size, key_size, hashed;
	uint32_t buckets; /* a power of two, or 0 */
	uint32_t fresh; /* items from here on were never used */
	uint32_t used;
	uint32_t vacant; /* 1 + index of what was removed last */
	uint32_t seed;
};

void table_open(struct table *table, uint32_t item_size, uint32_t key_size, uint32_t hashed);
void table_close(struct table *table);

void *table_find(const struct table *table, const void *key);
/* The first item of those that agree in the hashed part; the next one. */
void *table_first(const struct table *table, const void *key);
void *table_next(const struct table *table, const void *item);

/* Zeroed but for its key; behind `after`, which agrees in the hashed part, or NULL: before all.
 * NULL: no memory. */
void *table_add(struct table *table, const void *key, void *after);
void table_remove(struct table *table, void *item);

void *table_at(const struct table *table, uint32_t index);
uint32_t table_index(const struct table *table, const void *item);
/* The next item from *index on, which becomes the one behind it; that item may be removed. */
void *table_walk(const struct table *table, uint32_t *index);

#endif
