/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE // CPU_SET
#include "eal.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "error.h"
#include "log.h"

enum { ARGUMENTS = 16 };

struct arguments {
	int count;
	char *values[ARGUMENTS];
	char lcores[4096], memory[32], limit[48];
};

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

static void
add(struct arguments *arguments, char *value)
{
	arguments->values[arguments->count++] = value;
	arguments->values[arguments->count] = NULL;
}

static void
add_memory(struct arguments *arguments, const struct gw_worker_options *options)
{
	snprintf(arguments->memory, sizeof(arguments->memory), "-m%u", options->memory_mb);
	add(arguments, arguments->memory);
	if (options->flags & GW_WORKER_NO_HUGE) {
		// EAL refuses --in-memory with it, which would mean these two.
		add(arguments, "--no-huge");
		add(arguments, "--no-shconf");
		return;
	}
	// Hugepages without a name: no file system for them, and nothing left after a crash.
	add(arguments, "--in-memory");
	snprintf(arguments->limit, sizeof(arguments->limit), "--socket-limit=%u",
		 options->memory_mb);
	add(arguments, arguments->limit);
}

int
gw_eal_start(const struct gw_worker_options *options)
{
	struct arguments arguments = {.count = 0};
	cpu_set_t rest;
	int result = check_cores(options, &rest);

	if (result)
		return result;
	lcores_argument(options, &rest, arguments.lcores, sizeof(arguments.lcores));
	add(&arguments, "gw-worker");
	add(&arguments, "--lcores");
	add(&arguments, arguments.lcores);
	add_memory(&arguments, options);
	add(&arguments, "--no-telemetry");
	add(&arguments, "--log-level=*:error");
	if (options->flags & GW_WORKER_NO_PCI) {
		add(&arguments, "--no-pci");
	} else {
		// An allow-list of nothing: EAL would try every NIC at its start, the kernel's too.
		// Ports are probed by their addresses later.
		add(&arguments, "-a");
		add(&arguments, "ffff:ff:1f.7");
	}
	if (options->flags & GW_WORKER_IOVA_PA)
		add(&arguments, "--iova-mode=pa");
	gw_log_forget();
	if (rte_eal_init(arguments.count, arguments.values) >= 0)
		return 0;
	// EACCES is its word for a kernel that has none at all.
	if (rte_errno == ENOMEM || (rte_errno == EACCES && !(options->flags & GW_WORKER_NO_HUGE)))
		return gw_fail(ENOMEM, "there are no %u MB of free hugepages (%s)",
			       options->memory_mb, gw_log_said());
	return gw_fail(rte_errno ?: EINVAL, "DPDK does not start: %s (%s)", rte_strerror(rte_errno),
		       gw_log_said());
}
