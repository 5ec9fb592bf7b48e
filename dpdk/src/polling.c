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
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <rte_cycles.h>
#include <rte_interrupts.h>

#include "polling.h"

enum {
	SPIN_US = 10, // without a frame, before the first sleep: about what that sleep costs
	SPIN_BLIND_US = 50, // when nothing would end it in time
	SLEEP_MIN_US = 50, // sleeps grow by doubling while a port is polled blindly
	SLEEP_MAX_US = 1000, // the longest that a frame may wait there
	SLEEP_LONG_US = 250 * 1000, // when every frame is announced; a net below a lost wake
};

static void
arm(struct gw_lcore *lcore)
{
	struct gw_poll_state *rest = lcore->rest;

	for (uint32_t i = 0; i < rest->count; i++) {
		if (rest->members[i].by == GW_BY_INTERRUPT)
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
		if (rest->members[i].by == GW_BY_INTERRUPT)
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
		if (rest->members[i].by == GW_BY_SOCKET)
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
			gw_polling_believe(rest, events[i].epdata.data, true);
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
		gw_polling_believe(rest, NULL, false);
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
