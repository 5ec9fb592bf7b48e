/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To whom segments flood: lists for the data path, where it can serve all that is on them. */
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
