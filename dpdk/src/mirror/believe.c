/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel sees none of the frames that the data path forwards, and would forget neighbours and
 * stations in the midst of it. So gateways are `managed` by it (5.16), and it is told which other
 * neighbours and which stations were used; who is silent ages as ever.
 */
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "../fdb.h"
#include "parts.h"

enum {
	FLAGS_EXT = 15, /* NDA_FLAGS_EXT */
	MANAGED_MAX = 512, /* the kernel keeps some 1 000 neighbours, unless it is told otherwise */
	NEIGHBOUR_ROUND = 5, /* s */
	REFRESH = 60, /* s between two reports of one station, at most */
	PARTS = 4, /* of a station's life */
	FIXED = NUD_PERMANENT | NUD_NOARP,
};

/* Gateways that are to be managed as soon as all events were read: see manage(). */
static uint32_t waiting[256], waiting_count, managed_count;
static uint32_t neighbours_told; /* s */

static struct nlmsghdr *
begin(uint8_t family, uint32_t ifindex, uint16_t state, uint8_t flags, uint16_t how)
{
	struct nlmsghdr *message = request_begin(RTM_NEWNEIGH, how);
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));

	nd->ndm_family = family;
	nd->ndm_ifindex = ifindex;
	nd->ndm_state = state;
	nd->ndm_flags = flags;
	return message;
}

static struct nlmsghdr *
begin_neighbour(const struct hop *hop, uint8_t flags, uint16_t how)
{
	bool is4 = hop->key.family == FAMILY4;
	struct nlmsghdr *message =
		begin(is4 ? AF_INET : AF_INET6, hop->key.ifindex, NUD_NONE, flags, how);

	mnl_attr_put(message, NDA_DST, is4 ? 4 : 16, hop->key.address);
	return message;
}

/*
 * Such a request makes a permanent entry an ordinary one. So it is sent when all that the kernel has
 * said was read, replaces what is known not to be permanent, and else only makes what is not there.
 */
static void
manage(struct hop *hop)
{
	struct nlmsghdr *message;

	if (hop->flags & HOP_MANAGED_ALREADY || hop->state & FIXED)
		return;
	if (hop->flags & HOP_MANAGED ? !(hop->flags & HOP_UNMANAGED) : managed_count >= MANAGED_MAX)
		return;
	message = begin_neighbour(hop, 0, NLM_F_CREATE | (hop->state ? NLM_F_REPLACE : NLM_F_EXCL));
	mnl_attr_put_u32(message, FLAGS_EXT, NTF_EXT_MANAGED);
	request_end(message);
	managed_count += !(hop->flags & HOP_MANAGED);
	hop->flags |= HOP_MANAGED;
}

static bool
is_gateway(const struct hop *hop)
{
	const struct link *link = link_find(hop->key.ifindex);

	return hop->references && !hop->key.connected && !hop->key.mtu && link && link->slot &&
	       link->flags & LINK_UP;
}

void
believe_hop(struct hop *hop)
{
	// Those that are too many at once are found by the next round.
	if (waiting_count < RTE_DIM(waiting))
		waiting[waiting_count++] = table_index(&mirror.hops, hop);
}

void
believe_waiting(void)
{
	for (uint32_t i = 0; i < waiting_count; i++) {
		struct hop *hop = table_at(&mirror.hops, waiting[i]);

		if (hop && is_gateway(hop))
			manage(hop);
	}
	waiting_count = 0;
}

void
believe_no_more(struct hop *hop)
{
	if (!(hop->flags & HOP_MANAGED))
		return;
	hop->flags &= ~(HOP_MANAGED | HOP_UNMANAGED);
	managed_count--;
	// It is looked at once more, and ages like any other from then on.
	if (hop->state && !(hop->state & FIXED))
		request_end(begin_neighbour(hop, NTF_USE, NLM_F_REPLACE));
}

