/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a bridge's frames go, from access ports and from tunnels. */
#ifndef GW_BRIDGE_H
#define GW_BRIDGE_H

#include <rte_hash.h>

#include "../fdb.h"
#include "l3.h"

/* The edges that `bridge` and `vxlan-bridge` have in common, in the order of enum gw_l3_edge. */
enum gw_bridge_edge {
	GW_BRIDGE_IP4,
	GW_BRIDGE_IP6,
	GW_BRIDGE_TX,
	GW_BRIDGE_PUNT,
	GW_BRIDGE_VXLAN4,
	GW_BRIDGE_VXLAN6,
	GW_BRIDGE_DROP,
	GW_BRIDGE_EDGES,
};

static_assert((int)GW_BRIDGE_IP4 == GW_L3_IP4 && (int)GW_BRIDGE_IP6 == GW_L3_IP6, "see l3.h");
static_assert((int)GW_BRIDGE_PUNT == GW_L3_PUNT, "see l3.h");
static_assert((int)GW_BRIDGE_VXLAN4 == GW_L3_VXLAN4 && (int)GW_BRIDGE_VXLAN6 == GW_L3_VXLAN6,
	      "see l3.h");

enum { GW_BRIDGE_KEYS = RTE_HASH_LOOKUP_BULK_MAX, GW_BRIDGE_FRAMES = GW_BRIDGE_KEYS / 2 };

static inline uint8_t
gw_bridge_because(struct rte_mbuf *mbuf, enum gw_counter reason, uint8_t edge)
{
	gw_because(mbuf, reason);
	return edge;
}

/* Of an address in a frame's Ethernet header: the two bytes behind it are read as well. Written as
 * words, for as words it is read again soon. */
static inline void
gw_bridge_key(struct gw_fdb_key *key, const struct rte_ether_addr *mac, uint16_t bridge)
{
	const uint64_t rest = bridge;
	uint64_t address;

	memcpy(&address, mac, sizeof(address));
	address &= RTE_LE64(0xffffffffffff);
	memcpy(key, &address, sizeof(address));
	memcpy((uint8_t *)key + sizeof(address), &rest, sizeof(rest));
}

/* The places of `count` entries; negative: none. */
static inline void
gw_bridge_find(const struct gw_fdb_key *keys, uint16_t count, int32_t *places)
{
	const void *pointers[GW_BRIDGE_KEYS];

	for (uint16_t i = 0; i < count; i++)
		pointers[i] = &keys[i];
	rte_hash_lookup_bulk(gw_fdb, pointers, count, places);
}

static inline void
gw_bridge_seen(struct gw_fdb_entry *entry, uint32_t now)
{
	if (entry->seen != now)
		entry->seen = now;
}

/* For the bridge itself. Other addresses of this kind are those of single ports, and of devices on
 * top of it: whom they are for depends on the port, and the kernel knows. */
static inline uint8_t
gw_bridge_local(struct rte_mbuf *mbuf, uint16_t slot)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const struct gw_interface *bridge = &gw_interfaces[slot];

	if (unlikely(!rte_is_same_ether_addr(&ether->dst_addr, &bridge->mac)))
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, GW_BRIDGE_PUNT);
	gw_mark(mbuf)->interface = slot;
	// Out of a tunnel, it has been through there.
	return *gw_outer(mbuf) ? gw_l3_edge(mbuf, ether, bridge->flags) :
				 gw_l3_arrives(mbuf, ether, bridge->flags);
}

/* Out by a port, where the FDB has the destination; counted as `reason` then. */
static inline uint8_t
gw_bridge_out(struct rte_mbuf *mbuf, uint16_t port, uint16_t slot, enum gw_counter reason)
{
	const struct gw_interface *out;

	if (port == (uint16_t)GW_NO_PORT)
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, GW_BRIDGE_PUNT);
	out = &gw_interfaces[gw_ports[port].interface];
	// It has left the bridge, and the kernel is about to say so of its stations.
	if (unlikely(out->master != slot))
		return gw_bridge_because(mbuf, GW_PUNT_BRIDGE_MISS, GW_BRIDGE_PUNT);
	if (unlikely(out->flags & GW_IF_STP_BLOCKED))
		return gw_bridge_because(mbuf, GW_DROP_BRIDGE_STATE, GW_BRIDGE_DROP);
	// The kernel drops those as well, and counts them where its owner looks.
	if (unlikely(rte_pktmbuf_pkt_len(mbuf) > out->mtu + RTE_ETHER_HDR_LEN))
		return gw_bridge_because(mbuf, GW_PUNT_TOO_BIG, GW_BRIDGE_PUNT);
	mbuf->port = port;
	return gw_bridge_because(mbuf, reason, GW_BRIDGE_TX);
}

#endif
