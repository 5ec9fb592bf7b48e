/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has gw_control: the mirror's thread, which would have it all the time, and calls. */
#include <unistd.h>

#include "../worker.h"
#include "parts.h"

enum {
	BREATH = 50, /* us without it, when there is more to do */
	BREATHS = 200, /* for calls that never end */
};

static uint32_t waiting; /* calls */

void
mirror_enter(void)
{
	__atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&gw_control);
	__atomic_fetch_sub(&waiting, 1, __ATOMIC_RELAXED);
}

void
mirror_leave(void)
{
	pthread_mutex_unlock(&gw_control);
}

// A mutex that is let go and taken at once would starve the others.
void
mirror_let_others_in(void)
{
	for (int i = 0; i < BREATHS; i++) {
		usleep(BREATH);
		if (!__atomic_load_n(&waiting, __ATOMIC_RELAXED))
			return;
	}
}
