// SPDX-License-Identifier: GPL-2.0-or-later
/* What the mirror knows, for people: see gw_mirror.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mirror.h"

/* ---- stations ----------------------------------------------------------------------------- */

/* The VTEP that the station is behind; NULL: it is here, or there is not exactly one. Where the
 * device knows nothing of it and floods to one VTEP alone, that is the one. */
static const struct gw_vtep_address *
station_vtep(const struct gw_mirror *mirror, const struct segment *segment,
	     const struct station *station, __u8 *family)
{
	const struct entry *entry;
	const struct remote *remote;
	const struct tunnel *tunnel;

	if (!segment)
		return NULL;
	entry = station_entry(mirror, segment, station->key.mac);
	if (entry) {
		remote = target_remote(mirror, entry->target);
		*family = remote ? remote->key.place.family : 0;
		return remote ? &remote->key.place.address : NULL;
	}
	tunnel = segment->only ? table_at(&mirror->tunnels, segment->only - 1) : NULL;
	*family = tunnel ? segment->is.family : 0;
	return tunnel ? &tunnel->key.remote : NULL;
}

static bool
matches(const struct gw_mirror *mirror, const struct gw_mirror_match *match,
	const struct station *station)
{
	const struct segment *segment = NULL;
	const struct gw_vtep_address *vtep;
	__u8 family = 0;

	if (station->stamp.gone || (match->bridge && match->bridge != station->key.bridge) ||
	    (match->port && match->port != station->port) ||
	    (match->vlan && match->vlan != station->key.vlan) ||
	    (match->state && match->state != station->state) ||
	    memcmp(match->mac, station->key.mac, match->mac_bytes))
		return false;
	if (match->vni == GW_VNI_OTHER && !match->family)
		return true;
	segment = station_segment(mirror, station);
	if (match->vni != GW_VNI_OTHER && (!segment || segment->is.vni != match->vni))
		return false;
	if (!match->family)
		return true;
	vtep = station_vtep(mirror, segment, station, &family);
	return vtep && family == match->family && !memcmp(vtep, &match->vtep, sizeof(*vtep));
}

static void
list_neighbours(const struct gw_mirror *mirror, const struct station *station,
		struct gw_mirror_row *row)
{
	const struct behind *behind = NULL;
	const struct neighbour *neighbour;

	while ((neighbour =
			neighbour_behind(mirror, station->key.bridge, station->key.mac, &behind))) {
		if (row->neighbours < GW_MIRROR_ADDRESSES) {
			struct gw_mirror_address *address = &row->addresses[row->neighbours];

			memcpy(address->bytes, neighbour->key.address.bytes,
			       sizeof(address->bytes));
			address->family = neighbour->key.family;
		}
		row->neighbours++;
	}
}

static void
list_station(const struct gw_mirror *mirror, const struct station *station,
	     struct gw_mirror_row *row)
{
	const struct segment *segment = station_segment(mirror, station);
	const struct gw_vtep_address *vtep;
	struct gw_fdb_entry value = {};

	*row = (struct gw_mirror_row){
		.bridge = station->key.bridge,
		.port = station->port,
		.vni = segment ? segment->is.vni : GW_VNI_OTHER,
		.vlan = station->key.vlan,
		.state = station->state,
		.tunnel = station->tunnel,
	};
	memcpy(row->mac, station->key.mac, sizeof(row->mac));
	if (station->flags & STATION_IN_MAP) {
		gw_lookup(mirror->fdb_map, &station->key, &value);
		row->seen = value.seen;
		row->used = value.used;
		row->xdp = !segment || station->tunnel;
	}
	vtep = station_vtep(mirror, segment, station, &row->family);
	if (vtep)
		row->vtep = *vtep;
	list_neighbours(mirror, station, row);
}

int
gw_mirror_list(struct gw_mirror *mirror, const struct gw_mirror_match *match, __u32 *cursor,
	       struct gw_mirror_row *rows, __u32 room)
{
	const struct station *station;
	__u32 found = 0, at = *cursor;

	if (match->mac_bytes > MAC_SIZE)
		return -EINVAL;
	while ((station = table_walk(&mirror->stations, &at))) {
		if (!matches(mirror, match, station))
			continue;
		if (!room) {
			found++;
			continue;
		}
		if (found == room) {
			*cursor = at - 1;
			return found;
		}
		list_station(mirror, station, &rows[found++]);
	}
	*cursor = 0;
	return found;
}

/* ---- segments ----------------------------------------------------------------------------- */

/* Stations of one bridge and VLAN, wherever they are. */
struct domain {
	__u32 next;
	__u32 bridge;
	__u32 vlan;
	__u32 stations;
};

