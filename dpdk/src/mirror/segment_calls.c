/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gw_segments_set() and gw_segments_read(). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../error.h"
#include "parts.h"

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
		is->heard[sizeof(is->heard) - 1] = 0;
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
	memset(essence.heard, 0, sizeof(essence.heard));
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
	uint32_t before;
	struct segment *segments = segments_all(&before);

	for (uint32_t i = 0; i < before; i++) {
		struct segment *from = &segments[i];
		struct segment *heir = NULL;

		for (uint32_t j = 0; j < count && from->slot; j++)
			if (is_same(&to[j].is, &from->is))
				heir = &to[j];
		if (heir) {
			const struct segment named = *heir;

			*heir = *from;
			heir->is = named.is;
			heir->heard = named.heard;
			heir->list_dirty = 1;
		} else if (from->slot) {
			segment_leave(from);
		}
	}
}

// Before gw_control is taken, see heard.h.
static void
open_heard(struct segment *segments, uint32_t count, uint32_t *ids)
{
	for (uint32_t i = 0; i < count; i++) {
		if (segments[i].is.heard[0])
			segments[i].heard = gw_heard_open(segments[i].is.heard);
		ids[i] = segments[i].heard.id;
	}
}

int
gw_segments_set(struct gw_worker *worker __rte_unused, const struct gw_segment_options *options,
		uint32_t count, const struct gw_worker_address *list, uint32_t list_count)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	int result = segments_check(options, count, list_count, list);
	struct gw_worker_address *copy;
	uint32_t heard[GW_SEGMENTS];
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
	pthread_mutex_lock(&one_at_a_time);
	open_heard(made, count, heard);
	mirror_enter();
	carry_over(made, count);
	segments_replace(made, count, copy);
	slots_review();
	mirror_flush();
	mirror_wake();
	mirror_leave();
	gw_heard_keep(heard, count);
	pthread_mutex_unlock(&one_at_a_time);
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
	const struct segment *segments;
	uint32_t count;

	mirror_enter();
	segments = segments_all(&count);
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
		flood_describe(segment, &status[i]);
	}
	mirror_leave();
	return count;
}
