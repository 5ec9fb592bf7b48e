/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nexthop.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

#include "counters.h"
#include "error.h"
#include "lcore.h"

struct gw_nexthop *gw_nexthops;
uint32_t gw_ways_version = 1;

// Free indices, as a stack; the mirror alone takes and gives.
static uint16_t *vacant;
static uint32_t vacant_count;

static const struct {
	uint8_t kind, reason;
} fixed[GW_NEXTHOP_FIRST_FREE] = {
	[GW_NEXTHOP_NONE] = {GW_NEXTHOP_PUNT, GW_PUNT_NO_ROUTE},
	[GW_NEXTHOP_LOCAL] = {GW_NEXTHOP_PUNT, GW_PUNT_LOCAL},
	[GW_NEXTHOP_BLACKHOLE] = {GW_NEXTHOP_DROP, GW_DROP_BLACKHOLE},
	[GW_NEXTHOP_UNREACHABLE] = {GW_NEXTHOP_PUNT, GW_PUNT_UNREACHABLE},
	[GW_NEXTHOP_ELSEWHERE] = {GW_NEXTHOP_PUNT, GW_PUNT_OTHER_DEVICE},
	[GW_NEXTHOP_POLICY] = {GW_NEXTHOP_PUNT, GW_PUNT_POLICY},
};

int
gw_nexthops_create(void)
{
	gw_nexthops = rte_zmalloc("gw_nexthops", GW_NEXTHOPS * sizeof(*gw_nexthops), 0);
	vacant = rte_malloc("gw_nexthops_vacant", GW_NEXTHOPS * sizeof(*vacant), 0);
	if (!gw_nexthops || !vacant) {
		gw_nexthops_destroy();
		return gw_fail(ENOMEM, "no memory for %d next hops", GW_NEXTHOPS);
	}
	for (uint32_t i = 0; i < GW_NEXTHOP_FIRST_FREE; i++) {
		gw_nexthops[i].kind = fixed[i].kind;
		gw_nexthops[i].reason = fixed[i].reason;
	}
	vacant_count = 0;
	for (uint32_t i = GW_NEXTHOPS; i-- > GW_NEXTHOP_FIRST_FREE;)
		vacant[vacant_count++] = i;
	return 0;
}

void
gw_nexthops_destroy(void)
{
	for (uint32_t i = 0; gw_nexthops && i < GW_NEXTHOPS; i++)
		rte_free(gw_nexthops[i].buckets);
	rte_free(gw_nexthops);
	rte_free(vacant);
	gw_nexthops = NULL;
	vacant = NULL;
}

int
gw_nexthop_new(uint8_t reason)
{
	uint32_t index;

	if (!vacant_count)
		return gw_fail(ENOSPC, "more than %d next hops", GW_NEXTHOPS);
	index = vacant[--vacant_count];
	gw_nexthops[index].reason = reason;
	gw_nexthops[index].kind = GW_NEXTHOP_PUNT;
	return index;
}

void
gw_nexthops_free(const uint32_t *indices, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		gw_nexthops[indices[i]].kind = GW_NEXTHOP_PUNT;
	gw_grace_period();
	for (uint32_t i = 0; i < count; i++) {
		rte_free(gw_nexthops[indices[i]].buckets);
		memset(&gw_nexthops[indices[i]], 0, sizeof(*gw_nexthops));
		vacant[vacant_count++] = indices[i];
	}
}

void
gw_nexthop_free(uint32_t index)
{
	gw_nexthops_free(&index, 1);
}

// What a reader that has seen the old kind may still look at stays until it is gone.
static void
quiesce(struct gw_nexthop *nexthop)
{
	if (nexthop->kind == GW_NEXTHOP_PUNT)
		return;
	__atomic_store_n(&nexthop->kind, GW_NEXTHOP_PUNT, __ATOMIC_RELEASE);
	gw_grace_period();
}

void
gw_nexthop_set(uint32_t index, const struct gw_nexthop *want)
{
	struct gw_nexthop *nexthop = &gw_nexthops[index];

	quiesce(nexthop);
	rte_free(nexthop->buckets);
	nexthop->buckets = NULL;
	nexthop->reason = want->reason;
	nexthop->port = want->port;
	nexthop->interface = want->interface;
	nexthop->mtu = want->mtu;
	memcpy(nexthop->header, want->header, sizeof(nexthop->header));
	__atomic_store_n(&nexthop->kind, want->kind, __ATOMIC_RELEASE);
	// Who keeps the answer keeps the MTU with it, and which host of the link it was.
	gw_ways_changed();
}

// Highest averages (D'Hondt): every member has at least one bucket as long as there are enough.
static void
fill(uint16_t *buckets, const uint16_t *members, const uint16_t *weights, uint32_t count)
{
	uint16_t seats[GW_GROUP_BUCKETS] = {0};

	for (uint32_t bucket = 0; bucket < GW_GROUP_BUCKETS; bucket++) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < count; i++)
			if ((uint32_t)weights[i] * (seats[best] + 1) >
			    (uint32_t)weights[best] * (seats[i] + 1))
				best = i;
		seats[best]++;
		buckets[bucket] = members[best];
	}
}

int
gw_nexthop_set_group(uint32_t index, const uint16_t *members, const uint16_t *weights,
		     uint32_t count)
{
	struct gw_nexthop *nexthop = &gw_nexthops[index];
	uint16_t *buckets, *before = nexthop->buckets;

	if (!count || count > GW_GROUP_BUCKETS)
		return gw_fail(EINVAL, "a group of %u next hops; 1 to %d are possible", count,
			       GW_GROUP_BUCKETS);
	buckets = rte_malloc("gw_group", GW_GROUP_BUCKETS * sizeof(*buckets), 0);
	if (!buckets)
		return gw_fail(ENOMEM, "no memory for a group of next hops");
	fill(buckets, members, weights, count);
	if (nexthop->kind == GW_NEXTHOP_GROUP) {
		// From one valid set of buckets to another, with no frame punted on the way.
		__atomic_store_n(&nexthop->buckets, buckets, __ATOMIC_RELEASE);
		gw_grace_period();
	} else {
		quiesce(nexthop);
		nexthop->buckets = buckets;
		__atomic_store_n(&nexthop->kind, GW_NEXTHOP_GROUP, __ATOMIC_RELEASE);
	}
	rte_free(before);
	return 0;
}

uint32_t
gw_nexthops_used(void)
{
	return GW_NEXTHOPS - GW_NEXTHOP_FIRST_FREE - vacant_count;
}
