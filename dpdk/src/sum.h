/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Internet checksum of long frames (RFC 1071). */
#ifndef GW_SUM_H
#define GW_SUM_H

#include <rte_ip.h>
#include <rte_mbuf.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* As rte_raw_cksum, which takes a third longer for a frame of 1500 bytes. */
static inline uint16_t
gw_sum(const void *data, uint32_t length)
{
#ifdef __SSE2__
	enum { STEP = 2 * sizeof(__m128i), SHORT = 4 * STEP, BIAS = 1 << 15 };
	const __m128i bias = _mm_set1_epi16((short)BIAS), ones = _mm_set1_epi16(1);
	const uint8_t *at = data, *end = at + length / STEP * STEP;
	__m128i even = _mm_setzero_si128(), odd = even;
	int32_t lanes[4];
	int64_t sum;

	// Two words are multiplied by one and added in one instruction, which takes them for signed:
	// so each is less by BIAS. A lane has room for 32 768 of them, more than a frame has.
	if (length >= SHORT && length <= UINT16_MAX) {
		for (; at < end; at += STEP) {
			const __m128i *words = (const __m128i *)at;
			const __m128i first = _mm_xor_si128(_mm_loadu_si128(words), bias);
			const __m128i second = _mm_xor_si128(_mm_loadu_si128(words + 1), bias);

			even = _mm_add_epi32(even, _mm_madd_epi16(first, ones));
			odd = _mm_add_epi32(odd, _mm_madd_epi16(second, ones));
		}
		_mm_storeu_si128((__m128i *)lanes, _mm_add_epi32(even, odd));
		sum = (int64_t)lanes[0] + lanes[1] + lanes[2] + lanes[3];
		sum += (int64_t)(length / STEP * STEP / sizeof(uint16_t)) * BIAS;
		sum += rte_raw_cksum(end, length % STEP);
		sum = (sum & 0xffff) + (sum >> 16);
		return (sum & 0xffff) + (sum >> 16);
	}
#endif
	return rte_raw_cksum(data, length);
}

/* sum.c: of `length` bytes from `offset` on, wherever segments end. rte_raw_cksum_mbuf loses carries
 * behind one with an odd number of bytes. */
uint16_t gw_sum_segments(const struct rte_mbuf *mbuf, uint32_t offset, uint32_t length);

#endif
