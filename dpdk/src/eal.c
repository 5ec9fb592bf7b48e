/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE // CPU_SET
#include "eal.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "error.h"
#include "log.h"

enum { ARGUMENTS = 16 };

#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-"

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

static uint64_t
number_in(const char *folder, const char *name)
{
	char path[PATH_MAX];
	uint64_t number;
	FILE *file;
	int found;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	found = fscanf(file, "%" SCNu64, &number);
	fclose(file);
	return found == 1 ? number : 0;
}

// MB of hugepages that the kernel has free and nobody was promised, of all sizes.
static uint64_t
free_hugepages(void)
{
	uint64_t kilobytes = 0;
	glob_t sizes;

	if (glob(HUGEPAGES "*kB", 0, NULL, &sizes))
		return 0;
	for (size_t i = 0; i < sizes.gl_pathc; i++) {
		const char *folder = sizes.gl_pathv[i];
		uint64_t size = strtoull(folder + strlen(HUGEPAGES), NULL, 10);
		uint64_t pages = number_in(folder, "free_hugepages");
		uint64_t promised = number_in(folder, "resv_hugepages");

		if (pages > promised)
			kilobytes += (pages - promised) * size;
	}
	globfree(&sizes);
	return kilobytes >> 10;
}

// EAL's own words differ with what pages a kernel has: they follow where the figures say too little.
static int
too_few_hugepages(uint32_t asked, uint64_t available)
{
	if (available < asked)
		return gw_fail(ENOMEM,
			       "%u MB of hugepages are asked for, and %" PRIu64 " MB are free",
			       asked, available);
	return gw_fail(ENOMEM,
		       "%u MB of hugepages are asked for, and could not be had although %" PRIu64
		       " MB are free (%s)",
		       asked, available, gw_log_said());
}

int
gw_eal_start(const struct gw_worker_options *options)
{
	struct arguments arguments = {.count = 0};
	uint64_t available;
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
	// Counted before: an EAL that fails may hold some of them.
	available = free_hugepages();
	if (rte_eal_init(arguments.count, arguments.values) >= 0)
		return 0;
	// EACCES is its word for a kernel that has none of them reserved.
	if (!(options->flags & GW_WORKER_NO_HUGE) && (rte_errno == ENOMEM || rte_errno == EACCES))
		return too_few_hugepages(options->memory_mb, available);
	return gw_fail(rte_errno ?: EINVAL, "DPDK does not start: %s (%s)", rte_strerror(rte_errno),
		       gw_log_said());
}
