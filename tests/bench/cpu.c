// SPDX-License-Identifier: GPL-2.0-or-later
// Where and how urgently a thread runs.

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

#include "bench.h"

int
pin_to_cpu(int cpu)
{
	const struct sched_param realtime = {.sched_priority = 1};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return -errno;
	// Whatever else runs on the machine shall disturb as little as possible: a run takes a second
	// or two, and the kernel itself keeps a share of the core for the others.
	if (sched_setscheduler(0, SCHED_FIFO, &realtime) && setpriority(PRIO_PROCESS, 0, -20))
		return -errno;

	return 0;
}
