/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vxlan_way.h"

#include <string.h>

#include "../fib.h"
#include "../interface.h"
#include "../neighbour.h"
#include "vxlan_header.h"

enum {
	DESTINATION4 = RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv4_hdr, dst_addr),
	DESTINATION6 = RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv6_hdr, dst_addr),
};

static inline bool
is_ip6(const struct gw_tunnel *tunnel)
{
	return tunnel->length == GW_VXLAN_OUTER6;
}

static uint16_t
route(const struct gw_tunnel *tunnel)
{
	uint32_t address;

	if (is_ip6(tunnel))
		return gw_fib6_find(&tunnel->header[DESTINATION6]);
	memcpy(&address, &tunnel->header[DESTINATION4], sizeof(address));
	return gw_fib4_find(rte_be_to_cpu_32(address));
}

// On a link of ours: the next hop of the host itself, or GW_NEXTHOP_NONE.
static uint16_t
neighbour(const struct gw_tunnel *tunnel, uint16_t interface)
{
	struct gw_neighbour4_key key4 = {.interface = interface};
	struct gw_neighbour6_key key6 = {.interface = interface};
	void *found = NULL;
	int place;

	memcpy(&key4.address, &tunnel->header[DESTINATION4], sizeof(key4.address));
	memcpy(key6.address, &tunnel->header[DESTINATION6], sizeof(key6.address));
	place = is_ip6(tunnel) ? rte_hash_lookup_data(gw_neighbours6, &key6, &found) :
				 rte_hash_lookup_data(gw_neighbours4, &key4, &found);
	return place < 0 ? GW_NEXTHOP_NONE : (uint16_t)(uintptr_t)found;
}

// A device is bound to one link, and the way leads out by another: the kernel knows better.
static bool
is_astray(const struct gw_tunnel *tunnel, const struct gw_nexthop *nexthop)
{
	const uint32_t link = gw_segments[tunnel->segment].link;
	const uint8_t kind = gw_nexthop_kind(nexthop);

	if (!link || kind == GW_NEXTHOP_PUNT || kind == GW_NEXTHOP_DROP)
		return false;
	return kind == GW_NEXTHOP_GROUP || gw_interfaces[nexthop->interface].ifindex != link;
}

// What a route's or a group's next hop comes to; a group stays one.
static union gw_tunnel_way
resolved(const struct gw_tunnel *tunnel, uint16_t index)
{
	const struct gw_nexthop *nexthop = &gw_nexthops[index];
	union gw_tunnel_way way = {.nexthop = index, .mtu = nexthop->mtu};

	if (is_astray(tunnel, nexthop))
		way.nexthop = GW_NEXTHOP_POLICY;
	else if (gw_nexthop_kind(nexthop) == GW_NEXTHOP_CONNECTED)
		way.nexthop = neighbour(tunnel, nexthop->interface) ?: index;
	way.mtu = RTE_MIN(way.mtu, gw_nexthops[way.nexthop].mtu);
	return way;
}

union gw_tunnel_way
gw_tunnel_ask(struct gw_tunnel *tunnel)
{
	// Before the tables are read: what changes meanwhile has a later version.
	const uint32_t version = __atomic_load_n(&gw_ways_version, __ATOMIC_ACQUIRE);
	const uint8_t *closed = is_ip6(tunnel) ? &gw_fib6_closed : &gw_fib4_closed;
	union gw_tunnel_way way = {.nexthop = GW_NEXTHOP_POLICY};

	if (unlikely(__atomic_load_n(closed, __ATOMIC_ACQUIRE)))
		return way;
	way = resolved(tunnel, route(tunnel));
	way.version = version;
	__atomic_store_n(&tunnel->way.word, way.word, __ATOMIC_RELAXED);
	return way;
}

union gw_tunnel_way
gw_tunnel_member(const struct gw_tunnel *tunnel, uint32_t group, uint32_t hash)
{
	return resolved(tunnel, gw_nexthops[group].buckets[hash % GW_GROUP_BUCKETS]);
}

bool
gw_tunnel_leaves_by(struct gw_tunnel *tunnel, uint16_t interface)
{
	const struct gw_nexthop *nexthop = &gw_nexthops[gw_tunnel_answer(tunnel).nexthop];

	if (gw_nexthop_kind(nexthop) != GW_NEXTHOP_GROUP)
		return nexthop->interface == interface;
	for (uint32_t bucket = 0; bucket < GW_GROUP_BUCKETS; bucket++)
		if (gw_nexthops[nexthop->buckets[bucket]].interface == interface)
			return true;
	return false;
}
