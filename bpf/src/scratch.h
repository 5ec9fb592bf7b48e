/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a packet in a map: what has a variable length is read and written there, where a mask
 * is all the bounds check that is needed, and then stored back.
 */
#ifndef GW_SCRATCH_H
#define GW_SCRATCH_H
#include <bpf/bpf_endian.h>
#include "checksum.h"
#include "maps.h"

enum {
	SCRATCH_MAX = 4096, /* XDP sees frames of one page */
	SCRATCH_STORE = 128, /* bytes that change */
	SCRATCH_CHUNK = 512, /* that bpf_csum_diff takes at once */
};

struct scratch {
	__u8 bytes[SCRATCH_MAX + SCRATCH_CHUNK];
};

/* Written by XDP while it looks at one frame. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} gw_scratch SEC(".maps");

static __always_inline struct scratch *
scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gw_scratch, &zero);
}

/* Copies `length` bytes (1 to SCRATCH_MAX) of the frame from `offset` on; zeros follow them. */
static __always_inline bool
scratch_load(struct xdp_md *ctx, struct scratch *s, __u32 offset, __u32 length)
{
	if (!length || length > SCRATCH_MAX)
		return false;
	/* As the verifier of 6.1 understands it. */
	length = (length - 1) & (SCRATCH_MAX - 1);
	barrier_var(length);
	length++;
	if (bpf_xdp_load_bytes(ctx, offset, s->bytes, length))
		return false;
	s->bytes[length] = s->bytes[length + 1] = s->bytes[length + 2] = 0;
	return true;
}

/* Writes the first `length` bytes back, 1 to SCRATCH_STORE. */
static __always_inline bool
scratch_store(struct xdp_md *ctx, const struct scratch *s, __u32 offset, __u32 length)
{
	if (!length || length > SCRATCH_STORE)
		return false;
	length = (length - 1) & (SCRATCH_STORE - 1);
	barrier_var(length);
	return bpf_xdp_store_bytes(ctx, offset, (void *)s->bytes, length + 1) == 0;
}

/* The one's complement sum, not inverted, of `length` bytes from `start` on, a multiple of 4 below
 * SCRATCH_CHUNK. Of a length that is none, zeros have to follow. */
static __always_inline __u16
scratch_sum(const struct scratch *s, __u32 start, __u32 length)
{
	__s64 sum = 0;

	length = (length + 3) & ~3U;
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < SCRATCH_MAX; at += SCRATCH_CHUNK) {
		__u32 chunk =
			at + SCRATCH_CHUNK <= length ? SCRATCH_CHUNK : length & (SCRATCH_CHUNK - 1);

		if (at >= length)
			break;
		/* Or the compiler would use a bound that the verifier of 6.1 does not see. */
		barrier_var(chunk);
		if (chunk > SCRATCH_CHUNK)
			break;
		sum = bpf_csum_diff(0, 0, (__be32 *)&s->bytes[start + at], chunk, sum);
	}
	return csum_fold(csum_fold(sum));
}
#endif
