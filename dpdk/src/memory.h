/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much there is of everything, and what it takes. */
#ifndef GW_MEMORY_H
#define GW_MEMORY_H

#include <rte_mempool.h>

#include "port.h"

/* Fills in what is 0, for so many ports, and rounds up what must be. */
void gw_memory_defaults(struct gw_worker_options *options, uint32_t ports);

/* NULL with a sentence. */
struct rte_mempool *gw_mbufs_create(uint32_t count);

/*
 * The port, whose rings have places for `rx` and `tx` frames, has its share of them from now on.
 * -ENOSPC with a sentence: all ports together could hold more than there are, and some would starve.
 */
int gw_mbufs_claim(struct gw_worker_port *port, uint32_t rx, uint32_t tx);

/* EAL's main thread, which calls us, has a cache in the pool as lcores have: it is nobody's share. */
void gw_mbufs_return(void);

#endif
