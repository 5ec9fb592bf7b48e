/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one's complement sum of what a frame holds from some place on, as a UDP checksum needs it. */
#ifndef GW_FRAME_SUM_H
#define GW_FRAME_SUM_H
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "checksum.h"

enum {
	SUM_BLOCK = 512, /* what 6.1 sums in one call */
	SUM_BLOCKS = 7,
	SUM_MAX = SUM_BLOCKS * SUM_BLOCK, /* a frame of one page has no more */
};

/* Adds one piece of `size` bytes, if the length has that bit. Where it begins follows from the
 * length alone and not from the pieces before it: the verifier would follow every combination. */
#define SUM_PIECE(size)                                                                            \
	do {                                                                                       \
		__u32 offset = length & ~(2 * (size)-1) & (SUM_MAX | (SUM_MAX - 1));               \
		void *piece = start + offset;                                                      \
                                                                                                   \
		if (length & (size)) {                                                             \
			if (piece + (size) > end)                                                  \
				return false;                                                      \
			total = bpf_csum_diff(0, 0, piece, size, total);                           \
		}                                                                                  \
	} while (0)

/* Adds `length` bytes from `start` on, a multiple of two from the beginning of what is summed;
 * false: the frame ends before, or it is more than SUM_MAX. */
static __always_inline bool
frame_sum(void *start, void *end, __u32 length, __u32 *sum)
{
	__u32 total = *sum, offset;
	void *last;

	if (length >= SUM_MAX)
		return false;
	for (__u32 i = 0; i < SUM_BLOCKS; i++) {
		void *block = start + i * SUM_BLOCK;

		if ((i + 1) * SUM_BLOCK > length)
			break;
		if (block + SUM_BLOCK > end)
			return false;
		total = bpf_csum_diff(0, 0, block, SUM_BLOCK, total);
	}
	SUM_PIECE(256);
	SUM_PIECE(128);
	SUM_PIECE(64);
	SUM_PIECE(32);
	SUM_PIECE(16);
	SUM_PIECE(8);
	SUM_PIECE(4);
	total = csum_word32(total);
	offset = length & ~3U & (SUM_MAX | (SUM_MAX - 1));
	last = start + offset;
	if (length & 2) {
		if (last + 2 > end)
			return false;
		total += *(__u16 *)last;
	}
	offset = length & ~1U & (SUM_MAX | (SUM_MAX - 1));
	last = start + offset;
	if (length & 1) {
		if (last + 1 > end)
			return false;
		total += *(__u8 *)last;
	}
	*sum = total;
	return true;
}
#endif
