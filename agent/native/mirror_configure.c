// SPDX-License-Identifier: GPL-2.0-or-later
/* Another configuration takes the place of the one before: see gw_mirror_configure(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mirror.h"

void
config_free(struct config *config)
{
	free(config->ports);
	free(config->segments);
	free(config->by_vni);
	free(config->by_vlan);
	free(config->bridges);
	free(config->filtering);
}

/* Sorts, and leaves one of each; returns how many are left. */
static __u32
make_set(__u32 *numbers, __u32 count)
{
	__u32 left = 0;

	qsort(numbers, count, sizeof(*numbers), compare_numbers);
	for (__u32 i = 0; i < count; i++)
		if (!i || numbers[i] != numbers[i - 1])
			numbers[left++] = numbers[i];
	return left;
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
	__u32 filtering = 0;

	config->ports = calloc(n_ports + 1, sizeof(*config->ports));
	config->segments = calloc(n_segments + 1, sizeof(*config->segments));
	config->by_vni = calloc(n_segments + 1, sizeof(*config->by_vni));
	config->by_vlan = calloc(n_segments + 1, sizeof(*config->by_vlan));
	config->bridges = calloc(n_ports + 1, sizeof(*config->bridges));
	config->filtering = calloc(n_ports + 1, sizeof(*config->filtering));
	if (!config->ports || !config->segments || !config->by_vni || !config->by_vlan ||
	    !config->bridges || !config->filtering)
		return -ENOMEM;
	for (__u32 i = 0; i < n_ports; i++) {
		config->ports[i] = ports[i];
		config->bridges[i] = ports[i].bridge;
		if (ports[i].flags & GW_MIRROR_VLANS)
			config->filtering[filtering++] = ports[i].bridge;
	}
	qsort(config->ports, n_ports, sizeof(*ports), compare_numbers);
	config->n_bridges = make_set(config->bridges, n_ports);
	config->n_filtering = make_set(config->filtering, filtering);
	config->n_ports = n_ports;
	config->n_segments = n_segments;
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
hand_over(struct gw_mirror *mirror, const struct config *before)
{
	for (__u32 i = 0; i < mirror->config.n_segments; i++)
		mirror->config.segments[i].serial = mirror->what.serial;
	for (__u32 i = 0; i < before->n_segments; i++) {
		const struct segment *old = &before->segments[i];
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
	/* Before what leads to them: who is listed may send all the while. */
	for (__u32 i = 0; i < mirror->config.n_segments; i++) {
		struct segment *segment = &mirror->config.segments[i];

		for (__u32 j = 0; j < segment->is.sources; j++) {
			vtep = vtep_get(mirror, segment, &sources[segment->is.first_source + j]);
			if (vtep)
				vtep->listed = 1;
		}
	}
	for (__u32 i = 0; (remote = table_walk(&mirror->remotes, &i));)
		remote_activate(mirror, remote);
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
		if (is_mirrored(mirror, station->key.bridge) &&
		    has_vlan(mirror, station->key.bridge, station->key.vlan))
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
	struct config config = {}, before = mirror->config;
	int result = config_check(segments, n_segments, n_sources);

	if (!result)
		result = config_make(&config, ports, n_ports, segments, n_segments);
	if (result) {
		config_free(&config);
		return result;
	}
	mirror->config = config;
	hand_over(mirror, &before);
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
