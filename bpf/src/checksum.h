/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One's complement arithmetic, RFC 1624: a change is kept as a sum that can be added. */
#ifndef GW_CHECKSUM_H
#define GW_CHECKSUM_H
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "gw_abi.h"

static __always_inline __u16
csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The checksum of so many bytes, a multiple of 4, in which its own field is zero. */
static __always_inline __u16
csum_of(const void *data, __u32 length)
{
	return ~csum_fold(csum_fold(bpf_csum_diff(0, 0, (__be32 *)data, length, 0)));
}

static __always_inline __u32
csum_word32(__u32 value)
{
	return (value & 0xffff) + (value >> 16);
}

/* What the checksum's sum grows by when the addresses change; never the two zeros at once. */
static __always_inline __u32
csum_delta_addresses(const struct gw_tuple *from, const struct gw_tuple *to)
{
	return csum_word32(~from->saddr) + csum_word32(to->saddr) + csum_word32(~from->daddr) +
	       csum_word32(to->daddr);
}

static __always_inline __u32
csum_delta_ports(const struct gw_tuple *from, const struct gw_tuple *to)
{
	return (__u16)~from->sport + to->sport + (__u16)~from->dport + to->dport;
}

static __always_inline __u16
csum_apply(__u16 checksum, __u32 delta)
{
	return ~csum_fold((__u16)~checksum + delta);
}
#endif
