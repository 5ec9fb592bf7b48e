/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TAPs by which bridges of the kernel hear what the worker floods in their stead: what is written
 * there arrives at the bridge itself and is not flooded again, which the agent has seen to.
 */
#ifndef GW_HEARD_H
#define GW_HEARD_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

struct gw_heard {
	uint32_t id; /* 0: none, or it could not be opened */
	uint32_t ifindex;
	int error; /* why not, as errno; 0: nobody asked */
};

/*
 * The TAP of that name; opened if it is not yet, or is another device by now. It waits for the
 * kernel's lock of devices: not with gw_control held, and by one thread at a time, as the next one.
 */
struct gw_heard gw_heard_open(const char *name);
/* Closes all but these, once nobody floods to the others. Frames that still wait for one of them are lost and counted. */
void gw_heard_keep(const uint32_t *ids, uint32_t count);

/* The exception thread's; false: it is not there any more, or does not take the frame. */
bool gw_heard_write(uint32_t id, const struct rte_mbuf *mbuf);

#endif
