/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and stop of all that there is once in the process. */
#define _GNU_SOURCE // CPU_SET
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "counters.h"
#include "error.h"
#include "exception.h"
#include "fdb.h"
#include "fib.h"
#include "lcore.h"
#include "memory.h"
#include "mirror.h"
#include "neighbour.h"
#include "nexthop.h"

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

static bool
repeated(const struct gw_worker_options *options, uint32_t index)
{
	for (uint32_t i = 0; i < index; i++)
		if (options->cores[i] == options->cores[index])
			return true;
	return false;
}

// The CPUs that the process may use, and of those the ones that are left to all other threads.
static int
check_cores(const struct gw_worker_options *options, cpu_set_t *rest)
{
	cpu_set_t all;

	if (!options->core_count || options->core_count > GW_WORKER_LCORES)
		return gw_fail(EINVAL, "%u cores; 1 to %d are possible", options->core_count,
			       GW_WORKER_LCORES);
	if (sched_getaffinity(0, sizeof(all), &all))
		return gw_fail(errno, "which CPUs there are is not known");
	*rest = all;
	for (uint32_t i = 0; i < options->core_count; i++) {
		uint16_t core = options->cores[i];

		if (core >= CPU_SETSIZE || !CPU_ISSET(core, &all))
			return gw_fail(EINVAL, "core %u does not exist, or is not ours to use",
				       core);
		if (repeated(options, i))
			return gw_fail(EINVAL, "core %u is named twice", core);
		CPU_CLR(core, rest);
	}
	// With one CPU, or all of them for data, everything shares.
	if (!CPU_COUNT(rest))
		*rest = all;
	return 0;
}

// As EAL wants it: 0@(…) for the thread that starts it, then the data lcores from 1 on.
static void
lcores_argument(const struct gw_worker_options *options, const cpu_set_t *rest, char *text,
		size_t size)
{
	int length = snprintf(text, size, "0@(");

	for (int cpu = 0, count = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, rest))
			length += snprintf(text + length, size - length, "%s%d", count++ ? "," : "",
					   cpu);
	length += snprintf(text + length, size - length, ")");
	for (uint32_t i = 0; i < options->core_count; i++)
		length +=
			snprintf(text + length, size - length, ",%u@%u", i + 1, options->cores[i]);
}

static int
start_eal(const struct gw_worker_options *options)
{
	char lcores[4096], memory[32], limit[48];
	char *arguments[16], *kept[16];
	cpu_set_t rest;
	int count = 0, result = check_cores(options, &rest);

	if (result)
		return result;
	lcores_argument(options, &rest, lcores, sizeof(lcores));
	snprintf(memory, sizeof(memory), "-m%u", options->memory_mb);
	snprintf(limit, sizeof(limit), "--socket-limit=%u", options->memory_mb);
	arguments[count++] = "gw-worker";
	arguments[count++] = "--lcores";
	arguments[count++] = lcores;
	arguments[count++] = memory;
	arguments[count++] = "--no-telemetry";
	arguments[count++] = "--log-level=*:error";
	if (options->flags & GW_WORKER_NO_HUGE) {
		// EAL refuses --in-memory with it, which would mean these two.
		arguments[count++] = "--no-huge";
		arguments[count++] = "--no-shconf";
	} else {
		arguments[count++] = "--in-memory";
		arguments[count++] = limit;
	}
	if (options->flags & GW_WORKER_NO_PCI)
		arguments[count++] = "--no-pci";
	if (options->flags & GW_WORKER_IOVA_PA)
		arguments[count++] = "--iova-mode=pa";
	arguments[count] = NULL;
	// EAL permutes what it is given.
	memcpy(kept, arguments, sizeof(kept));
	eal_started = true;
	if (rte_eal_init(count, kept) < 0)
		return gw_fail(rte_errno ?: EINVAL,
			       "DPDK does not start (%s); its own words are in the log",
			       rte_strerror(rte_errno));
	return 0;
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
	gw_memory_defaults(&gw_the_worker.options);
	minimum = gw_worker_minimum(&gw_the_worker.options, 1);
	if ((uint64_t)options->memory_mb << 20 < minimum)
		return gw_fail(
			ENOMEM,
			"%u MB of hugepages are not enough: %llu MB for %u IPv4 routes, %u IPv6 "
			"routes and %u frames",
			options->memory_mb, (unsigned long long)(minimum + (1 << 20) - 1) >> 20,
			gw_the_worker.options.routes4, gw_the_worker.options.routes6,
			gw_the_worker.options.mbufs);
	result = start_eal(&gw_the_worker.options);
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
