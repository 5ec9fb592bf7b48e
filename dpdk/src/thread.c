/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE // pthread_setaffinity_np, pthread_setname_np
#include "thread.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

#include "error.h"
#include "worker.h"

// What the caller may use, without the data cores; the lone core of a box serves both.
static void
keep_off_data_cores(pthread_t thread)
{
	const struct gw_worker_options *options = &gw_the_worker.options;
	cpu_set_t cpus;

	if (pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0)
		return;
	for (uint32_t i = 0; i < options->core_count; i++)
		CPU_CLR(options->cores[i], &cpus);
	if (CPU_COUNT(&cpus) > 0)
		pthread_setaffinity_np(thread, sizeof(cpus), &cpus);
}

int
gw_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument)
{
	sigset_t all, before;
	int failed;

	// Signals are Python's main thread's.
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return gw_fail(failed, "thread %s: %s", name, strerror(failed));
	pthread_setname_np(*thread, name);
	keep_off_data_cores(*thread);
	return 0;
}
