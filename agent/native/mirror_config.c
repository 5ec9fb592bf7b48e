// SPDX-License-Identifier: GPL-2.0-or-later
/* What the mirror is of: ports, bridges, segments. See gw_mirror.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mirror.h"

/* ---- looking things up -------------------------------------------------------------------- */

static int
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
	return is_among(bridge, mirror->bridges, mirror->n_bridges);
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
	if (!mirror->n_ports)
		return NULL;
	return bsearch(&ifindex, mirror->ports, mirror->n_ports, sizeof(*mirror->ports),
		       compare_numbers);
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

static int
compare_vni(const void *one, const void *other)
{
	const struct segment *a = *(struct segment *const *)one;
	const struct segment *b = *(struct segment *const *)other;

	return compare(a->is.ifindex, b->is.ifindex, segment_key(a), segment_key(b));
}

static int
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

	if (!mirror->n_segments)
		return NULL;
	found = bsearch(&like, sorted, mirror->n_segments, sizeof(*sorted), comparison);
	return found ? *found : NULL;
}

struct segment *
segment_by_vni(const struct gw_mirror *mirror, __u32 ifindex, __u32 vni)
{
	const struct segment like = {
		.is = {.ifindex = ifindex, .vni = vni, .flags = vni ? GW_MIRROR_EXTERNAL : 0}};

	return segment_find(mirror, mirror->by_vni, &like, compare_vni);
}

