// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking up what the mirror is of: ports, bridges, segments. */
#include <stdlib.h>
#include "mirror.h"

int
compare_numbers(const void *one, const void *other)
{
	__u32 a = *(const __u32 *)one, b = *(const __u32 *)other;

	return (a > b) - (a < b);
}

static bool
is_among(__u32 number, const __u32 *numbers, __u32 count)
{
	return count && bsearch(&number, numbers, count, sizeof(number), compare_numbers);
}

bool
is_mirrored(const struct gw_mirror *mirror, __u32 bridge)
{
	return is_among(bridge, mirror->config.bridges, mirror->config.n_bridges);
}

bool
has_vlan(const struct gw_mirror *mirror, __u32 bridge, __u16 vlan)
{
	return is_among(bridge, mirror->config.filtering, mirror->config.n_filtering) ==
	       (vlan != 0);
}

bool
is_watched(const struct gw_mirror *mirror, __u32 ifindex)
{
	return is_among(ifindex, mirror->watched, mirror->n_watched);
}

/* `ifindex` is the first member of a port. */
const struct gw_mirror_port *
config_port(const struct gw_mirror *mirror, __u32 ifindex)
{
	if (!mirror->config.n_ports)
		return NULL;
	return bsearch(&ifindex, mirror->config.ports, mirror->config.n_ports,
		       sizeof(*mirror->config.ports), compare_numbers);
}

__u32
segment_key(const struct segment *segment)
{
	return segment->is.flags & GW_MIRROR_EXTERNAL ? segment->is.vni : 0;
}

static int
compare(__u32 a, __u32 b, __u32 c, __u32 d)
{
	if (a != b)
		return a < b ? -1 : 1;
	return (c > d) - (c < d);
}

int
compare_vni(const void *one, const void *other)
{
	const struct segment *a = *(struct segment *const *)one;
	const struct segment *b = *(struct segment *const *)other;

	return compare(a->is.ifindex, b->is.ifindex, segment_key(a), segment_key(b));
}

int
compare_vlan(const void *one, const void *other)
{
	const struct segment *a = *(struct segment *const *)one;
	const struct segment *b = *(struct segment *const *)other;

	return compare(a->is.ifindex, b->is.ifindex, a->is.vlan, b->is.vlan);
}

static struct segment *
segment_find(const struct gw_mirror *mirror, struct segment **sorted, const struct segment *like,
	     int (*comparison)(const void *, const void *))
{
	struct segment **found;

	if (!mirror->config.n_segments)
		return NULL;
	found = bsearch(&like, sorted, mirror->config.n_segments, sizeof(*sorted), comparison);
	return found ? *found : NULL;
}

struct segment *
segment_by_vni(const struct gw_mirror *mirror, __u32 ifindex, __u32 vni)
{
	const struct segment like = {
		.is = {.ifindex = ifindex, .vni = vni, .flags = vni ? GW_MIRROR_EXTERNAL : 0}};

	return segment_find(mirror, mirror->config.by_vni, &like, compare_vni);
}

struct segment *
segment_by_vlan(const struct gw_mirror *mirror, __u32 ifindex, __u16 vlan)
{
	const struct segment like = {.is = {.ifindex = ifindex, .vlan = vlan}};

	return segment_find(mirror, mirror->config.by_vlan, &like, compare_vlan);
}

struct segment *
segment_named(const struct gw_mirror *mirror, __u32 ifindex, __u32 vni)
{
	struct segment *segment = segment_by_vni(mirror, ifindex, vni);

	if (segment)
		return segment;
	segment = segment_by_vni(mirror, ifindex, 0);
	return segment && segment->is.vni == vni ? segment : NULL;
}

bool
is_tunnel(const struct gw_mirror *mirror, __u32 ifindex)
{
	__u32 low = 0, high = mirror->config.n_segments;

	while (low < high) {
		__u32 middle = (low + high) / 2;
		__u32 found = mirror->config.by_vni[middle]->is.ifindex;

		if (found == ifindex)
			return true;
		if (found < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}
