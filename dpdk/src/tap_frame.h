/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames to and from a TAP, of one thread. */
#ifndef GW_TAP_FRAME_H
#define GW_TAP_FRAME_H

#include <stdbool.h>

#include <rte_mbuf.h>

enum gw_tap_frame_limits {
	GW_TAP_SEGMENTS = 8, /* of one frame */
	GW_TAP_STASH = 64,
};

/* Mbufs for reading, taken many at a time: the thread has no cache in the pool. */
struct gw_tap_stash {
	struct rte_mbuf *mbufs[GW_TAP_STASH];
	uint32_t count;
};

/* Mbufs that hold a frame of that length, and a byte more. */
uint32_t gw_tap_segments(uint32_t longest);

/* At least so many are there afterwards; false: the pool has none. */
bool gw_tap_fill(struct gw_tap_stash *stash, uint32_t least);
void gw_tap_empty(struct gw_tap_stash *stash);

/*
 * One frame in at most `segments` mbufs of the stash, or NULL with errno; EMSGSIZE: it filled
 * all of them and may have been cut off, so it is lost.
 */
struct rte_mbuf *gw_tap_read(int fd, struct gw_tap_stash *stash, uint32_t segments);

/* False: the TAP does not take it. The mbuf stays the caller's. */
bool gw_tap_write(int fd, const struct rte_mbuf *mbuf);

#endif
