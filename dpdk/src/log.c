/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE // fopencookie
#include "log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread char said[160];
static __thread int hushed;

// DPDK flushes after each message, so that this is called in the thread that said it.
static ssize_t
take(void *nothing __attribute__((unused)), const char *text, size_t size)
{
	if (!hushed)
		fwrite(text, 1, size, stderr);
	if (said[0] == '\0')
		snprintf(said, sizeof(said), "%.*s", (int)strcspn(text, "\n"), text);
	return size;
}

// For good: other threads may write at any time.
static void
redirect(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = take});

	if (stream)
		rte_openlog_stream(stream);
}

void
gw_log_forget(void)
{
	pthread_once(&once, redirect);
	said[0] = '\0';
}

const char *
gw_log_said(void)
{
	return said;
}

void
gw_log_hush(int on)
{
	hushed = on;
}
