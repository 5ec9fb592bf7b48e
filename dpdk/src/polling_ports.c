/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ports of an lcore, and what announces the frames of each. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_malloc.h>

#include "error.h"
#include "polling.h"

static void
count_members(struct gw_poll_state *rest)
{
	rest->busy = rest->blind = rest->patient = rest->interrupts = 0;
	for (uint32_t i = 0; i < rest->count; i++) {
		const struct gw_poll_member *member = &rest->members[i];

		rest->busy += member->port->polling == GW_POLLING_BUSY;
		rest->patient += member->port->polling == GW_POLLING_ADAPTIVE;
		rest->blind += !member->believed;
		rest->interrupts += member->by == GW_BY_INTERRUPT;
	}
}

void
gw_polling_believe(struct gw_poll_state *rest, const struct gw_worker_port *port, bool believed)
{
	for (uint32_t i = 0; i < rest->count; i++) {
		struct gw_poll_member *member = &rest->members[i];

		if (member->by == GW_BY_INTERRUPT && (port == NULL || member->port == port))
			member->believed = believed;
	}
	count_members(rest);
}

int
gw_polling_create(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest =
		rte_zmalloc("gw_poll_state", sizeof(*rest), RTE_CACHE_LINE_SIZE);

	if (!rest) {
		rte_errno = ENOMEM;
		return gw_fail(ENOMEM, "no memory for the state of core %u", lcore->id);
	}
	rte_spinlock_init(&rest->lock);
	rest->cycles_a_us = rte_get_tsc_hz() / 1000000;
	rest->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (rest->epoll < 0) {
		rte_errno = errno;
		rte_free(rest);
		return gw_fail(rte_errno, "epoll: %s", strerror(rte_errno));
	}
	lcore->rest = rest;
	return 0;
}

void
gw_polling_destroy(struct gw_lcore *lcore)
{
	close(lcore->rest->epoll);
	rte_free(lcore->rest);
	lcore->rest = NULL;
}

static int
find_announcement(struct gw_poll_state *rest, struct gw_poll_member *member)
{
	const struct gw_worker_port *port = member->port;
	int failed;

	if (port->polling == GW_POLLING_BUSY)
		return 0;
	// The kernel wakes a socket's waiters without fail.
	member->believed = port->wait_fd >= 0;
	member->by = port->wait_fd >= 0	 ? GW_BY_SOCKET :
		     port->rx_interrupts ? GW_BY_INTERRUPT :
					   GW_BY_NOTHING;
	if (member->by == GW_BY_NOTHING && port->polling == GW_POLLING_INTERRUPT)
		return gw_fail(ENOTSUP, "its driver has no receive interrupts: polling has to be "
					"adaptive or busy");
	if (member->by != GW_BY_INTERRUPT)
		return 0;
	failed = rte_eth_dev_rx_intr_ctl_q(port->id, 0, rest->epoll, RTE_INTR_EVENT_ADD,
					   (void *)(uintptr_t)port);
	return failed ? gw_fail(-failed, "receive interrupt: %s", rte_strerror(-failed)) : 0;
}

int
gw_polling_add(struct gw_lcore *lcore, struct gw_worker_port *port)
{
	struct gw_poll_state *rest = lcore->rest;
	struct gw_poll_member member = {.port = port, .fd = port->wait_fd};
	int result = find_announcement(rest, &member);

	if (result)
		return result;
	rte_spinlock_lock(&rest->lock);
	rest->members[rest->count++] = member;
	count_members(rest);
	rte_spinlock_unlock(&rest->lock);
	// It arms the new one with the others when it rests again.
	gw_lcore_wake(lcore);
	return 0;
}

void
gw_polling_remove(struct gw_lcore *lcore, struct gw_worker_port *port)
{
	struct gw_poll_state *rest = lcore->rest;

	rte_spinlock_lock(&rest->lock);
	for (uint32_t i = 0; i < rest->count; i++) {
		if (rest->members[i].port != port)
			continue;
		if (rest->members[i].by == GW_BY_INTERRUPT) {
			rte_eth_dev_rx_intr_disable(port->id, 0);
			rte_eth_dev_rx_intr_ctl_q(port->id, 0, rest->epoll, RTE_INTR_EVENT_DEL,
						  NULL);
		}
		rest->members[i] = rest->members[--rest->count];
		break;
	}
	count_members(rest);
	rte_spinlock_unlock(&rest->lock);
	// It may be waiting for the port's socket, which is about to be closed.
	gw_lcore_wake(lcore);
}
