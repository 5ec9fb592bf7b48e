/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one node tells the next about a frame: eight bytes in the mbuf's first cache line. */
#ifndef GW_MARK_H
#define GW_MARK_H

#include <rte_mbuf.h>

/* In place of the RSS hash, which nobody here asks a NIC for. */
struct gw_mark {
	uint32_t nexthop; /* what the lookup found */
	uint16_t interface; /* slot of the L3 device that the frame came in by */
	union {
		struct {
			uint8_t reason; /* enum gw_counter, for punt, drop and tx */
			uint8_t from; /* port that it came in by; mbuf->port becomes the one out */
		};
		uint16_t fate; /* both */
	};
};

static_assert(sizeof(struct gw_mark) <= sizeof(((struct rte_mbuf *)0)->hash.sched), "fits");

static inline struct gw_mark *
gw_mark(struct rte_mbuf *mbuf)
{
	return (struct gw_mark *)&mbuf->hash;
}

/*
 * Bytes of outer headers that were taken off, and are still there in front of the frame: whoever
 * punts it puts them back. In place of a tag that nobody here has a NIC take off.
 */
static inline uint16_t *
gw_outer(struct rte_mbuf *mbuf)
{
	return &mbuf->vlan_tci_outer;
}

#endif
