/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VXLAN segments that the agent has named. */
#include <stdlib.h>
#include <string.h>

#include "parts.h"

static struct segment *segments;
static uint32_t segment_count;
static struct gw_worker_address *addresses;

/* Those that are active, by slot of gw_segments. */
static struct segment *active[GW_SEGMENTS];

struct segment *
segments_all(uint32_t *count)
{
	*count = segment_count;
	return segments;
}

const struct gw_worker_address *
segment_addresses(void)
{
	return addresses;
}

struct segment *
segment_at(uint16_t slot)
{
	return active[slot];
}

struct segment *
segment_of(uint32_t ifindex)
{
	const struct gw_interface *interface = &gw_interfaces[slot_of(ifindex)];

	return interface->flags & GW_IF_TUNNEL ? active[interface->segment] : NULL;
}

static void
note_active(void)
{
	memset(active, 0, sizeof(active));
	for (uint32_t i = 0; i < segment_count; i++)
		if (segments[i].slot)
			active[segments[i].slot] = &segments[i];
}

void
segments_replace(struct segment *by, uint32_t count, struct gw_worker_address *list)
{
	free(segments);
	free(addresses);
	segments = by;
	addresses = list;
	segment_count = count;
	note_active();
}

/* ---- slots: called by slots_review(), in this order ------------------------------------------- */

void
segments_claim(bool *wanted)
{
	for (uint32_t i = 0; i < segment_count; i++) {
		struct segment *segment = &segments[i];

		segment->problem = segment_obstacle(segment, wanted);
		if (!segment->problem && !slot_claim(segment->is.ifindex, wanted))
			segment->problem = "there are too many devices";
	}
	for (uint32_t i = 0; i < segment_count; i++)
		if (segments[i].slot && segments[i].problem)
			segment_leave(&segments[i]);
	note_active();
}

void
segments_refresh(void)
{
	for (uint32_t i = 0; i < segment_count; i++) {
		struct segment *segment = &segments[i];

		if (!segment->slot && !segment->problem)
			segment_enter(segment);
		if (!segment->slot)
			continue;
		active[segment->slot] = segment;
		segment_write(segment);
		if (segment->list_dirty)
			vteps_review(segment, true);
		segment->list_dirty = 0;
	}
	for (uint16_t slot = 1; slot < GW_INTERFACES; slot++)
		if (gw_interfaces[slot].flags & GW_IF_BRIDGE)
			gw_interfaces[slot].segment =
				segment_of_bridge(gw_interfaces[slot].ifindex);
	mirror.arrivals_dirty = true;
}

/* ---- around dumps, and at the end of a slice -------------------------------------------------- */

void
segments_asked(void)
{
	for (uint32_t i = 0; i < segment_count; i++)
		segments[i].asked = segments[i].slot != 0;
}

void
segments_known(void)
{
	for (uint32_t i = 0; i < segment_count; i++) {
		struct segment *segment = &segments[i];

		if (!segment->asked || !segment->slot || segment->known)
			continue;
		segment->known = segment->flood_dirty = 1;
		mirror.arrivals_dirty = true;
	}
}

void
segments_flush(void)
{
	if (mirror.groups_dirty)
		fdb_groups_resolve();
	floods_write();
	for (uint32_t i = 0; i < segment_count; i++) {
		if (segments[i].slot && segments[i].stale)
			stations_of_port(segments[i].is.ifindex);
		segments[i].stale = 0;
	}
	if (mirror.arrivals_dirty)
		arrivals_review();
	tunnels_purge();
}

/* ---- start and end ------------------------------------------------------------------------------ */

void
segments_open(void)
{
	table_open(&mirror.entries, sizeof(struct entry), sizeof(struct entry_key),
		   sizeof(struct entry_key));
	table_open(&mirror.members, sizeof(struct flooded), sizeof(struct flooded_key),
		   sizeof(struct entry_key));
	table_open(&mirror.remotes, sizeof(struct remote), sizeof(struct remote_key),
		   sizeof(struct remote_key));
	table_open(&mirror.vteps, sizeof(struct vtep), sizeof(struct vtep_key),
		   sizeof(struct vtep_key));
	table_open(&mirror.arrivals, sizeof(struct arrival), sizeof(struct gw_arrival_key),
		   sizeof(struct gw_arrival_key));
	table_open(&mirror.fdb_nexthops, sizeof(struct fdb_nexthop), sizeof(uint32_t),
		   sizeof(uint32_t));
	table_open(&mirror.fdb_groups, sizeof(struct fdb_group), sizeof(struct fdb_group_key),
		   sizeof(struct fdb_group_key));
	table_open(&mirror.bindings, sizeof(struct binding), sizeof(struct binding_key),
		   sizeof(struct binding_key));
}

void
segments_close(void)
{
	struct table *tables[] = {&mirror.entries, &mirror.members,  &mirror.remotes,
				  &mirror.vteps,   &mirror.arrivals, &mirror.bindings};

	for (uint32_t i = 0; i < RTE_DIM(tables); i++)
		table_close(tables[i]);
	fdb_groups_close();
	tunnels_purge();
	segments_replace(NULL, 0, NULL);
	gw_heard_keep(NULL, 0);
}
