/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tap_frame.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "worker.h"

uint32_t
gw_tap_segments(uint32_t longest)
{
	const uint32_t room =
		rte_pktmbuf_data_room_size(gw_the_worker.mbufs) - RTE_PKTMBUF_HEADROOM;

	return RTE_MIN(longest / room + 1, (uint32_t)GW_TAP_SEGMENTS);
}

bool
gw_tap_write(int fd, const struct rte_mbuf *mbuf)
{
	struct iovec parts[GW_TAP_SEGMENTS];
	int count = 0;

	if (likely(mbuf->nb_segs == 1))
		return write(fd, rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len) >= 0;
	if (mbuf->nb_segs > GW_TAP_SEGMENTS)
		return false;
	for (; mbuf; mbuf = mbuf->next) {
		parts[count].iov_base = rte_pktmbuf_mtod(mbuf, void *);
		parts[count++].iov_len = mbuf->data_len;
	}
	return writev(fd, parts, count) >= 0;
}

bool
gw_tap_fill(struct gw_tap_stash *stash, uint32_t least)
{
	const uint32_t missing = GW_TAP_STASH - stash->count;

	if (stash->count >= least)
		return true;
	if (rte_pktmbuf_alloc_bulk(gw_the_worker.mbufs, stash->mbufs + stash->count, missing) < 0)
		return false;
	stash->count = GW_TAP_STASH;
	return true;
}

// The topmost mbufs of the stash become a frame of that length.
static struct rte_mbuf *
take_frame(struct gw_tap_stash *stash, uint32_t length)
{
	struct rte_mbuf *first = stash->mbufs[--stash->count], *last = first;

	first->pkt_len = length;
	for (;;) {
		last->data_len = RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(last));
		length -= last->data_len;
		if (likely(length == 0))
			return first;
		last->next = stash->mbufs[--stash->count];
		last = last->next;
		first->nb_segs++;
	}
}

struct rte_mbuf *
gw_tap_read(int fd, struct gw_tap_stash *stash, uint32_t segments)
{
	struct iovec parts[GW_TAP_SEGMENTS];
	size_t room = 0;
	ssize_t length;

	for (uint32_t i = 0; i < segments; i++) {
		struct rte_mbuf *mbuf = stash->mbufs[stash->count - 1 - i];

		parts[i].iov_base = rte_pktmbuf_mtod(mbuf, void *);
		parts[i].iov_len = rte_pktmbuf_tailroom(mbuf);
		room += parts[i].iov_len;
	}
	length = readv(fd, parts, segments);
	if (length <= 0)
		return NULL;
	if (unlikely((size_t)length == room)) {
		errno = EMSGSIZE;
		return NULL;
	}
	return take_frame(stash, length);
}

void
gw_tap_empty(struct gw_tap_stash *stash)
{
	rte_pktmbuf_free_bulk(stash->mbufs, stash->count);
	stash->count = 0;
}
