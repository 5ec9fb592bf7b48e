/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the data path has no room for is the kernel's: a route by a next hop that is none of ours, a
 * neighbour or a station that the tables do not have. Each second it tries again.
 */
#include <stdio.h>

#include "../worker.h"
#include "parts.h"

enum { WORTH_IT = 64 /* free places, or as many as are wanted: all routes are looked at for it */ };

static bool
has_room(uint32_t wanted, uint32_t used, uint32_t most)
{
	return wanted && most - RTE_MIN(used, most) >= RTE_MIN(wanted, (uint32_t)WORTH_IT);
}

static bool
neighbours_fit(enum family family)
{
	return has_room(mirror.crowded.neighbours[family], mirror.listed.neighbours[family],
			gw_the_worker.options.neighbours);
}

void
room_retry(void)
{
	const struct crowded *crowded = &mirror.crowded;
	bool nexthops = has_room(crowded->hops + crowded->groups, gw_nexthops_used(),
				 GW_NEXTHOPS - GW_NEXTHOP_FIRST_FREE);

	if (nexthops || neighbours_fit(FAMILY4) || neighbours_fit(FAMILY6))
		hops_retry(nexthops);
	if (nexthops && paths_retry()) {
		install_all_later(FAMILY4);
		install_all_later(FAMILY6);
	}
	if (has_room(crowded->stations, mirror.listed.stations, gw_the_worker.options.stations))
		stations_retry();
	neighbours_retry(FAMILY4);
	neighbours_retry(FAMILY6);
	if (crowded->tunnels)
		vteps_retry();
	if (has_room(crowded->bindings, mirror.listed.bindings, gw_the_worker.options.stations))
		bindings_retry();
}

void
room_describe(char *text, size_t size, bool behind)
{
	const struct crowded *crowded = &mirror.crowded;
	const struct {
		uint32_t count;
		const char *what;
	} lacks[] = {
		{crowded->hops + crowded->groups, "next hops"},
		{crowded->neighbours[FAMILY4], "IPv4 neighbours"},
		{crowded->neighbours[FAMILY6], "IPv6 neighbours"},
		{crowded->stations, "bridge stations"},
		{crowded->tunnels, "VXLAN tunnels"},
		{crowded->bindings, "bindings of MAC to IP addresses"},
	};
	size_t length = 0;

	for (uint32_t i = 0; i < RTE_DIM(lacks) && length < size; i++)
		if (lacks[i].count)
			length += snprintf(text + length, size - length,
					   "%s%u %s have no room and are left to the kernel",
					   behind || length ? "; " : "", lacks[i].count,
					   lacks[i].what);
}
