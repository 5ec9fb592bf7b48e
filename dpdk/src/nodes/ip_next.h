/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the FIB's answer to the way out; the same for IPv4 and IPv6. */
#ifndef GW_IP_NEXT_H
#define GW_IP_NEXT_H

#include <rte_hash.h>
#include <rte_hash_crc.h>

#include "../tunnel.h"
#include "node.h"

enum gw_ip_edge { GW_IP_REWRITE, GW_IP_PUNT, GW_IP_DROP, GW_IP_VXLAN, GW_IP_EDGES };

/* In place of the FIB's answer: the mark has a reason already. Not an index of a route's. */
enum { GW_NEXTHOP_REFUSED = GW_NEXTHOPS };

/* A burst on its way from the FIB's answers to edges. */
struct gw_ip_burst {
	/* What frames of one flow have in common. */
	uint32_t (*flow)(struct rte_mbuf *mbuf);
	/* Of at most RTE_HASH_LOOKUP_BULK_MAX frames whose next hop is CONNECTED, that of the
	 * neighbour, or GW_NEXTHOP_NONE. */
	void (*neighbours)(struct rte_mbuf **mbufs, const uint64_t *nexthops, uint32_t *found,
			   uint16_t count);
	uint64_t *nexthops;
	uint8_t *next;
};

static inline uint32_t
gw_flow_hash(const void *source, uint32_t length, const void *destination)
{
	return rte_hash_crc(destination, length, rte_hash_crc(source, length, 0));
}

/* Kinds that say all; CONNECTED and GROUP have led to one of these before. */
static inline uint8_t
gw_ip_edge(struct rte_mbuf *mbuf, uint32_t index)
{
	const struct gw_nexthop *nexthop = &gw_nexthops[index];

	gw_mark(mbuf)->nexthop = index;
	switch (gw_nexthop_kind(nexthop)) {
	case GW_NEXTHOP_PORT:
	case GW_NEXTHOP_BRIDGE:
		return GW_IP_REWRITE;
	case GW_NEXTHOP_DROP:
		gw_because(mbuf, nexthop->reason);
		return GW_IP_DROP;
	case GW_NEXTHOP_PUNT:
		gw_because(mbuf, nexthop->reason);
		return index == GW_NEXTHOP_LOCAL && gw_segment_count ? GW_IP_VXLAN : GW_IP_PUNT;
	default:
		// A neighbour entry or a group's member is never one of those itself.
		gw_because(mbuf, GW_PUNT_NEIGHBOUR);
		return GW_IP_PUNT;
	}
}

/* Frames for hosts on our own links, which one table more has: as many as one lookup takes. */
static __rte_noinline void
gw_ip_connected(const struct gw_ip_burst *burst, void **objs, const uint16_t *places,
		uint16_t count)
{
	struct rte_mbuf *mbufs[RTE_HASH_LOOKUP_BULK_MAX];
	uint64_t nexthops[RTE_HASH_LOOKUP_BULK_MAX];
	uint32_t found[RTE_HASH_LOOKUP_BULK_MAX];

	for (uint16_t i = 0; i < count; i++) {
		mbufs[i] = objs[places[i]];
		nexthops[i] = burst->nexthops[places[i]];
	}
	burst->neighbours(mbufs, nexthops, found, count);
	for (uint16_t i = 0; i < count; i++) {
		// Of the route, which may be less than that of the neighbour's device.
		const uint32_t mtu = gw_nexthops[nexthops[i]].mtu;
		uint8_t edge = GW_IP_PUNT;

		if (found[i] == GW_NEXTHOP_NONE)
			gw_because(mbufs[i], GW_PUNT_NEIGHBOUR);
		else if (unlikely(rte_pktmbuf_pkt_len(mbufs[i]) > mtu + RTE_ETHER_HDR_LEN))
			gw_because(mbufs[i], GW_PUNT_TOO_BIG);
		else
			edge = gw_ip_edge(mbufs[i], found[i]);
		burst->next[places[i]] = edge;
	}
}

/* Fills burst->next; returns whether the edges differ. */
static __rte_always_inline int
gw_ip_next(const struct gw_ip_burst *burst, void **objs, uint16_t count)
{
	uint16_t connected[RTE_HASH_LOOKUP_BULK_MAX], waiting = 0;
	int mixed = 0;

	for (uint16_t i = 0; i < count; i++) {
		const struct gw_nexthop *nexthop;
		uint64_t index = burst->nexthops[i];

		if (unlikely(index == GW_NEXTHOP_REFUSED)) {
			burst->next[i] = GW_IP_PUNT;
			continue;
		}
		nexthop = &gw_nexthops[index];
		if (unlikely(gw_nexthop_kind(nexthop) == GW_NEXTHOP_GROUP)) {
			uint32_t bucket = burst->flow(objs[i]) % GW_GROUP_BUCKETS;

			index = burst->nexthops[i] = nexthop->buckets[bucket];
			nexthop = &gw_nexthops[index];
		}
		if (gw_nexthop_kind(nexthop) == GW_NEXTHOP_CONNECTED) {
			connected[waiting++] = i;
			if (waiting == RTE_DIM(connected)) {
				gw_ip_connected(burst, objs, connected, waiting);
				waiting = 0;
			}
			continue;
		}
		burst->next[i] = gw_ip_edge(objs[i], index);
	}
	if (waiting)
		gw_ip_connected(burst, objs, connected, waiting);
	for (uint16_t i = 1; i < count; i++)
		mixed |= burst->next[i] ^ burst->next[0];
	return mixed;
}

#endif
