/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is once in the process. */
#ifndef GW_WORKER_INTERNAL_H
#define GW_WORKER_INTERNAL_H

#include <pthread.h>

#include <rte_mempool.h>

#include "gw_worker.h"

struct gw_worker {
	struct gw_worker_options options;
	struct rte_mempool *mbufs;
};

extern struct gw_worker gw_the_worker;

/* Whoever changes ports, interfaces, tables: calls from Python, and the control thread. */
extern pthread_mutex_t gw_control;

#endif
