/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To whom segments flood: lists for the data path, where it can serve all that is on them. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "parts.h"

struct list {
	uint32_t count;
	bool whole;
	uint16_t tunnels[GW_FLOOD_MAX];
};

static void
collect(const struct segment *segment, struct list *list)
{
	const struct flooded_key first = {.entry = {.ifindex = segment->is.ifindex}};
	struct flooded *member = table_first(&mirror.members, &first);

	list->count = 0;
	list->whole = true;
	for (; member; member = table_next(&mirror.members, member)) {
		uint16_t tunnel = remote_tunnel(member->remote);

		if (member->stamp.flags & STAMP_GONE)
			continue;
		if (!tunnel || gw_tunnels[tunnel].flags & GW_TUNNEL_KERNEL)
			list->whole = false;
		else if (list->count < GW_FLOOD_MAX)
			list->tunnels[list->count] = tunnel;
		list->count++;
	}
	list->whole &= list->count <= GW_FLOOD_MAX;
}

static bool
is_same(const struct gw_flood *flood, const uint16_t *tunnels, uint32_t count)
{
	if (!flood || !tunnels)
		return !flood && !tunnels;
	return flood->count == count && !memcmp(flood->tunnels, tunnels, count * sizeof(*tunnels));
}

static void
write_list(struct segment *segment)
{
	static struct list list;
	const uint16_t *tunnels;
	uint32_t count;

	collect(segment, &list);
	tunnels = list.whole ? list.tunnels : NULL;
	count = list.whole ? list.count : 0;
	if (!is_same(gw_segments[segment->slot].flood, tunnels, count) &&
	    gw_flood_set(segment->slot, tunnels, count)) {
		// Without memory for it, the kernel's: none of those before may stay in use.
		gw_flood_set(segment->slot, NULL, 0);
		list.whole = false;
	}
	segment->members = list.count;
	segment->floods = list.whole;
	segment->flood_dirty = 0;
	segment_write(segment);
	if (segment->only == (count == 1 ? list.tunnels[0] : 0))
		return;
	segment->only = count == 1 ? list.tunnels[0] : 0;
	segment->stale = 1;
}

void
floods_write(void)
{
	uint32_t count;
	struct segment *segments = segments_all(&count);

	for (uint32_t i = 0; i < count; i++)
		if (segments[i].slot && segments[i].flood_dirty)
			write_list(&segments[i]);
}

/* ---- by whom ------------------------------------------------------------------------------------ */

const char *
flood_obstacle(const struct segment *segment)
{
	if (!segment->known)
		return "what the kernel has of its VTEPs is not read yet";
	if (!segment->floods)
		return "there is somebody on its flood list whom only the kernel reaches";
	if (link_find(segment->is.ifindex)->flags & LINK_QUIET)
		return "its VXLAN device does not get all that is flooded";
	if (bridge_exception(link_find(segment->is.bridge), segment->is.ifindex))
		return "its bridge has ports that the worker may not flood to";
	return NULL;
}

const char *
heard_obstacle(const struct segment *segment)
{
	const struct link *tap = link_find(segment->heard.ifindex);

	if (!segment->heard.id)
		return strerror(segment->heard.error);
	if (!tap || !(tap->flags & LINK_KNOWN))
		return "it is not there any more";
	return tap->flags & LINK_UP ? NULL : "it is down";
}

// The words for an owner, with the port's name, if there is one to name.
static void
describe_exception(const struct segment *segment, struct gw_segment_status *status)
{
	const struct link *port =
		bridge_exception(link_find(segment->is.bridge), segment->is.ifindex);
	char name[IFNAMSIZ];

	if (!port || !if_indextoname(port->ifindex, name))
		return;
	snprintf(status->flood_problem, sizeof(status->flood_problem),
		 port->flags & (LINK_QUIET | LINK_SUPPRESS) ?
			 "port %s of its bridge does not get all that is flooded" :
			 "port %s of its bridge is not the worker's",
		 name);
}

void
flood_describe(const struct segment *segment, struct gw_segment_status *status)
{
	const char *obstacle;

	if (!segment->slot || !segment->is.heard[0])
		return;
	if ((obstacle = flood_obstacle(segment))) {
		snprintf(status->flood_problem, sizeof(status->flood_problem), "%s", obstacle);
		describe_exception(segment, status);
	} else if ((obstacle = heard_obstacle(segment))) {
		snprintf(status->flood_problem, sizeof(status->flood_problem), "TAP %s: %s",
			 segment->is.heard, obstacle);
	} else {
		status->floods_here = 1;
	}
}
