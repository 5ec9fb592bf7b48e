/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rte_hash as all tables of the worker use it: one writer, readers without locks, RCU. */
#ifndef GW_HASH_H
#define GW_HASH_H

#include <rte_hash.h>

/* -ENOMEM with a sentence that says what it is for. */
int gw_hash_create(struct rte_hash **hash, const char *name, uint32_t entries, uint32_t key_length);

/* Bytes of hugepages, about. */
uint64_t gw_hash_bytes(uint32_t entries, uint32_t key_length);

#endif