void
believe_lost(struct hop *hop)
{
	if (hop->flags & HOP_MANAGED)
		managed_count--;
	hop->flags &= ~(HOP_MANAGED | HOP_MANAGED_ALREADY | HOP_UNMANAGED);
}

// Also by way of a route with an MTU of its own, whose state the neighbour has.
static void
tell_neighbour(struct hop *hop)
{
	struct hop_key base = hop->key;
	const struct hop *neighbour = hop;
	uint32_t used;

	if (hop->nexthop < GW_NEXTHOP_FIRST_FREE || hop->key.connected)
		return;
	used = gw_nexthops[hop->nexthop].used;
	base.mtu = 0;
	if (hop->key.mtu)
		neighbour = table_find(&mirror.hops, &base);
	if (used != hop->used && neighbour && neighbour->state & NUD_STALE)
		request_end(begin_neighbour(neighbour, NTF_USE, NLM_F_REPLACE));
	hop->used = used;
}

// s between two reports of what the device forgets.
static uint32_t
interval_of(uint32_t ifindex)
{
	const struct link *link = link_find(ifindex);
	uint32_t interval = link ? RTE_MIN(link->ageing / PARTS, (uint32_t)REFRESH) : 0;

	return RTE_MAX(interval, 1u);
}

// The VXLAN device's own entry, as it is, or its VTEP would change.
static void
tell_entry(const struct entry *entry)
{
	const struct place *place = remote_place(entry->remote);
	struct nlmsghdr *message;

	if (!place)
		return;
	message = begin(AF_BRIDGE, entry->key.ifindex, NUD_REACHABLE, NTF_SELF | NTF_USE,
			NLM_F_REPLACE);
	mnl_attr_put(message, NDA_LLADDR, sizeof(entry->key.mac), entry->key.mac);
	mnl_attr_put(message, NDA_DST, place->family == 4 ? 4 : 16, place->address);
	if (place->port)
		mnl_attr_put_u16(message, NDA_PORT, place->port);
	if (place->vni)
		mnl_attr_put_u32(message, NDA_VNI, place->vni);
	if (place->via)
		mnl_attr_put_u32(message, NDA_IFINDEX, place->via);
	request_end(message);
}

static void
tell_bridge(const struct station *station)
{
	struct nlmsghdr *message =
		begin(AF_BRIDGE, station->port, NUD_REACHABLE, NTF_MASTER | NTF_USE, NLM_F_REPLACE);

	mnl_attr_put(message, NDA_LLADDR, sizeof(station->key.mac), station->key.mac);
	request_end(message);
}

static void
tell_station(struct station *station, uint32_t now)
{
	int32_t place = station->ages ? station_place(station) : -1;
	const struct entry *entry;
	uint32_t seen, interval;

	if (place < 0)
		return;
	seen = gw_fdb_entries[place].seen;
	if (seen == station->seen)
		return;
	entry = station->device ? entry_find(station->device, station->key.mac) : NULL;
	interval = interval_of(station->key.bridge);
	if (entry && entry->ages)
		interval = RTE_MIN(interval, interval_of(station->device));
	if (now - station->told < interval)
		return;
	station->seen = seen;
	station->told = now;
	if (station->kind == STATION_LEARNED)
		tell_bridge(station);
	if (entry && entry->ages)
		tell_entry(entry);
}

void
believe_round(uint32_t now)
{
	struct station *station;
	struct hop *hop;

	for (uint32_t i = 0; (station = table_walk(&mirror.stations, &i));)
		tell_station(station, now);
	if (now - neighbours_told >= NEIGHBOUR_ROUND) {
		neighbours_told = now;
		for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));) {
			tell_neighbour(hop);
			if (is_gateway(hop))
				manage(hop);
		}
	}
}

void
believe_nothing(void)
{
	struct hop *hop;

	for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));)
		believe_no_more(hop);
	waiting_count = managed_count = 0;
}