struct segment *
segment_by_vlan(const struct gw_mirror *mirror, __u32 ifindex, __u16 vlan)
{
	const struct segment like = {.is = {.ifindex = ifindex, .vlan = vlan}};

	return segment_find(mirror, mirror->by_vlan, &like, compare_vlan);
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
	__u32 low = 0, high = mirror->n_segments;

	while (low < high) {
		__u32 middle = (low + high) / 2;
		__u32 found = mirror->by_vni[middle]->is.ifindex;

		if (found == ifindex)
			return true;
		if (found < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* ---- configuring -------------------------------------------------------------------------- */

struct config {
	struct gw_mirror_port *ports;
	struct segment *segments;
	struct segment **by_vni;
	struct segment **by_vlan;
	__u32 *bridges;
	__u32 n_bridges;
};

static void
config_free(struct config *config)
{
	free(config->ports);
	free(config->segments);
	free(config->by_vni);
	free(config->by_vlan);
	free(config->bridges);
}

static int
config_check(const struct gw_mirror_segment *segments, __u32 count, __u32 n_sources)
{
	if (count > GW_VNIS_MAX)
		return -E2BIG;
	for (__u32 i = 0; i < count; i++) {
		const struct gw_mirror_segment *segment = &segments[i];

		if (!segment->ifindex || (segment->family != 4 && segment->family != 6) ||
		    segment->first_source > n_sources ||
		    segment->sources > n_sources - segment->first_source)
			return -EINVAL;
	}
	return 0;
}

static int
config_make(struct config *config, const struct gw_mirror_port *ports, __u32 n_ports,
	    const struct gw_mirror_segment *segments, __u32 n_segments)
{
	__u32 count = 0;

	config->ports = calloc(n_ports + 1, sizeof(*config->ports));
	config->segments = calloc(n_segments + 1, sizeof(*config->segments));
	config->by_vni = calloc(n_segments + 1, sizeof(*config->by_vni));
	config->by_vlan = calloc(n_segments + 1, sizeof(*config->by_vlan));
	config->bridges = calloc(n_ports + 1, sizeof(*config->bridges));
	if (!config->ports || !config->segments || !config->by_vni || !config->by_vlan ||
	    !config->bridges)
		return -ENOMEM;
	for (__u32 i = 0; i < n_ports; i++) {
		config->ports[i] = ports[i];
		config->bridges[i] = ports[i].bridge;
	}
	qsort(config->ports, n_ports, sizeof(*ports), compare_numbers);
	qsort(config->bridges, n_ports, sizeof(*config->bridges), compare_numbers);
	for (__u32 i = 0; i < n_ports; i++)
		if (!i || config->bridges[i] != config->bridges[i - 1])
			config->bridges[count++] = config->bridges[i];
	config->n_bridges = count;
	for (__u32 i = 0; i < n_segments; i++) {
		config->segments[i] = (struct segment){.is = segments[i]};
		config->segments[i].flood_dirty = config->segments[i].stale = 1;
		config->by_vni[i] = config->by_vlan[i] = &config->segments[i];
	}
	qsort(config->by_vni, n_segments, sizeof(*config->by_vni), compare_vni);
	qsort(config->by_vlan, n_segments, sizeof(*config->by_vlan), compare_vlan);
	return 0;
}

/* What the old segments had in the maps belongs to the new ones, or goes. */
static void
hand_over(struct gw_mirror *mirror, const struct segment *before, __u32 count)
{
	for (__u32 i = 0; i < mirror->n_segments; i++)
		mirror->segments[i].serial = mirror->what.serial;
	for (__u32 i = 0; i < count; i++) {
		const struct segment *old = &before[i];
		struct segment *same = segment_by_vlan(mirror, old->is.ifindex, old->is.vlan);

		if (same)
			same->flood_written = old->flood_written;
		else if (old->flood_written)
			flood_delete(mirror, old);
		same = segment_by_vni(mirror, old->is.ifindex, segment_key(old));
		if (same) {
			same->serial = old->serial;
			same->only = old->only;
		}
	}
}

/* Has every remote find its segment, tunnel and VTEP anew. */
static void
activate_all(struct gw_mirror *mirror, const struct gw_vtep_address *sources)
{
	struct remote *remote;
	struct tunnel *tunnel;
	struct vtep *vtep;

	for (__u32 i = 0; (tunnel = table_walk(&mirror->tunnels, &i));)
		tunnel->references = 0;
	for (__u32 i = 0; (vtep = table_walk(&mirror->vteps, &i));)
		vtep->remotes = vtep->listed = vtep->tunnel = 0;
	mirror->tunnels_idle = 1;
	for (__u32 i = 0; (remote = table_walk(&mirror->remotes, &i));)
		remote_activate(mirror, remote);
	for (__u32 i = 0; i < mirror->n_segments; i++) {
		struct segment *segment = &mirror->segments[i];

		for (__u32 j = 0; j < segment->is.sources; j++) {
			vtep = vtep_get(mirror, segment, &sources[segment->is.first_source + j]);
			if (vtep)
				vtep->listed = 1;
		}
	}
	for (__u32 i = 0; (vtep = table_walk(&mirror->vteps, &i));)
		vtep_sync(mirror, vtep);
}

static void
forget_others(struct gw_mirror *mirror)
{
	struct neighbour *neighbour;
	struct station *station;
	struct member *member;
	struct entry *entry;

	for (__u32 i = 0; (station = table_walk(&mirror->stations, &i));) {
		if (is_mirrored(mirror, station->key.bridge))
			station_update(mirror, station);
		else
			station_drop(mirror, station);
	}
	for (__u32 i = 0; (entry = table_walk(&mirror->entries, &i));)
		if (!is_tunnel(mirror, entry->key.ifindex))
			entry_drop(mirror, entry);
	for (__u32 i = 0; (member = table_walk(&mirror->members, &i));)
		if (!is_tunnel(mirror, member->key.entry.ifindex))
			member_drop(mirror, member);
	for (__u32 i = 0; (neighbour = table_walk(&mirror->neighbours, &i));)
		if (!is_mirrored(mirror, neighbour->key.ifindex))
			neighbour_drop(mirror, neighbour);
}

int
gw_mirror_configure(struct gw_mirror *mirror, const struct gw_mirror_port *ports, __u32 n_ports,
		    const struct gw_mirror_segment *segments, __u32 n_segments,
		    const struct gw_vtep_address *sources, __u32 n_sources)
{
	struct config config = {}, before = {mirror->ports,   mirror->segments, mirror->by_vni,
					     mirror->by_vlan, mirror->bridges,	mirror->n_bridges};
	__u32 count = mirror->n_segments;
	int result = config_check(segments, n_segments, n_sources);

	if (!result)
		result = config_make(&config, ports, n_ports, segments, n_segments);
	if (result) {
		config_free(&config);
		return result;
	}
	mirror->ports = config.ports;
	mirror->segments = config.segments;
	mirror->by_vni = config.by_vni;
	mirror->by_vlan = config.by_vlan;
	mirror->bridges = config.bridges;
	mirror->n_ports = n_ports;
	mirror->n_segments = n_segments;
	mirror->n_bridges = config.n_bridges;
	hand_over(mirror, before.segments, count);
	activate_all(mirror, sources);
	forget_others(mirror);
	mirror_flush(mirror);
	config_free(&before);
	return gw_mirror_resync(mirror);
}

int
gw_mirror_watch(struct gw_mirror *mirror, const __u32 *ifindexes, __u32 count)
{
	__u32 *watched = calloc(count + 1, sizeof(*watched));

	if (!watched)
		return -ENOMEM;
	if (count)
		memcpy(watched, ifindexes, count * sizeof(*watched));
	qsort(watched, count, sizeof(*watched), compare_numbers);
	free(mirror->watched);
	mirror->watched = watched;
	mirror->n_watched = count;
	return 0;
}
