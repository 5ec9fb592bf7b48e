/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Could the data path have written this record? A damaged file is refused here. */
#ifndef GW_SAVED_H
#define GW_SAVED_H
#include "route.h"

enum {
	SESSION_FLAGS =
		GW_SESSION_INBOUND | GW_SESSION_HAIRPIN | GW_SESSION_STATIC | GW_SESSION_PERMIT,
	SAVED_HOLDS = GW_SAVED_MAPPING | GW_SAVED_PEER | GW_SAVED_PERMIT,
	FINS_BOTH = 3,
};

static __always_inline bool
saved_endpoints_fit(const struct gw_saved *saved)
{
	const struct gw_tuple *arrives = &saved->arrives, *leaves = &saved->leaves;

	if (!unicast(arrives->saddr) || !unicast(arrives->daddr) || !unicast(leaves->saddr) ||
	    !unicast(leaves->daddr))
		return false;
	if (saved->flags & GW_SESSION_HAIRPIN)
		return true;
	/* The remote endpoint is never translated. */
	if (saved->flags & GW_SESSION_INBOUND)
		return arrives->saddr == leaves->saddr && arrives->sport == leaves->sport;
	return arrives->daddr == leaves->daddr && arrives->dport == leaves->dport;
}

static __always_inline bool
saved_state_fits(const struct gw_saved *saved)
{
	if (saved->protocol == IPPROTO_TCP)
		return saved->tcp_state >= GW_TCP_OPENING && saved->tcp_state <= GW_TCP_CLOSING &&
		       saved->fins <= FINS_BOTH;
	return (saved->protocol == IPPROTO_UDP || saved->protocol == IPPROTO_ICMP) &&
	       saved->tcp_state == GW_TCP_NONE && !saved->fins;
}

static __always_inline bool
saved_makes_sense(const struct gw_saved *saved)
{
	bool hairpin = saved->flags & GW_SESSION_HAIRPIN;

	if (saved->flags & ~SESSION_FLAGS || saved->holds & ~SAVED_HOLDS)
		return false;
	if (hairpin && saved->flags & GW_SESSION_INBOUND)
		return false;
	/* Of its own endpoint a session holds the mapping, unless that is a static one. */
	if (!(saved->flags & GW_SESSION_STATIC) != !!(saved->holds & GW_SAVED_MAPPING))
		return false;
	if (saved->holds & GW_SAVED_PEER && !hairpin)
		return false;
	return saved_state_fits(saved) && saved_endpoints_fit(saved);
}
#endif
