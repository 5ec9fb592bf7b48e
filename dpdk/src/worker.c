/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and stop of all that there is once in the process. */
#include "worker.h"

#include <errno.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "counters.h"
#include "eal.h"
#include "error.h"
#include "exception.h"
#include "fdb.h"
#include "fib.h"
#include "lcore.h"
#include "memory.h"
#include "mirror.h"
#include "neighbour.h"
#include "nexthop.h"
#include "reassembly.h"
#include "tunnel.h"

struct gw_worker gw_the_worker;
pthread_mutex_t gw_control = PTHREAD_MUTEX_INITIALIZER;

static bool eal_started;

static const char *const names[] = {
#define GW_COUNTER_NAME(name) #name,
	GW_COUNTERS(GW_COUNTER_NAME)
#undef GW_COUNTER_NAME
};

uint32_t
gw_counter_count(void)
{
	return GW_COUNTER_COUNT;
}

const char *
gw_counter_name(uint32_t counter)
{
	return counter < GW_COUNTER_COUNT ? names[counter] : "";
}

static int
create_tables(const struct gw_worker_options *options)
{
	int result = gw_nexthops_create();

	if (!result)
		result = gw_fib4_create(options->routes4);
	if (!result)
		result = gw_fib6_create(options->routes6, options->tbl8_6);
	if (!result)
		result = gw_neighbours_create(options->neighbours);
	if (!result)
		result = gw_fdb_create(options->stations);
	if (!result)
		result = gw_tunnels_create(options->tunnels, options->stations);
	if (!result && options->tunnels)
		result = gw_reassembly_create(options->core_count);
	return result;
}

static int
start_parts(struct gw_worker *worker)
{
	const struct gw_worker_options *options = &worker->options;
	int result = gw_lcores_start(options->cores, options->core_count);

	if (result)
		return result;
	worker->mbufs = gw_mbufs_create(options->mbufs);
	result = worker->mbufs ? create_tables(options) : -ENOMEM;
	if (!result)
		result = gw_exception_start();
	if (!result)
		result = gw_mirror_start();
	return result;
}

static void
stop_parts(struct gw_worker *worker)
{
	gw_mirror_stop();
	gw_exception_stop();
	gw_lcores_stop();
	gw_reassembly_destroy();
	gw_tunnels_destroy();
	gw_fdb_destroy();
	gw_neighbours_destroy();
	gw_fib_destroy();
	gw_nexthops_destroy();
	rte_mempool_free(worker->mbufs);
	worker->mbufs = NULL;
}

int
gw_worker_start(const struct gw_worker_options *options, struct gw_worker **worker)
{
	uint64_t minimum;
	int result;

	if (eal_started)
		return gw_fail(EALREADY, "DPDK can be started once in a process");
	gw_the_worker.options = *options;
	gw_memory_defaults(&gw_the_worker.options, 1);
	minimum = gw_worker_minimum(&gw_the_worker.options, 1);
	if ((uint64_t)options->memory_mb << 20 < minimum)
		return gw_fail(
			ENOMEM,
			"%u MB of hugepages are not enough: %llu MB for %u IPv4 routes, %u IPv6 "
			"routes and %u frames",
			options->memory_mb, (unsigned long long)(minimum + (1 << 20) - 1) >> 20,
			gw_the_worker.options.routes4, gw_the_worker.options.routes6,
			gw_the_worker.options.mbufs);
	eal_started = true;
	result = gw_eal_start(&gw_the_worker.options);
	if (result)
		return result;
	result = start_parts(&gw_the_worker);
	if (result) {
		stop_parts(&gw_the_worker);
		rte_eal_cleanup();
		return result;
	}
	*worker = &gw_the_worker;
	return 0;
}

int
gw_worker_stop(struct gw_worker *worker)
{
	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++)
		if (gw_ports[i].state != GW_PORT_FREE)
			gw_port_remove(worker, &gw_ports[i]);
	stop_parts(worker);
	return rte_eal_cleanup();
}
