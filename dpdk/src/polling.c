/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When an lcore rests. After a short spin without a frame it arms whatever can announce one, walks
 * once more, and sleeps in ppoll(2) until one of these happens:
 *  - a receive interrupt, where the driver has them;
 *  - a frame at the packet socket of a driver that sits on a kernel device (af_packet, af_xdp):
 *    the socket's waiters are looked at for every frame anyway, so that costs nothing while we
 *    are awake;
 *  - somebody writes to lcore->wake;
 *  - a while is over, short as long as there is a port that nothing announces frames of.
 */
#define _GNU_SOURCE // ppoll
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_malloc.h>

#include "error.h"
#include "lcore.h"
#include "port.h"

enum {
	SPIN_US = 10, // without a frame, before the first sleep: about what that sleep costs
	SPIN_BLIND_US = 50, // when nothing would end it in time
	SLEEP_MIN_US = 50, // sleeps grow by doubling while a port is polled blindly
	SLEEP_MAX_US = 1000, // the longest that a frame may wait there
	SLEEP_LONG_US = 250 * 1000, // when every frame is announced; a net below a lost wake
};

enum announcement { NOTHING, SOCKET, INTERRUPT };

struct member {
	struct gw_worker_port *port;
	enum announcement by;
	bool believed; // see believe()
	int fd; // of SOCKET
};

struct gw_poll_state {
	// The lcore's alone.
	uint64_t idle_since; // TSC; 0: the last walk brought frames
	uint64_t cycles_a_us;
	uint32_t sleep_us; // the last one's
	bool armed;
	bool unannounced; // nothing but time has ended the last sleep

	rte_spinlock_t lock; // of the following, between the lcore and who adds and removes ports
	int epoll; // has the interrupts
	uint32_t count, busy, blind, patient, interrupts; // ports, and those of each kind
	struct member members[GW_WORKER_PORTS];
};

static void
count_members(struct gw_poll_state *rest)
{
	rest->busy = rest->blind = rest->patient = rest->interrupts = 0;
	for (uint32_t i = 0; i < rest->count; i++) {
		const struct member *member = &rest->members[i];

		rest->busy += member->port->polling == GW_POLLING_BUSY;
		rest->patient += member->port->polling == GW_POLLING_ADAPTIVE;
		rest->blind += !member->believed;
		rest->interrupts += member->by == INTERRUPT;
	}
}

/*
 * There are drivers that promise interrupts and give none. So one is believed in when it has
 * been seen, and no longer when a frame was there that nothing had announced.
 */
static void
believe(struct gw_poll_state *rest, const struct gw_worker_port *port, bool believed)
{
	for (uint32_t i = 0; i < rest->count; i++) {
		struct member *member = &rest->members[i];

		if (member->by == INTERRUPT && (port == NULL || member->port == port))
			member->believed = believed;
	}
	count_members(rest);
}

static void
arm(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;

	for (uint32_t i = 0; i < rest->count; i++) {
		if (rest->members[i].by == INTERRUPT)
			rte_eth_dev_rx_intr_enable(rest->members[i].port->id, 0);
	}
	rest->armed = true;
	rest->unannounced = false;
	// Whoever brings work from now on writes to `wake`; what came before, the next walk finds.
	__atomic_store_n(&lcore->asleep, 1, __ATOMIC_SEQ_CST);
}

static void
disarm(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;

	rte_spinlock_lock(&rest->lock);
	for (uint32_t i = 0; i < rest->count; i++) {
		if (rest->members[i].by == INTERRUPT)
			rte_eth_dev_rx_intr_disable(rest->members[i].port->id, 0);
	}
	rte_spinlock_unlock(&rest->lock);
	rest->armed = false;
	__atomic_store_n(&lcore->asleep, 0, __ATOMIC_RELAXED);
}

static uint32_t
next_sleep(struct gw_poll_state *rest)
{
	if (rest->blind == 0)
		return SLEEP_LONG_US;
	rest->sleep_us = RTE_MIN(2 * rest->sleep_us, (uint32_t)SLEEP_MAX_US);
	return rest->sleep_us;
}

// The first one is `wake`, the second the interrupts' epoll, then the sockets.
static nfds_t
what_to_wait_for(const struct gw_lcore *lcore, struct pollfd *fds)
{
	const struct gw_poll_state *rest = lcore->rest;
	nfds_t count = 0;

	fds[count++] = (struct pollfd){.fd = lcore->wake, .events = POLLIN};
	fds[count++] = (struct pollfd){.fd = rest->interrupts ? rest->epoll : -1, .events = POLLIN};
	for (uint32_t i = 0; i < rest->count; i++) {
		if (rest->members[i].by == SOCKET)
			fds[count++] = (struct pollfd){.fd = rest->members[i].fd, .events = POLLIN};
	}
	return count;
}

