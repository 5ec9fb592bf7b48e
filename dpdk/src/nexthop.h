/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a route leads to. The FIBs hold indices into one array; the first ones have a fixed
 * meaning. A next hop changes in place: it becomes a punt, the readers pass a quiescent state,
 * then it is filled and becomes what it is.
 */
#ifndef GW_NEXTHOP_H
#define GW_NEXTHOP_H

#include <rte_common.h>
#include <rte_ether.h>

enum gw_nexthop_limits {
	GW_NEXTHOPS = 32768, /* rte_fib has 15 bits for them with two-byte entries */
	GW_GROUP_BUCKETS = 128,
};

enum gw_nexthop_kind {
	GW_NEXTHOP_PUNT = 0, /* to the kernel, for `reason` */
	GW_NEXTHOP_DROP, /* for `reason` */
	GW_NEXTHOP_CONNECTED, /* the destination is a neighbour on `interface` */
	GW_NEXTHOP_PORT, /* `header`, out by `port` */
	GW_NEXTHOP_BRIDGE, /* `header`, out by the port where the FDB of `interface` has it */
	GW_NEXTHOP_GROUP, /* one of `buckets`, by flow */
};

/* A zeroed entry is a punt, so a lookup that races with an update at worst asks the kernel. */
enum gw_nexthop_fixed {
	GW_NEXTHOP_NONE = 0, /* no route */
	GW_NEXTHOP_LOCAL, /* our own addresses, and broadcast */
	GW_NEXTHOP_BLACKHOLE,
	GW_NEXTHOP_UNREACHABLE,
	GW_NEXTHOP_ELSEWHERE, /* by a device that is not ours */
	GW_NEXTHOP_POLICY, /* the kernel decides */
	GW_NEXTHOP_FIRST_FREE,
};

struct gw_nexthop {
	uint8_t kind; /* enum gw_nexthop_kind */
	uint8_t reason; /* enum gw_counter */
	uint16_t port;
	uint16_t interface; /* slot of the L3 device that it goes out by */
	uint16_t mtu; /* of the way, bytes of an IP packet */
	uint32_t used; /* gw_now() of the last frame; the data path writes it */
	uint8_t header[12]; /* destination and source MAC address */
	uint16_t *buckets; /* GW_GROUP_BUCKETS indices, of a group */
	uint8_t spare[32];
} __rte_cache_aligned;

static_assert(sizeof(struct gw_nexthop) == 64, "one cache line");

/* The kind, before anything that it says something about is read. */
static inline uint8_t
gw_nexthop_kind(const struct gw_nexthop *nexthop)
{
	return __atomic_load_n(&nexthop->kind, __ATOMIC_ACQUIRE);
}

/*
 * Another one after every change of a FIB, of a neighbour or of a VXLAN sender, and before what it
 * freed is used again: for those who keep a lookup's answer. 0 is none.
 */
extern uint32_t gw_ways_version;

static inline void
gw_ways_changed(void)
{
	if (!__atomic_add_fetch(&gw_ways_version, 1, __ATOMIC_RELEASE))
		__atomic_add_fetch(&gw_ways_version, 1, __ATOMIC_RELEASE);
}

/* GW_NEXTHOPS entries. */
extern struct gw_nexthop *gw_nexthops;

int gw_nexthops_create(void);
void gw_nexthops_destroy(void);

/*
 * A free index, whose kind is GW_NEXTHOP_PUNT for `reason`; -ENOSPC when there is none. The
 * caller counts who uses it.
 */
int gw_nexthop_new(uint8_t reason);

/* Nobody refers to it any more: free after a grace period, which this waits for. */
void gw_nexthop_free(uint32_t index);
void gw_nexthops_free(const uint32_t *indices, uint32_t count); /* one grace period for all */

/* Becomes what `want` says (its `used` stays), or GW_NEXTHOP_PUNT; readers never see a mixture. */
void gw_nexthop_set(uint32_t index, const struct gw_nexthop *want);

/* A group over these members by weight; 1 to GW_GROUP_BUCKETS of them. -ENOMEM. */
int gw_nexthop_set_group(uint32_t index, const uint16_t *members, const uint16_t *weights,
			 uint32_t count);
uint32_t gw_nexthops_used(void);

#endif
