/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loaded into gw-worker before DPDK: of a frame whose source address ends with f0 and more, only so
 * many copies can be made as it is more than that. The pool itself cannot be emptied by frames, for
 * whoever holds some of its buffers has them reserved.
 */
#define _GNU_SOURCE // RTLD_NEXT
#include <dlfcn.h>

#include <rte_mbuf.h>

enum { LAST_OF_SOURCE = 11, NONE = 0xf0 };

typedef struct rte_mbuf *copying(const struct rte_mbuf *, struct rte_mempool *, uint32_t, uint32_t);

struct rte_mbuf *
rte_pktmbuf_copy(const struct rte_mbuf *mbuf, struct rte_mempool *pool, uint32_t offset,
		 uint32_t length)
{
	static __thread uint8_t made;
	const uint8_t last = rte_pktmbuf_mtod(mbuf, const uint8_t *)[LAST_OF_SOURCE];
	copying *copy = (copying *)dlsym(RTLD_NEXT, "rte_pktmbuf_copy");
	const char *why;

	// It is called for its library, too, which has to be one of ours to be found above.
	if (rte_mbuf_check(mbuf, 1, &why) < 0)
		return NULL;
	if (last >= NONE && made++ == last - NONE) {
		made = 0;
		return NULL;
	}
	return copy(mbuf, pool, offset, length);
}
