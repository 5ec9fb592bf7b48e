/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VXLAN segments that the agent has named. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../error.h"
#include "../worker.h"
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

/* ---- calls -------------------------------------------------------------------------------------- */

// What is not of the address's family is zero, so that addresses can be compared.
static void
trim(struct gw_worker_address *address, uint8_t family)
{
	if (family == 4)
		memset(address->bytes + 4, 0, sizeof(address->bytes) - 4);
}

static struct segment *
copy_segments(const struct gw_segment_options *options, uint32_t count,
	      struct gw_worker_address *list)
{
	struct segment *made = calloc(count + 1, sizeof(*made));

	for (uint32_t i = 0; made && i < count; i++) {
		struct gw_segment_options *is = &made[i].is;

		*is = options[i];
		trim(&is->local, is->family);
		for (uint32_t j = 0; j < is->sources; j++)
			trim(&list[is->first_source + j], is->family);
		for (uint32_t j = 0; j < is->arrivals; j++)
			trim(&list[is->first_arrival + j], is->family);
	}
	return made;
}

// All that tunnels' headers, senders and the device depend on; the rest can change in between.
static struct gw_segment_options
essence(const struct gw_segment_options *options)
{
	struct gw_segment_options essence = *options;

	essence.flags &= GW_SEGMENT_OPTION_DF | GW_SEGMENT_OPTION_TOS_INHERIT;
	essence.first_source = essence.sources = essence.first_arrival = essence.arrivals = 0;
	essence.first_port = essence.last_port = essence.mtu = 0;
	return essence;
}

static bool
is_same(const struct gw_segment_options *one, const struct gw_segment_options *other)
{
	const struct gw_segment_options first = essence(one), second = essence(other);

	return !memcmp(&first, &second, sizeof(first));
}

// Those that stay keep what they are about to have in common with those before.
static void
carry_over(struct segment *to, uint32_t count)
{
	for (uint32_t i = 0; i < segment_count; i++) {
		struct segment *from = &segments[i];
		struct segment *heir = NULL;

		for (uint32_t j = 0; j < count && from->slot; j++)
			if (is_same(&to[j].is, &from->is))
				heir = &to[j];
		if (heir) {
			const struct gw_segment_options is = heir->is;

			*heir = *from;
			heir->is = is;
			heir->list_dirty = 1;
		} else if (from->slot) {
			segment_leave(from);
		}
	}
}

int
gw_segments_set(struct gw_worker *worker __rte_unused, const struct gw_segment_options *options,
		uint32_t count, const struct gw_worker_address *list, uint32_t list_count)
{
	int result = segments_check(options, count, list_count, list);
	struct gw_worker_address *copy;
	struct segment *made;

	if (result)
		return result;
	copy = calloc(list_count + 1, sizeof(*copy));
	if (copy && list_count)
		memcpy(copy, list, list_count * sizeof(*copy));
	made = copy ? copy_segments(options, count, copy) : NULL;
	if (!made) {
		free(copy);
		return gw_fail(ENOMEM, "no memory for %u VXLAN segments", count);
	}
	mirror_enter();
	carry_over(made, count);
	free(segments);
	free(addresses);
	segments = made;
	addresses = copy;
	segment_count = count;
	note_active();
	slots_review();
	mirror_flush();
	mirror_wake();
	mirror_leave();
	return 0;
}

static void
describe(const struct segment *segment, struct gw_segment_status *status)
{
	if (segment->problem)
		snprintf(status->problem, sizeof(status->problem), "%s", segment->problem);
	else if (segment->crowded)
		snprintf(status->problem, sizeof(status->problem),
			 "%u of its VTEPs have no room and are left to the kernel",
			 segment->crowded);
}

int
gw_segments_read(struct gw_worker *worker __rte_unused, struct gw_segment_status *status,
		 uint32_t capacity)
{
	uint32_t count;

	mirror_enter();
	count = segment_count;
	for (uint32_t i = 0; i < RTE_MIN(count, capacity); i++) {
		const struct segment *segment = &segments[i];

		status[i] = (struct gw_segment_status){
			.ifindex = segment->is.ifindex,
			.vni = segment->is.vni,
			.vteps = segment->vteps,
			.floods = segment->members,
			.stations = segment->stations,
			.active = segment->slot != 0,
		};
		describe(segment, &status[i]);
	}
	mirror_leave();
	return count;
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
	tunnels_purge();
	free(segments);
	free(addresses);
	segments = NULL;
	addresses = NULL;
	segment_count = 0;
	note_active();
}
