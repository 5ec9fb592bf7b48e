/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data lcores: each walks its graph until it is told to stop. */
#include "lcore.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_graph_worker.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "error.h"
#include "reassembly.h"
#include "worker.h"

struct gw_lcore gw_lcores[GW_WORKER_LCORES];
uint32_t gw_lcore_count;
struct rte_rcu_qsbr *gw_rcu;

static bool running;

enum { WALKS_BETWEEN_CLOCKS = 1024, FORGETS_US = 50 };

void
gw_grace_period(void)
{
	if (__atomic_load_n(&running, __ATOMIC_ACQUIRE))
		rte_rcu_qsbr_synchronize(gw_rcu, RTE_QSBR_THRID_INVALID);
}

static uint32_t
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

// The clock is read through the vDSO; often enough while there is traffic, and after each rest.
static void
tick(struct gw_lcore *lcore)
{
	const uint32_t before = lcore->now;

	if (lcore->walks % WALKS_BETWEEN_CLOCKS == 0 || !lcore->received)
		lcore->now = seconds();
	if (unlikely(lcore->now != before))
		gw_reassembly_expire(lcore);
}

static void
forget(struct gw_lcore *lcore)
{
	const uint16_t leaving = __atomic_load_n(&lcore->leaving, __ATOMIC_ACQUIRE);

	if (likely(!leaving))
		return;
	gw_reassembly_forget(lcore, leaving - 1);
	__atomic_store_n(&lcore->leaving, 0, __ATOMIC_RELEASE);
}

static int
lcore_main(void *argument)
{
	struct gw_lcore *lcore = argument;
	uint64_t before = rte_rdtsc();

	rte_rcu_qsbr_thread_online(gw_rcu, lcore->index);
	while (__atomic_load_n(&running, __ATOMIC_RELAXED)) {
		uint64_t after;

		lcore->received = 0;
		rte_graph_walk(lcore->graph);
		rte_rcu_qsbr_quiescent(gw_rcu, lcore->index);
		lcore->walks++;
		after = rte_rdtsc();
		if (lcore->received) {
			lcore->busy_cycles += after - before;
		} else {
			lcore->idle_cycles += after - before;
			lcore->empty_walks++;
		}
		tick(lcore);
		forget(lcore);
		gw_polling_rest(lcore);
		before = after;
		if (!lcore->received) {
			// It may have slept.
			before = rte_rdtsc();
			lcore->idle_cycles += before - after;
		}
	}
	rte_rcu_qsbr_thread_offline(gw_rcu, lcore->index);
	return 0;
}

static int
prepare(struct gw_lcore *lcore)
{
	lcore->lists[0].count = 0;
	lcore->list = &lcore->lists[0];
	lcore->now = seconds();
	lcore->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (lcore->wake < 0)
		return gw_fail(errno, "no eventfd for core %u", lcore->id);
	if (gw_polling_create(lcore))
		return -rte_errno;
	lcore->graph = gw_graph_create(lcore);
	return lcore->graph ? 0 : -ENOMEM;
}

static void
discard(struct gw_lcore *lcore)
{
	gw_graph_destroy(lcore);
	if (lcore->rest)
		gw_polling_destroy(lcore);
	if (lcore->wake >= 0)
		close(lcore->wake);
	lcore->wake = -1;
}

static int
launch(void)
{
	uint32_t id = -1;

	for (uint32_t i = 0; i < gw_lcore_count; i++) {
		int result;

		// DPDK numbers them from 1 on, in the order of the options: 0 is the main thread.
		id = rte_get_next_lcore(id, 1, 0);
		gw_lcores[i].index = i;
		gw_lcores[i].id = id;
		result = prepare(&gw_lcores[i]);
		if (result)
			return result;
		rte_rcu_qsbr_thread_register(gw_rcu, i);
	}
	__atomic_store_n(&running, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < gw_lcore_count; i++)
		rte_eal_remote_launch(lcore_main, &gw_lcores[i], gw_lcores[i].id);
	return 0;
}

