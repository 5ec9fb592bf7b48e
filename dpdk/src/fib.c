/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fib.h"

#include <errno.h>

#include "compat.h"
#include "error.h"
#include "lcore.h"
#include "nexthop.h"

struct rte_fib *gw_fib4;
struct rte_fib6 *gw_fib6;
uint8_t gw_fib4_closed, gw_fib6_closed;
uint64_t gw_fib4_own[(1 << GW_OWN_BITS) / 64];

/* What they were made for. */
static uint32_t made4, made6, made6_tbl8;

enum {
	FIRST_LEVEL_BITS = 24, /* both tables look at so many at first */
	FIRST_LEVEL = 1 << FIRST_LEVEL_BITS, /* entries */
	GROUP = 256, /* entries of a group of a later level */
	/* One bit of a two-byte entry says whether it leads to a group or a next hop. */
	SMALL_GROUPS_MAX = (1 << 15) - 1,
	/* A node of the RIB as rte_mempool has it: 48 (IPv4) or 56 (IPv6) bytes, a header of 64, and
	 * what spreads objects over the memory's channels. The RIB takes two for a route. */
	NODE = 192,
	GROUPS4_MIN = 4096,
	GROUPS6_PER_ROUTE =
		1, /* /48s of different /32s: one for each level below /24, shared above */
};

static uint32_t
groups4(uint32_t routes)
{
	// Longer prefixes than /24 are the box's own: its hosts and tunnels.
	return RTE_MIN(RTE_MAX(routes / 16, (uint32_t)GROUPS4_MIN), (uint32_t)SMALL_GROUPS_MAX);
}

static uint32_t
groups6(uint32_t routes, uint32_t tbl8)
{
	// A real table needs 0.65 for a route. rte_fib6 sets aside as many as a route might need, and
	// gave up at 232,892 routes with 260,000 groups; 290,000 sufficed for 250,000.
	return tbl8 ? tbl8 : RTE_MAX(routes + routes / 4, 1024u);
}

static uint64_t
table_bytes(uint64_t routes, uint64_t groups)
{
	uint64_t entry = groups > SMALL_GROUPS_MAX ? 4 : 2;

	return entry * (FIRST_LEVEL + groups * GROUP) + routes * 2 * NODE;
}

uint64_t
gw_fib4_bytes(uint32_t routes)
{
	return table_bytes(routes, groups4(routes));
}

uint64_t
gw_fib6_bytes(uint32_t routes, uint32_t tbl8)
{
	return table_bytes(routes, groups6(routes, tbl8));
}

int
gw_fib4_create(uint32_t routes)
{
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = GW_NEXTHOP_NONE,
		.max_routes = routes,
		.dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_2B, .num_tbl8 = groups4(routes)},
	};

	made4 = routes;
	gw_fib4 = rte_fib_create("gw_fib4", SOCKET_ID_ANY, &conf);
	if (!gw_fib4)
		return gw_fail(ENOMEM, "no memory for %u IPv4 routes: %llu MB of hugepages", routes,
			       (unsigned long long)gw_fib4_bytes(routes) >> 20);
	return 0;
}

int
gw_fib6_create(uint32_t routes, uint32_t tbl8)
{
	uint32_t groups = groups6(routes, tbl8);
	struct rte_fib6_conf conf = {
		.type = RTE_FIB6_TRIE,
		.default_nh = GW_NEXTHOP_NONE,
		.max_routes = routes,
		.trie = {.nh_sz = groups > SMALL_GROUPS_MAX ? RTE_FIB6_TRIE_4B : RTE_FIB6_TRIE_2B,
			 .num_tbl8 = groups},
	};

	made6 = routes;
	made6_tbl8 = tbl8;
	gw_fib6 = rte_fib6_create("gw_fib6", SOCKET_ID_ANY, &conf);
	if (!gw_fib6)
		return gw_fail(ENOMEM, "no memory for %u IPv6 routes: %llu MB of hugepages", routes,
			       (unsigned long long)gw_fib6_bytes(routes, tbl8) >> 20);
	return 0;
}

