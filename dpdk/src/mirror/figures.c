/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the mirror says of itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_hash.h>

#include "../counters.h"
#include "../error.h"
#include "../fib.h"
#include "../neighbour.h"
#include "../worker.h"
#include "parts.h"

static const char *
reason_of(enum family family)
{
	if (mirror.punting[family] & PUNTING_RULES)
		return "there are policy rules";
	if (mirror.punting[family] & PUNTING_FULL)
		return "its routes do not fit into the table";
	if (mirror.punting[family] & PUNTING_BROKEN)
		return "there is no memory for its table";
	if (mirror.punting[family] & PUNTING_NESTED)
		return "there are many local prefixes that are more than an address";
	return NULL;
}

static void
describe(struct gw_mirror_status *status)
{
	uint32_t length = 0, size = sizeof(status->problem);

	for (enum family family = 0; family < FAMILIES; family++) {
		const char *reason = reason_of(family);

		if (reason)
			length += snprintf(status->problem + length, size - length,
					   "%sIPv%d is left to the kernel: %s", length ? "; " : "",
					   family == FAMILY4 ? 4 : 6, reason);
	}
	room_describe(status->problem + length, size - length, length);
}

int
gw_mirror_read(struct gw_worker *worker, struct gw_mirror_status *status)
{
	const struct gw_worker_options *options = &worker->options;

	memset(status, 0, sizeof(*status));
	mirror_enter();
	status->routes4 = routes_count(FAMILY4);
	status->routes6 = routes_count(FAMILY6);
	status->routes4_max = options->routes4;
	status->routes6_max = options->routes6;
	status->nexthops = gw_nexthops_used();
	status->nexthops_max = GW_NEXTHOPS - GW_NEXTHOP_FIRST_FREE;
	status->groups = paths_groups();
	status->neighbours4 = mirror.listed.neighbours[FAMILY4];
	status->neighbours6 = mirror.listed.neighbours[FAMILY6];
	status->neighbours_max = options->neighbours;
	status->stations = mirror.listed.stations;
	status->stations_max = options->stations;
	status->tunnels = mirror.vteps.used;
	status->tunnels_max = options->tunnels;
	status->bindings = mirror.listed.bindings;
	status->interfaces = slots_used();
	status->resyncs = mirror.resyncs;
	status->events = mirror.count;
	status->synchronised = !dump_running() && !dump_wanted() && !mirror.overrun;
	status->punting4 = mirror.punting[FAMILY4] != 0;
	status->punting6 = mirror.punting[FAMILY6] != 0;
	describe(status);
	mirror_leave();
	return 0;
}

// One step further, as the data path would: into a group, to a neighbour.
static uint32_t
follow(uint32_t index, const uint8_t *address, uint32_t length, uint32_t flow)
{
	struct gw_neighbour4_key key4 = {};
	struct gw_neighbour6_key key6 = {};
	void *found = NULL;
	int result;

	if (gw_nexthops[index].kind == GW_NEXTHOP_GROUP)
		index = gw_nexthops[index].buckets[flow % GW_GROUP_BUCKETS];
	if (gw_nexthops[index].kind != GW_NEXTHOP_CONNECTED)
		return index;
	key4.interface = key6.interface = gw_nexthops[index].interface;
	memcpy(length == 4 ? (void *)&key4.address : key6.address, address, length);
	result = length == 4 ? rte_hash_lookup_data(gw_neighbours4, &key4, &found) :
			       rte_hash_lookup_data(gw_neighbours6, &key6, &found);
	return result < 0 ? index : (uint32_t)(uintptr_t)found;
}

int
gw_mirror_explain(struct gw_worker *worker, const uint8_t *address, uint32_t length, uint32_t flow,
		  struct gw_way *way)
{
	const struct gw_nexthop *nexthop;
	uint32_t index, four;

	if (length != 4 && length != 16)
		return gw_fail(EINVAL, "an address of %u bytes", length);
	memset(way, 0, sizeof(*way));
	mirror_enter();
	memcpy(&four, address, sizeof(four));
	index = length == 4 ? gw_fib4_find(rte_be_to_cpu_32(four)) : gw_fib6_find(address);
	nexthop = &gw_nexthops[follow(index, address, length, flow)];
	// A neighbour that is not listed: the kernel resolves it.
	way->kind = GW_WAY_PUNT;
	way->reason = nexthop->kind == GW_NEXTHOP_CONNECTED ? GW_PUNT_NEIGHBOUR : nexthop->reason;
	if (nexthop->kind == GW_NEXTHOP_DROP)
		way->kind = GW_WAY_DROP;
	else if (nexthop->kind == GW_NEXTHOP_PORT)
		way->kind = GW_WAY_PORT;
	else if (nexthop->kind == GW_NEXTHOP_BRIDGE)
		way->kind = GW_WAY_BRIDGE;
	way->ifindex = gw_interfaces[nexthop->interface].ifindex;
	way->mtu = nexthop->mtu;
	if (way->kind >= GW_WAY_PORT)
		memcpy(way->header, nexthop->header, sizeof(way->header));
	mirror_leave();
	return 0;
}