int
gw_lcores_start(const uint16_t *cores __rte_unused, uint32_t count)
{
	size_t size = rte_rcu_qsbr_get_memsize(GW_WORKER_LCORES);
	int result;

	gw_rcu = rte_zmalloc("gw_rcu", size, RTE_CACHE_LINE_SIZE);
	if (!gw_rcu || rte_rcu_qsbr_init(gw_rcu, GW_WORKER_LCORES))
		return gw_fail(ENOMEM, "no memory for RCU");
	gw_lcore_count = count;
	// What launch() does not come to is discarded as well, and 0 is somebody's descriptor.
	for (uint32_t i = 0; i < count; i++)
		gw_lcores[i].wake = -1;
	result = launch();
	if (result)
		gw_lcores_stop();
	return result;
}

void
gw_lcores_stop(void)
{
	__atomic_store_n(&running, false, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < gw_lcore_count; i++) {
		if (gw_lcores[i].rest)
			gw_lcore_wake(&gw_lcores[i]);
		rte_eal_wait_lcore(gw_lcores[i].id);
		discard(&gw_lcores[i]);
	}
	gw_lcore_count = 0;
}

void
gw_lcore_wake(struct gw_lcore *lcore)
{
	uint64_t one = 1;

	// What it is woken for is there before we look whether it sleeps, as it looks for work after
	// it has said that it does.
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	// Full: a wake waits there already.
	if (__atomic_load_n(&lcore->asleep, __ATOMIC_RELAXED) &&
	    write(lcore->wake, &one, sizeof(one)) < 0)
		return;
}

// The one that `list` takes the place of is free when this returns.
static void
exchange(struct gw_lcore *lcore, const struct gw_poll_list *list)
{
	struct gw_poll_list *after = &lcore->lists[lcore->list == &lcore->lists[0]];

	*after = *list;
	__atomic_store_n(&lcore->list, after, __ATOMIC_RELEASE);
	gw_lcore_wake(lcore);
	gw_grace_period();
}

void
gw_lcore_add_port(uint16_t lcore, uint16_t port)
{
	struct gw_poll_list list = *gw_lcores[lcore].list;

	list.ports[list.count++] = port;
	exchange(&gw_lcores[lcore], &list);
}

void
gw_lcore_remove_port(uint16_t lcore, uint16_t port)
{
	struct gw_poll_list list = *gw_lcores[lcore].list;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < list.count; i++)
		if (list.ports[i] != port)
			list.ports[kept++] = list.ports[i];
	list.count = kept;
	exchange(&gw_lcores[lcore], &list);
}

void
gw_lcore_forget_port(uint16_t lcore, uint16_t port)
{
	struct gw_lcore *its = &gw_lcores[lcore];

	__atomic_store_n(&its->leaving, 1 + port, __ATOMIC_RELEASE);
	// It may be about to sleep, and have looked before.
	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&its->leaving, __ATOMIC_ACQUIRE)) {
		gw_lcore_wake(its);
		rte_delay_us_sleep(FORGETS_US);
	}
}

int
gw_lcore_read(struct gw_worker *worker, uint32_t index, struct gw_lcore_status *status)
{
	const struct gw_lcore *lcore = &gw_lcores[index];

	if (index >= gw_lcore_count)
		return gw_fail(ENOENT, "there is no core number %u", index);
	*status = (struct gw_lcore_status){
		.cpu = worker->options.cores[index],
		.ports = lcore->list->count,
		.walks = lcore->walks,
		.empty_walks = lcore->empty_walks,
		.sleeps = lcore->sleeps,
		.busy_cycles = lcore->busy_cycles,
		.idle_cycles = lcore->idle_cycles,
		.hz = rte_get_tsc_hz(),
	};
	return 0;
}
