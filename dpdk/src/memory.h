/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much there is of everything, and what it takes. */
#ifndef GW_MEMORY_H
#define GW_MEMORY_H

#include <rte_mempool.h>

#include "gw_worker.h"

/* Fills in what is 0. */
void gw_memory_defaults(struct gw_worker_options *options);

/* NULL with a sentence. */
struct rte_mempool *gw_mbufs_create(uint32_t count);

#endif
