/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether an IPv4 source is one that frames from there may have: RFC 1812 section 5.3.7, RFC 3704. */
#ifndef GW_IP4_SOURCE_H
#define GW_IP4_SOURCE_H

#include <rte_ip.h>

#include "../fib.h"
#include "../nexthop.h"

/* Addresses of this and above are groups, reserved, or broadcast. */
#define GW_IP4_GROUPS RTE_IPV4(224, 0, 0, 0)

/* What comes in from one of our own addresses is forged or has come round in a circle; the kernel
 * has a switch for that (accept_local). IPv6 has no such check. */
static __rte_noinline bool
gw_ip4_is_own(uint32_t address)
{
	return gw_fib4_find(address) == GW_NEXTHOP_LOCAL;
}

/* 0.0.0.0/8, 127.0.0.0/8, groups, and our own: whether they are martians the kernel knows better, for
 * it has switches for that. */
static inline bool
gw_ip4_is_odd(uint32_t source)
{
	const uint32_t net = source >> 24;

	if (unlikely(net == 0 || net == 127 || source >= GW_IP4_GROUPS))
		return true;
	return unlikely(gw_fib4_may_be_own(source)) && gw_ip4_is_own(source);
}

/* Whether what the FIB says of the source lets frames from there come in by `interface`. What is not a
 * plain route by one device (several next hops, other devices, no route) is for the kernel to judge. */
static inline bool
gw_ip4_way_back(const struct gw_nexthop *nexthop, uint16_t interface, bool strict)
{
	const bool plain = nexthop->kind == GW_NEXTHOP_CONNECTED ||
			   nexthop->kind == GW_NEXTHOP_PORT || nexthop->kind == GW_NEXTHOP_BRIDGE;

	if (!plain)
		return nexthop->kind == GW_NEXTHOP_GROUP && !strict;
	return !strict || nexthop->interface == interface;
}

#endif
