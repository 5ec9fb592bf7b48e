// SPDX-License-Identifier: GPL-2.0-or-later
/* Stations of bridges, and gw_fdb, which has those that XDP can reach. */
#include <string.h>
#include "mirror.h"

struct segment *
station_segment(const struct gw_mirror *mirror, const struct station *station)
{
	struct segment *segment = segment_by_vlan(mirror, station->port, station->key.vlan);

	return segment && segment->is.bridge == station->key.bridge ? segment : NULL;
}

struct entry *
station_entry(const struct gw_mirror *mirror, const struct segment *segment, const __u8 *mac)
{
	struct entry_key key = flood_key(segment);
	struct entry *entry;

	memcpy(key.mac, mac, sizeof(key.mac));
	entry = table_find(&mirror->entries, &key);
	return entry && !entry->stamp.gone ? entry : NULL;
}

/* Whether it belongs into the map, and behind which tunnel it is. */
static bool
is_reachable(const struct gw_mirror *mirror, const struct station *station, __u32 *tunnel)
{
	const struct gw_mirror_port *port = config_port(mirror, station->port);
	const struct segment *segment;
	const struct entry *entry;

	*tunnel = 0;
	if (station->stamp.gone || !port || port->bridge != station->key.bridge)
		return false;
	if (!(port->flags & GW_MIRROR_TUNNEL))
		return port->flags & GW_MIRROR_XDP;
	segment = station_segment(mirror, station);
	if (!segment)
		return false;
	/* The device floods to what it has no entry for; where one is all, that is where it is. */
	entry = station_entry(mirror, segment, station->key.mac);
	*tunnel = entry ? target_tunnel(mirror, entry->target) : segment->only;
	return true;
}

/* Keeps what XDP wrote: `used` while it stays at its port, `seen` while it is nowhere else. */
static void
write_entry(struct gw_mirror *mirror, struct station *station, __u32 tunnel)
{
	struct gw_fdb_entry value = {.port = station->port, .tunnel = tunnel}, before;

	if (!gw_lookup(mirror->fdb_map, &station->key, &before) && before.port == value.port) {
		value.used = before.used;
		if (before.tunnel == tunnel || !before.tunnel || !tunnel)
			value.seen = before.seen;
		if (before.tunnel == tunnel) {
			station->flags |= STATION_IN_MAP | STATION_CLEAN;
			station->tunnel = tunnel;
			return;
		}
	}
	if (map_update(mirror, mirror->fdb_map, &station->key, &value))
		return;
	station->flags |= STATION_IN_MAP | STATION_CLEAN;
	station->tunnel = tunnel;
}

void
station_update(struct gw_mirror *mirror, struct station *station)
{
	__u32 tunnel;

	if (is_reachable(mirror, station, &tunnel)) {
		if ((station->flags & STATION_CLEAN) && station->tunnel == tunnel)
			return;
		station->flags &= ~STATION_CLEAN;
		write_entry(mirror, station, tunnel);
		if (station->flags & STATION_CLEAN)
			return;
	}
	/* An entry that could not be replaced goes as well, and one that an earlier agent left. */
	if (station->flags & STATION_IN_MAP || mirror->adopting)
		map_delete(mirror, mirror->fdb_map, &station->key);
	station->flags &= ~(STATION_IN_MAP | STATION_CLEAN);
	station->tunnel = 0;
}

void
station_seen(struct gw_mirror *mirror, const struct gw_fdb_key *key, __u32 port,
	     enum gw_mirror_state state, __u32 heard)
{
	struct station *station = table_find(&mirror->stations, key);

	if (!station)
		station = table_add(&mirror->stations, key);
	if (!station) {
		mirror->what.refused++;
		mirror->dump.refused = 1;
		return;
	}
	if (!mirror_news(mirror, &station->stamp))
		return;
	station->state = state;
	if (station->port != port) {
		station->port = port;
		/* What XDP has seen before that, perhaps for an earlier agent, is no news. */
		station->refreshed = heard;
		station->flags &= ~(STATION_CLEAN | STATION_USED | STATION_REPORTED);
	}
	station_update(mirror, station);
}

void
station_drop(struct gw_mirror *mirror, struct station *station)
{
	if (station->flags & STATION_IN_MAP)
		map_delete(mirror, mirror->fdb_map, &station->key);
	table_remove(&mirror->stations, station);
}

void
station_gone(struct gw_mirror *mirror, const struct gw_fdb_key *key)
{
	struct station *station = table_find(&mirror->stations, key);

	if (!station && mirror_remembers(mirror))
		station = table_add(&mirror->stations, key);
	if (!station)
		return;
	if (!mirror->dumping && !station->stamp.gone && mirror->n_forgotten < FORGOTTEN_MAX)
		mirror->forgotten[mirror->n_forgotten++] = *key;
	switch (mirror_gone(mirror, &station->stamp)) {
	case GONE_LATER:
		mirror->dump.deleted++;
		station_update(mirror, station);
		break;
	case GONE_NOW:
		station_drop(mirror, station);
		break;
	case GONE_NOT:
		break;
	}
}

static bool
station_known(const struct gw_mirror *mirror, const void *key)
{
	const struct station *station = table_find(&mirror->stations, key);

	return station && station->flags & STATION_IN_MAP;
}

void
stations_disown(struct gw_mirror *mirror)
{
	map_disown(mirror, mirror->fdb_map, station_known);
}
