/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Next hops: a neighbour of ours that routes lead to, or hosts on a link, or both. */
#include <stdlib.h>
#include <string.h>

#include "../counters.h"
#include "../lcore.h"
#include "../neighbour.h"
#include "parts.h"

/* Those that nobody refers to any more, perhaps. */
static uint32_t *idle;
static uint32_t idle_count, idle_room;

void
hop_idle(struct hop *hop)
{
	if (hop->references || hop->flags & HOP_IDLE)
		return;
	if (idle_count == idle_room) {
		uint32_t room = idle_room ? idle_room * 2 : 64;
		uint32_t *more = realloc(idle, room * sizeof(*idle));

		if (!more)
			return; // it stays, unused, until it is used and left again
		idle = more;
		idle_room = room;
	}
	hop->flags |= HOP_IDLE;
	idle[idle_count++] = table_index(&mirror.hops, hop);
}

// The one whose neighbour it is: routes of their own MTU have the address in common.
static struct hop_key
base_key(const struct hop_key *key)
{
	struct hop_key base = *key;

	base.mtu = 0;
	return base;
}

static bool
is_variant(const struct hop *hop)
{
	return hop->key.mtu && !hop->key.connected && hop->key.ifindex;
}

struct hop *
hop_get(const struct hop_key *key)
{
	struct hop *hop = table_find(&mirror.hops, key);
	struct hop_key base = base_key(key);
	int nexthop;

	if (hop) {
		hop->references++;
		return hop;
	}
	hop = table_add(&mirror.hops, key, NULL);
	if (!hop) {
		mirror.failed = true;
		return NULL;
	}
	hop->references = 1;
	nexthop = key->ifindex ? gw_nexthop_new(GW_PUNT_NEIGHBOUR) : GW_NEXTHOP_ELSEWHERE;
	hop->nexthop = nexthop < 0 ? GW_NEXTHOP_POLICY : nexthop;
	mirror.crowded.hops += nexthop < 0;
	if (is_variant(hop) && !hop_get(&base)) {
		hop_put(hop);
		return NULL;
	}
	hop_resolve(hop);
	return hop;
}

void
hop_put(struct hop *hop)
{
	hop->references--;
	hop_idle(hop);
}

/* ---- what the data path gets ---------------------------------------------------------------- */

// Noted once, and taken back once.
static void
crowd(struct hop *hop, bool on)
{
	if (on == !!(hop->flags & HOP_CROWDED))
		return;
	hop->flags ^= HOP_CROWDED;
	mirror.crowded.neighbours[hop->key.family] += on ? 1 : -1;
}

static void
list(struct hop *hop, uint16_t slot)
{
	struct gw_neighbour4_key key4 = {.interface = slot};
	struct gw_neighbour6_key key6 = {.interface = slot};
	bool wanted = slot && hop->flags & HOP_NEIGHBOUR && hop->nexthop >= GW_NEXTHOP_FIRST_FREE;
	int result;

	if (!wanted)
		crowd(hop, false);
	if (hop->key.connected || hop->key.mtu || wanted == !!(hop->flags & HOP_LISTED))
		return;
	memcpy(&key4.address, hop->key.address, sizeof(key4.address));
	memcpy(key6.address, hop->key.address, sizeof(key6.address));
	if (hop->key.family == FAMILY4)
		result = wanted ? gw_neighbour4_set(&key4, hop->nexthop) :
				  gw_neighbour4_delete(&key4);
	else
		result = wanted ? gw_neighbour6_set(&key6, hop->nexthop) :
				  gw_neighbour6_delete(&key6);
	if (wanted)
		crowd(hop, result);
	if (wanted && result)
		return;
	hop->flags ^= HOP_LISTED;
	mirror.listed.neighbours[hop->key.family] += wanted ? 1 : -1;
}

static uint32_t
mtu_of(const struct hop *hop, const struct link *link)
{
	uint32_t mtu = link->mtu;

	if (hop->key.family == FAMILY6 && link->mtu6)
		mtu = RTE_MIN(mtu, link->mtu6);
	if (hop->key.mtu)
		mtu = RTE_MIN(mtu, hop->key.mtu);
	return RTE_MIN(mtu, (uint32_t)UINT16_MAX);
}

static void
fill(const struct hop *hop, const struct link *link, struct gw_nexthop *want)
{
	const struct hop_key base = base_key(&hop->key);
	const struct hop *neighbour = is_variant(hop) ? table_find(&mirror.hops, &base) : hop;

	// By a VXLAN device nothing is routed, but by its bridge.
	if (!link || !link->slot || link->flags & LINK_VXLAN) {
		want->reason = GW_PUNT_OTHER_DEVICE;
		return;
	}
	want->reason = GW_PUNT_NEIGHBOUR;
	// For the source's way back, which does not need the neighbour.
	want->interface = link->slot;
	want->mtu = mtu_of(hop, link);
	if (!(link->flags & LINK_UP))
		return;
	if (hop->key.connected) {
		want->kind = GW_NEXTHOP_CONNECTED;
	} else if (gw_interfaces[link->slot].flags & GW_IF_VLAN_AWARE) {
		// With which tag, and whether at all, is up to the port that it leaves by.
		want->reason = GW_PUNT_VLAN;
	} else if (neighbour && neighbour->flags & HOP_NEIGHBOUR) {
		want->port = gw_interfaces[link->slot].port;
		want->kind = want->port == GW_NO_PORT ? GW_NEXTHOP_BRIDGE : GW_NEXTHOP_PORT;
		memcpy(want->header, neighbour->mac, sizeof(neighbour->mac));
		memcpy(want->header + sizeof(neighbour->mac), link->mac, sizeof(link->mac));
	}
}