static void
count_station(struct table *domains, const struct gw_fdb_key *key)
{
	const __u32 at[] = {key->bridge, key->vlan};
	struct domain *domain = table_find(domains, at);

	if (!domain)
		domain = table_add(domains, at);
	if (domain)
		domain->stations++;
}

static int
count_stations(struct gw_mirror *mirror, struct gw_mirror_count *counts, __u32 room)
{
	const __u32 key_size = sizeof(__u32) * 2;
	const struct station *station;
	struct table domains;
	int result = table_init(&domains, sizeof(struct domain), key_size, key_size, GW_FDB_MAX);

	if (result)
		return result;
	for (__u32 i = 0; (station = table_walk(&mirror->stations, &i));) {
		const struct segment *segment = station_segment(mirror, station);

		if (station->stamp.gone)
			continue;
		count_station(&domains, &station->key);
		if (segment && segment - mirror->config.segments < room) {
			counts[segment - mirror->config.segments].remote++;
			counts[segment - mirror->config.segments].kernel += !station->tunnel;
		}
	}
	for (__u32 i = 0; i < room; i++) {
		const struct gw_mirror_segment *is = &mirror->config.segments[i].is;
		const __u32 at[] = {is->bridge, is->vlan};
		const struct domain *domain = table_find(&domains, at);

		counts[i].local = domain ? domain->stations - counts[i].remote : 0;
	}
	table_free(&domains);
	return 0;
}

static __u32
count_floods(struct gw_mirror *mirror, const struct segment *segment)
{
	const struct member_key first = {.entry = flood_key(segment)};
	const struct member *member = table_first(&mirror->members, &first);
	__u32 count = 0;

	for (; member; member = table_next(&mirror->members, member))
		count += !member->stamp.gone;
	return count;
}

int
gw_mirror_counts(struct gw_mirror *mirror, struct gw_mirror_count *counts, __u32 room)
{
	__u32 count = mirror->config.n_segments < room ? mirror->config.n_segments : room;
	const struct vtep *vtep;
	int result;

	for (__u32 i = 0; i < count; i++) {
		const struct segment *segment = &mirror->config.segments[i];

		counts[i] = (struct gw_mirror_count){
			.ifindex = segment->is.ifindex,
			.vni = segment->is.vni,
			.floods = count_floods(mirror, segment),
			.serial = segment->serial,
		};
	}
	result = count_stations(mirror, counts, count);
	if (result)
		return result;
	for (__u32 i = 0; (vtep = table_walk(&mirror->vteps, &i));) {
		const struct segment *segment =
			segment_named(mirror, vtep->key.ifindex, vtep->key.vni);

		if (segment && segment - mirror->config.segments < count)
			counts[segment - mirror->config.segments].vteps += vtep->allowed;
	}
	return count;
}

/* ---- VTEPs -------------------------------------------------------------------------------- */

/* Adds what leads to those that are listed, by their index. */
static void
add_remotes(const struct gw_mirror *mirror, const __u32 *places, struct gw_mirror_vtep *vteps)
{
	const struct remote *remote;

	for (__u32 i = 0; (remote = table_walk(&mirror->remotes, &i));) {
		__u32 place = remote->vtep ? places[remote->vtep - 1] : 0;

		if (!place)
			continue;
		vteps[place - 1].macs += remote->entries;
		if (remote->entries || remote->groups)
			vteps[place - 1].why |= GW_MIRROR_BY_FDB;
		if (remote->members)
			vteps[place - 1].why |= GW_MIRROR_BY_FLOOD;
	}
}

int
gw_mirror_vteps(struct gw_mirror *mirror, __u32 ifindex, __u32 vni, struct gw_mirror_vtep *vteps,
		__u32 room)
{
	__u32 found = 0, *places; /* by index: 1 + where it is listed */
	const struct vtep *vtep;

	if (!segment_named(mirror, ifindex, vni))
		return -ENOENT;
	places = calloc(mirror->vteps.fresh + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (__u32 i = 0; (vtep = table_walk(&mirror->vteps, &i));) {
		if (vtep->key.ifindex != ifindex || vtep->key.vni != vni)
			continue;
		if (found++ >= room)
			continue;
		places[i - 1] = found;
		vteps[found - 1] = (struct gw_mirror_vtep){
			.address = vtep->key.address,
			.why = vtep->listed ? GW_MIRROR_BY_LIST : 0,
			.tunnel = vtep->tunnel,
			.allowed = vtep->allowed,
		};
	}
	add_remotes(mirror, places, vteps);
	free(places);
	return found;
}
