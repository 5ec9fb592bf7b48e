/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an lcore knows of its ports to rest by: shared by polling.c and polling_ports.c. */
#ifndef GW_POLLING_H
#define GW_POLLING_H

#include <stdbool.h>

#include <rte_spinlock.h>

#include "lcore.h"
#include "port.h"

enum gw_announcement { GW_BY_NOTHING, GW_BY_SOCKET, GW_BY_INTERRUPT };

struct gw_poll_member {
	struct gw_worker_port *port;
	enum gw_announcement by;
	bool believed; /* see gw_polling_believe() */
	int fd; /* of GW_BY_SOCKET */
};

struct gw_poll_state {
	/* The lcore's alone. */
	uint64_t idle_since; /* TSC; 0: the last walk brought frames */
	uint64_t cycles_a_us;
	uint32_t sleep_us; /* the last one's */
	bool armed;
	bool unannounced; /* nothing but time has ended the last sleep */

	rte_spinlock_t lock; /* of what follows: between the lcore and who adds ports */
	int epoll; /* has the interrupts */
	uint32_t count, busy, blind, patient, interrupts; /* ports, and those of each kind */
	struct gw_poll_member members[GW_WORKER_PORTS];
};

/*
 * There are drivers that promise interrupts and give none. So one is believed in when it has
 * been seen, and no longer when a frame was there that nothing had announced. NULL: of all
 * ports. With the lock held.
 */
void gw_polling_believe(struct gw_poll_state *rest, const struct gw_worker_port *port,
			bool believed);

#endif
