/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which slot of gw_mappings an outside endpoint has, and back. */
#ifndef GW_SLOTS_H
#define GW_SLOTS_H
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include "maps.h"

static __always_inline __u32
nat_protocol(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? GW_NAT_TCP :
	       protocol == IPPROTO_UDP ? GW_NAT_UDP :
					 GW_NAT_ICMP;
}

static __always_inline __u32
slot_of(__u32 pool_index, __u8 protocol, __u16 port)
{
	return (pool_index * GW_NAT_PROTOCOLS + nat_protocol(protocol)) << 16 | port;
}

/* The outside port of a slot, in network byte order. */
static __always_inline __u16
slot_port(__u32 slot)
{
	return bpf_htons((__u16)slot);
}

static __always_inline __u32
slot_address(const struct gw_settings *nat, __u32 slot)
{
	__u32 index = (slot >> 16) / GW_NAT_PROTOCOLS;

	barrier_var(index); /* or the compiler moves the check before the division */
	return index < GW_POOL_MAX ? nat->pool[index] : 0;
}

/* Which index of the pool an outside address has; GW_POOL_MAX when it is not of the pool. */
static __always_inline __u32
pool_index(const struct gw_settings *nat, __u32 outside_address)
{
#pragma unroll
	for (__u32 i = 0; i < GW_POOL_MAX; i++)
		if (i < nat->pool_size && nat->pool[i] == outside_address)
			return i;
	return GW_POOL_MAX;
}
#endif
