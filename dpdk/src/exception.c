/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "exception.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "heard.h"
#include "lcore.h"
#include "mark.h"
#include "port_rings.h"
#include "thread.h"
#include "worker.h"

enum exception_limits {
	BATCH = GW_EXCEPTION_BATCH,
	RETRY_MS = 1, // until a TAP is read again that has been left alone
};

static struct {
	pthread_t thread;
	pthread_mutex_t lock; // of `ports`; the thread holds it while it works
	uint32_t wanted; // who waits for the lock: the thread lets them in between two rounds
	int epoll, wake;
	bool stopping;
	bool asleep; // or about to be: a wake is wanted
	uint32_t stalled; // ports whose TAP is not read at the moment
	uint64_t retry_at; // TSC: when they are looked at again
	struct gw_worker_port *ports[GW_WORKER_PORTS];
	uint32_t count;
	struct gw_tap_stash stash;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .wake = -1};

void
gw_exception_enter(void)
{
	__atomic_fetch_add(&self.wanted, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&self.lock);
	__atomic_fetch_sub(&self.wanted, 1, __ATOMIC_SEQ_CST);
}

void
gw_exception_leave(void)
{
	pthread_mutex_unlock(&self.lock);
}

// The thread's own way in; a mutex that is let go and taken at once would starve the others.
static void
enter_last(void)
{
	while (__atomic_load_n(&self.wanted, __ATOMIC_SEQ_CST))
		sched_yield();
	pthread_mutex_lock(&self.lock);
}

// By the port's TAP, or, if it is one that a bridge is to hear, by that bridge's.
static bool
write_one(struct gw_worker_port *port, struct rte_mbuf *mbuf)
{
	const struct gw_mark *mark = gw_mark(mbuf);
	const bool taken = mark->reason == GW_VXLAN_HEARD ? gw_heard_write(mark->nexthop, mbuf) :
							    gw_tap_write(port->tap_fd, mbuf);

	port->punts[mark->reason] += taken;
	return taken;
}

// Ring to TAP. A TAP that is down or full loses the frame: nobody waits for it.
static uint32_t
punt_some(struct gw_worker_port *port)
{
	struct rte_mbuf *mbufs[BATCH];
	uint32_t count, done = 0;

	count = rte_ring_sc_dequeue_burst(port->to_kernel, (void **)mbufs, BATCH, NULL);
	for (uint32_t i = 0; i < count; i++)
		done += write_one(port, mbufs[i]);
	port->punted += done;
	port->tap_refused += count - done;
	rte_pktmbuf_free_bulk(mbufs, count);
	return count;
}

static void
listen_to(struct gw_worker_port *port, bool readable)
{
	struct epoll_event event = {.events = readable ? EPOLLIN : 0, .data.ptr = port};

	if (port->tap_stalled == !readable)
		return;
	port->tap_stalled = !readable;
	self.stalled += readable ? -1 : 1;
	if (!readable)
		self.retry_at = rte_rdtsc() + rte_get_tsc_hz() / 1000 * RETRY_MS;
	epoll_ctl(self.epoll, EPOLL_CTL_MOD, port->tap_fd, &event);
}

// The TAP was deleted: there is nothing more to read, ever.
static void
forget_tap(struct gw_worker_port *port)
{
	port->tap_gone = 1;
	epoll_ctl(self.epoll, EPOLL_CTL_DEL, port->tap_fd, NULL);
}

/*
 * TAP to ring. With no room in the ring, or no mbufs, the frames stay in the TAP's own queue,
 * where the kernel's senders see that it fills.
 */
static void
inject_some(struct gw_worker_port *port)
{
	const struct gw_mark mark = {
		.interface = port->interface, .reason = GW_FROM_KERNEL, .from = port->id};
	const uint32_t segments =
		gw_tap_segments(port->tap_mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN);
	const uint32_t room = RTE_MIN(rte_ring_free_count(port->from_kernel), (uint32_t)BATCH);
	struct rte_mbuf *mbufs[BATCH];
	uint32_t count = 0;

	errno = 0;
	while (count < room && gw_tap_fill(&self.stash, segments)) {
		struct rte_mbuf *mbuf = gw_tap_read(port->tap_fd, &self.stash, segments);

		if (mbuf == NULL && errno == EMSGSIZE) {
			port->cut_off++;
			continue;
		}
		if (mbuf == NULL)
			break;
		mbuf->port = port->id;
		*gw_mark(mbuf) = mark;
		mbufs[count++] = mbuf;
	}
	if (errno == EBADFD)
		forget_tap(port);
	else if (count == 0 && errno == 0)
		listen_to(port, false);
	if (count == 0)
		return;
	rte_ring_sp_enqueue_bulk(port->from_kernel, (void **)mbufs, count, NULL);
	port->injected += count;
	gw_lcore_wake(&gw_lcores[port->lcore]);
}

