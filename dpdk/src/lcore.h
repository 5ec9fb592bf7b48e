/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One data lcore: its graph, its ports, its counters, and when it rests. */
#ifndef GW_LCORE_H
#define GW_LCORE_H

#include <rte_graph.h>
#include <rte_rcu_qsbr.h>

#include "counters.h"
#include "gw_worker.h"

/* The ports that an lcore polls; replaced as a whole, under RCU. */
struct gw_poll_list {
	uint32_t count;
	uint16_t ports[GW_WORKER_PORTS];
};

struct gw_lcore {
	const struct gw_poll_list *list; /* one of `lists` */
	uint32_t cursor; /* into the list: who is polled next */
	uint32_t received; /* frames that the sources brought in this walk; polling.c reads it */
	uint32_t now; /* seconds, coarse */
	uint32_t redirects_at; /* `now` of the frames that `redirects` counts, see ip_rewrite.h */
	uint32_t redirects;
	uint16_t index; /* from 0: of gw_lcores, and the transmit queue */
	uint16_t id; /* DPDK's lcore id */
	int wake; /* eventfd that ends its sleep */
	uint8_t asleep; /* true while it sleeps: whoever has work for it writes `wake` */
	uint16_t leaving; /* 1 + the port of which it is to keep nothing; 0: none */
	struct rte_graph *graph;
	struct gw_poll_state *rest; /* polling.c */
	struct gw_poll_list lists[2]; /* the one that nobody reads is the next version */
	uint64_t counters[GW_WORKER_PORTS][GW_COUNTER_COUNT];
	uint64_t walks, empty_walks, sleeps, busy_cycles, idle_cycles;
} __rte_cache_aligned;

extern struct gw_lcore gw_lcores[GW_WORKER_LCORES];
extern uint32_t gw_lcore_count;
extern struct rte_rcu_qsbr *gw_rcu;

/* Until every lcore has passed a quiescent state; returns at once when none runs. Control threads
 * only, and not while they are readers themselves. */
void gw_grace_period(void);

/* lcore.c */
int gw_lcores_start(const uint16_t *cores, uint32_t count);
void gw_lcores_stop(void);
/* As the list's next version; both return after a grace period, and cannot fail. */
void gw_lcore_add_port(uint16_t lcore, uint16_t port);
void gw_lcore_remove_port(uint16_t lcore, uint16_t port);
/* Of a port that it polls no more: what it has kept of its frames is dropped when this returns. */
void gw_lcore_forget_port(uint16_t lcore, uint16_t port);

/* Ends the lcore's sleep, if it sleeps; any thread. */
void gw_lcore_wake(struct gw_lcore *lcore);

/* graph.c: the graph of an lcore, which does not change with its ports. */
struct rte_graph *gw_graph_create(struct gw_lcore *lcore);
void gw_graph_destroy(struct gw_lcore *lcore);

/* polling.c. After each walk; sleeps when it is time to, and returns when there may be work. */
int gw_polling_create(struct gw_lcore *lcore);
void gw_polling_destroy(struct gw_lcore *lcore);
void gw_polling_rest(struct gw_lcore *lcore);
/*
 * A port joins or leaves the lcore: what announces its frames. port.c calls them, beside those
 * of the list. -ENOTSUP: nothing does, and it wants to sleep until something does.
 */
int gw_polling_add(struct gw_lcore *lcore, struct gw_worker_port *port);
void gw_polling_remove(struct gw_lcore *lcore, struct gw_worker_port *port);

/* Frames of this lcore are counted without atomics: nobody else writes them. */
static inline void
gw_count(struct gw_lcore *lcore, uint16_t port, enum gw_counter counter, uint64_t frames)
{
	lcore->counters[port][counter] += frames;
}

#endif