int
gw_fib4_renew(void)
{
	rte_fib_free(gw_fib4);
	gw_fib4 = NULL;
	memset(gw_fib4_own, 0, sizeof(gw_fib4_own));
	gw_ways_changed();
	return gw_fib4_create(made4);
}

int
gw_fib6_renew(void)
{
	rte_fib6_free(gw_fib6);
	gw_fib6 = NULL;
	gw_ways_changed();
	return gw_fib6_create(made6, made6_tbl8);
}

void
gw_fib_destroy(void)
{
	rte_fib_free(gw_fib4);
	rte_fib6_free(gw_fib6);
	gw_fib4 = NULL;
	gw_fib6 = NULL;
}

// Both tables count the groups that they have promised. They count none for the first long prefix
// of a place that leads where its parent leads, but one less when it goes: below nothing, the table
// is full from then on. Such a prefix leads to the kernel for a moment, so that it is counted.
static uint32_t
other_than(uint32_t nexthop)
{
	return nexthop == GW_NEXTHOP_POLICY ? GW_NEXTHOP_NONE : GW_NEXTHOP_POLICY;
}

// Before the table says so. Of a prefix (a local route to a whole network) every address may be
// ours; nobody looks for 127.0.0.0/8, which every host has.
static void
note_own(uint32_t prefix, uint8_t depth)
{
	const uint32_t bit = gw_fib4_own_bit(prefix);

	if (depth == 32)
		__atomic_fetch_or(&gw_fib4_own[bit / 64], 1ull << bit % 64, __ATOMIC_RELAXED);
	else if (prefix >> 24 != 127)
		memset(gw_fib4_own, 0xff, sizeof(gw_fib4_own));
}

int
gw_fib4_add(uint32_t prefix, uint8_t depth, uint32_t nexthop)
{
	int result = 0;

	if (nexthop == GW_NEXTHOP_LOCAL)
		note_own(prefix, depth);
	if (depth > FIRST_LEVEL_BITS && gw_fib4_find(prefix) == nexthop)
		result = rte_fib_add(gw_fib4, prefix, depth, other_than(nexthop));
	result = result ?: rte_fib_add(gw_fib4, prefix, depth, nexthop);
	gw_ways_changed();
	return result;
}

int
gw_fib4_delete(uint32_t prefix, uint8_t depth)
{
	int result = rte_fib_delete(gw_fib4, prefix, depth);

	gw_ways_changed();
	return result;
}

int
gw_fib6_add(const uint8_t prefix[16], uint8_t depth, uint32_t nexthop)
{
	int result = 0;

	if (depth > FIRST_LEVEL_BITS && gw_fib6_find(prefix) == nexthop)
		result = rte_fib6_add(gw_fib6, GW_FIB6_ADDRESS(prefix), depth, other_than(nexthop));
	result = result ?: rte_fib6_add(gw_fib6, GW_FIB6_ADDRESS(prefix), depth, nexthop);
	gw_ways_changed();
	return result;
}

int
gw_fib6_delete(const uint8_t prefix[16], uint8_t depth)
{
	int result = rte_fib6_delete(gw_fib6, GW_FIB6_ADDRESS(prefix), depth);

	gw_ways_changed();
	return result;
}

uint32_t
gw_fib4_find(uint32_t address)
{
	uint64_t nexthop = GW_NEXTHOP_NONE;

	rte_fib_lookup_bulk(gw_fib4, &address, &nexthop, 1);
	return nexthop;
}

uint32_t
gw_fib6_find(const uint8_t address[16])
{
	uint64_t nexthop = GW_NEXTHOP_NONE;
	gw_ip6_address wanted;

	memcpy(&wanted, address, sizeof(wanted));
	rte_fib6_lookup_bulk(gw_fib6, &wanted, &nexthop, 1);
	return nexthop;
}

void
gw_fib_settle(void)
{
	gw_grace_period();
}
