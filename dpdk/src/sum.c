/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sum.h"

uint16_t
gw_sum_segments(const struct rte_mbuf *mbuf, uint32_t offset, uint32_t length)
{
	uint32_t sum = 0, done = 0;

	for (; mbuf && done < length; mbuf = mbuf->next) {
		const uint32_t skipped = RTE_MIN(offset, (uint32_t)mbuf->data_len);
		const uint32_t here = RTE_MIN(length - done, mbuf->data_len - skipped);
		const uint16_t part =
			gw_sum(rte_pktmbuf_mtod_offset(mbuf, const void *, skipped), here);

		// Its first byte is the second one of a word.
		sum += done & 1 ? rte_bswap16(part) : part;
		done += here;
		offset -= skipped;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}