// Readable but for an error, as of a device that went down: it is told once and then forgotten.
static void
clear_errors(const struct pollfd *fds, nfds_t count)
{
	for (nfds_t i = 0; i < count; i++) {
		socklen_t size = sizeof(int);
		int error;

		if (fds[i].revents & ~POLLIN)
			getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
}

static void
acknowledge(const struct gw_lcore *lcore, const struct pollfd *fds, nfds_t count)
{
	struct gw_poll_state *rest = lcore->rest;
	struct rte_epoll_event events[GW_WORKER_PORTS];
	eventfd_t times;
	int count_of_events;

	if (fds[0].revents)
		eventfd_read(lcore->wake, &times);
	if (fds[1].revents) {
		count_of_events = rte_epoll_wait(rest->epoll, events, RTE_DIM(events), 0);
		rte_spinlock_lock(&rest->lock);
		for (int i = 0; i < count_of_events; i++)
			believe(rest, events[i].epdata.data, true);
		rte_spinlock_unlock(&rest->lock);
	}
	clear_errors(fds + 2, count - 2);
}

static void
sleep_now(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;
	struct pollfd fds[GW_WORKER_PORTS + 2];
	struct timespec most = {};
	nfds_t count;
	int ready;

	rte_spinlock_lock(&rest->lock);
	count = what_to_wait_for(lcore, fds);
	most.tv_nsec = next_sleep(rest) * 1000L;
	rte_spinlock_unlock(&rest->lock);
	lcore->sleeps++;
	rte_rcu_qsbr_thread_offline(gw_rcu, lcore->index);
	ready = ppoll(fds, count, &most, NULL);
	rte_rcu_qsbr_thread_online(gw_rcu, lcore->index);
	rest->unannounced = ready <= 0;
	if (rest->unannounced)
		return; // still armed: the next walk decides
	acknowledge(lcore, fds, count);
	disarm(lcore);
}

static void
rest_idle(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;
	const uint64_t now = rte_rdtsc();
	const uint64_t spin = rest->cycles_a_us * (rest->blind ? SPIN_BLIND_US : SPIN_US);

	if (rest->idle_since == 0) {
		rest->idle_since = now;
		rest->sleep_us = SLEEP_MIN_US / 2;
	}
	// Without ports there is nothing to be quick for.
	if (rest->patient && now - rest->idle_since < spin) {
		rte_pause();
	} else if (rest->armed) {
		sleep_now(lcore);
	} else {
		rte_spinlock_lock(&rest->lock);
		arm(lcore);
		rte_spinlock_unlock(&rest->lock);
	}
}

// Frames came while everything was armed.
static void
wake_up(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;

	if (rest->unannounced) {
		rte_spinlock_lock(&rest->lock);
		believe(rest, NULL, false);
		rte_spinlock_unlock(&rest->lock);
	}
	disarm(lcore);
}

void
gw_polling_rest(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;

	if (likely(lcore->received)) {
		rest->idle_since = 0;
		if (unlikely(rest->armed))
			wake_up(lcore);
	} else if (rest->busy == 0) {
		rest_idle(lcore);
	} else if (unlikely(rest->armed)) {
		disarm(lcore);
	}
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
find_announcement(struct gw_poll_state *rest, struct member *member)
{
	const struct gw_worker_port *port = member->port;
	int failed;

	if (port->polling == GW_POLLING_BUSY)
		return 0;
	// The kernel wakes a socket's waiters without fail.
	member->believed = port->wait_fd >= 0;
	member->by = port->wait_fd >= 0 ? SOCKET : port->rx_interrupts ? INTERRUPT : NOTHING;
	if (member->by == NOTHING && port->polling == GW_POLLING_INTERRUPT)
		return gw_fail(ENOTSUP, "its driver has no receive interrupts: polling has to be "
					"adaptive or busy");
	if (member->by != INTERRUPT)
		return 0;
	failed = rte_eth_dev_rx_intr_ctl_q(port->id, 0, rest->epoll, RTE_INTR_EVENT_ADD,
					   (void *)(uintptr_t)port);
	return failed ? gw_fail(-failed, "receive interrupt: %s", rte_strerror(-failed)) : 0;
}

int
gw_polling_add(struct gw_lcore *lcore, struct gw_worker_port *port)
{
	struct gw_poll_state *rest = lcore->rest;
	struct member member = {.port = port, .fd = port->wait_fd};
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
		if (rest->members[i].by == INTERRUPT) {
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