static bool
anything_to_punt(void)
{
	for (uint32_t i = 0; i < self.count; i++) {
		if (!rte_ring_empty(self.ports[i]->to_kernel))
			return true;
	}
	return false;
}

// How long to wait for events; unless it is 0, a lcore that punts from now on writes to `wake`.
static int
patience(void)
{
	if (anything_to_punt())
		return 0;
	__atomic_store_n(&self.asleep, true, __ATOMIC_SEQ_CST);
	if (anything_to_punt())
		return 0;
	return self.stalled ? RETRY_MS : -1;
}

// One round of the ports; returns how long to wait for the next.
static int
work(const struct epoll_event *events, int count)
{
	uint64_t times;

	for (int i = 0; i < count; i++) {
		struct gw_worker_port *port = events[i].data.ptr;

		if (port == NULL)
			times = read(self.wake, &times, sizeof(times));
		else if (port->from_kernel != NULL) // else it went while we waited
			inject_some(port);
	}
	for (uint32_t i = 0; i < self.count; i++)
		punt_some(self.ports[i]);
	if (self.stalled && rte_rdtsc() >= self.retry_at) {
		for (uint32_t i = 0; i < self.count; i++)
			listen_to(self.ports[i], true);
	}
	return patience();
}

static void *
run(void *nothing)
{
	struct epoll_event events[GW_WORKER_PORTS + 1];
	int count = 0;

	while (!__atomic_load_n(&self.stopping, __ATOMIC_ACQUIRE)) {
		int timeout;

		enter_last();
		timeout = work(events, count);
		gw_exception_leave();
		count = epoll_wait(self.epoll, events, RTE_DIM(events), timeout);
		__atomic_store_n(&self.asleep, false, __ATOMIC_RELAXED);
	}
	return nothing;
}

void
gw_exception_wake(void)
{
	const uint64_t once = 1;

	// The frames are in the ring before we look; the thread looks at the ring after it says so.
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (likely(!__atomic_load_n(&self.asleep, __ATOMIC_RELAXED)))
		return;
	if (__atomic_exchange_n(&self.asleep, false, __ATOMIC_SEQ_CST))
		eventfd_write(self.wake, once);
}

static int
open_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN}; // data.ptr NULL: it is no port

	self.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (self.epoll < 0)
		return gw_fail(errno, "epoll: %s", strerror(errno));
	self.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (self.wake < 0 || epoll_ctl(self.epoll, EPOLL_CTL_ADD, self.wake, &event) < 0)
		return gw_fail(errno, "eventfd: %s", strerror(errno));
	return 0;
}

static void
close_epoll(void)
{
	if (self.wake >= 0)
		close(self.wake);
	if (self.epoll >= 0)
		close(self.epoll);
	self.wake = self.epoll = -1;
}

int
gw_exception_start(void)
{
	int result = open_epoll();

	self.stopping = false;
	if (result == 0)
		result = gw_thread_start(&self.thread, "gw-exception", run, NULL);
	if (result < 0)
		close_epoll();
	return result;
}

void
gw_exception_stop(void)
{
	if (self.epoll < 0)
		return;
	__atomic_store_n(&self.stopping, true, __ATOMIC_RELEASE);
	eventfd_write(self.wake, 1);
	pthread_join(self.thread, NULL);
	close_epoll();
	gw_tap_empty(&self.stash);
}

int
gw_exception_attach(struct gw_worker_port *port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};
	int failed = gw_port_rings_create(port);

	if (failed)
		return failed;
	gw_exception_enter();
	self.ports[self.count++] = port;
	if (epoll_ctl(self.epoll, EPOLL_CTL_ADD, port->tap_fd, &event) < 0)
		failed = errno;
	gw_exception_leave();
	if (failed) {
		gw_exception_detach(port);
		return gw_fail(failed, "epoll of TAP %s: %s", port->tap, strerror(failed));
	}
	return 0;
}

void
gw_exception_detach(struct gw_worker_port *port)
{
	gw_exception_enter();
	for (uint32_t i = 0; i < self.count; i++) {
		if (self.ports[i] != port)
			continue;
		listen_to(port, true);
		epoll_ctl(self.epoll, EPOLL_CTL_DEL, port->tap_fd, NULL);
		self.ports[i] = self.ports[--self.count];
		break;
	}
	gw_port_rings_free(port);
	gw_exception_leave();
}