static bool
is_so(const struct gw_nexthop *is, const struct gw_nexthop *want)
{
	return is->kind == want->kind && is->reason == want->reason && is->port == want->port &&
	       is->interface == want->interface && is->mtu == want->mtu &&
	       !memcmp(is->header, want->header, sizeof(want->header));
}

void
hop_resolve(struct hop *hop)
{
	const struct link *link = link_find(hop->key.ifindex);
	struct gw_nexthop want = {.kind = GW_NEXTHOP_PUNT};

	if (hop->nexthop < GW_NEXTHOP_FIRST_FREE)
		return;
	fill(hop, link, &want);
	if (!is_so(&gw_nexthops[hop->nexthop], &want))
		gw_nexthop_set(hop->nexthop, &want);
	list(hop, link ? link->slot : GW_NO_INTERFACE);
	if (hop->references && !hop->key.connected && link && link->slot &&
	    !(hop->flags & (HOP_MANAGED | HOP_MANAGED_ALREADY)))
		believe_hop(hop);
}

// Those that are going to change become punts together: that is one grace period for all.
static void
quieten(uint32_t ifindex)
{
	const struct link *link = link_find(ifindex);
	uint32_t count = 0;
	struct hop *hop;

	for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));) {
		struct gw_nexthop want = {.kind = GW_NEXTHOP_PUNT};
		struct gw_nexthop *is = &gw_nexthops[hop->nexthop];

		if (hop->key.ifindex != ifindex || hop->nexthop < GW_NEXTHOP_FIRST_FREE)
			continue;
		fill(hop, link, &want);
		if (is->kind == GW_NEXTHOP_PUNT || is_so(is, &want))
			continue;
		__atomic_store_n(&is->kind, GW_NEXTHOP_PUNT, __ATOMIC_RELEASE);
		count++;
	}
	if (count)
		gw_grace_period();
}

void
hops_of_link(uint32_t ifindex)
{
	struct hop *hop;

	quieten(ifindex);
	for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));)
		if (hop->key.ifindex == ifindex)
			hop_resolve(hop);
}

static void
unlist(struct hop *hop, uint16_t slot)
{
	uint8_t before = hop->flags;

	hop->flags &= ~HOP_NEIGHBOUR;
	list(hop, slot);
	hop->flags = (before & HOP_NEIGHBOUR) | (hop->flags & ~HOP_NEIGHBOUR);
}

void
hops_forget(uint32_t ifindex)
{
	struct hop *hop;

	for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));) {
		if (hop->key.ifindex != ifindex)
			continue;
		believe_no_more(hop);
		hop->flags &= ~HOP_NEIGHBOUR;
		hop->state = 0;
		hop_idle(hop);
	}
	hops_of_link(ifindex);
}

// Takes it out of the tables; its next hop is the caller's to free.
static void
drop(struct hop *hop)
{
	const struct hop_key base = base_key(&hop->key);
	struct hop *of = is_variant(hop) ? table_find(&mirror.hops, &base) : NULL;

	unlist(hop, slot_of(hop->key.ifindex));
	mirror.crowded.hops -= hop->nexthop == GW_NEXTHOP_POLICY;
	table_remove(&mirror.hops, hop);
	if (of)
		hop_put(of);
}

void
hops_free_idle(void)
{
	uint32_t nexthops[512], count = 0;

	// The list may grow meanwhile.
	for (uint32_t i = 0; i < idle_count; i++) {
		struct hop *hop = table_at(&mirror.hops, idle[i]);

		hop->flags &= ~HOP_IDLE;
		if (hop->references)
			continue;
		// No gateway any more, but perhaps still a neighbour.
		believe_no_more(hop);
		if (hop->flags & HOP_NEIGHBOUR || hop->stamp.flags & STAMP_GONE)
			continue;
		if (hop->nexthop >= GW_NEXTHOP_FIRST_FREE)
			nexthops[count++] = hop->nexthop;
		drop(hop);
		if (count == RTE_DIM(nexthops)) {
			gw_nexthops_free(nexthops, count);
			count = 0;
		}
	}
	if (count)
		gw_nexthops_free(nexthops, count);
	idle_count = 0;
}

void
hops_retry(bool nexthops)
{
	struct hop *hop;

	for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));) {
		if (nexthops && hop->nexthop == GW_NEXTHOP_POLICY) {
			int nexthop = gw_nexthop_new(GW_PUNT_NEIGHBOUR);

			if (nexthop < 0)
				continue;
			hop->nexthop = nexthop;
			mirror.crowded.hops--;
		} else if (!(hop->flags & HOP_CROWDED)) {
			continue;
		}
		hop_resolve(hop);
	}
}
