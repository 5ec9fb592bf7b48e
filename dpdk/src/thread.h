/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads beside the lcores. */
#ifndef GW_THREAD_H
#define GW_THREAD_H

#include <pthread.h>

/* A thread on the CPUs that are no data lcore's, as long as there is one. Name: 15 characters. */
int gw_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument);

#endif
