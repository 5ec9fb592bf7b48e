// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ageing. The kernel sees none of the frames that XDP takes, and would forget their stations in the
 * midst of it. So it is told of those that XDP heard, and of neighbours that NAT sends to; one that
 * is silent ages as ever.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include "mirror.h"

enum {
	BATCH = 1024,
	REFRESH_SECONDS = 60, /* at least so often, and four times while an entry would live */
	PARTS = 4,
};

struct batch {
	struct gw_fdb_key keys[BATCH];
	struct gw_fdb_entry values[BATCH];
};

/* s between two reports of one station; 0: it does not age. */
static __u32
refresh_interval(const struct gw_mirror_port *port, const struct segment *segment, bool own)
{
	__u32 ageing = port ? port->ageing : 0;

	if (own && segment && segment->is.ageing && (!ageing || segment->is.ageing < ageing))
		ageing = segment->is.ageing;
	if (!ageing)
		return 0;
	if (ageing / PARTS > REFRESH_SECONDS)
		return REFRESH_SECONDS;
	return ageing / PARTS ? ageing / PARTS : 1;
}

static void
refresh_station(struct gw_mirror *mirror, struct station *station, __u32 seen,
		struct gw_mirror_round *round)
{
	const struct gw_mirror_port *port = config_port(mirror, station->port);
	const struct segment *segment = station_segment(mirror, station);
	const struct entry *entry =
		segment ? station_entry(mirror, segment, station->key.mac) : NULL;
	bool ages = station->state == GW_MIRROR_LEARNED, own = entry && entry->ages;
	__u32 interval = refresh_interval(port, segment, own);

	/* `seen` may be of another boot's clock or of the future: then it says nothing. */
	if (!seen || seen <= station->refreshed || seen > round->now + 1)
		return;
	if (!interval || !(ages || own))
		return;
	if (station->flags & STATION_REPORTED && round->now - station->refreshed < interval)
		return;
	if (ages)
		request_station(mirror, station);
	if (own)
		request_entry(mirror, entry);
	station->refreshed = round->now;
	station->flags |= STATION_REPORTED;
	round->refreshed++;
}

static void
look_at(struct gw_mirror *mirror, const struct gw_fdb_key *key, const struct gw_fdb_entry *value,
	struct gw_mirror_round *round)
{
	struct station *station = table_find(&mirror->stations, key);

	round->looked++;
	if (!station || station->stamp.gone)
		return;
	station->flags &= ~STATION_USED;
	if (value->used && value->used >= round->since) {
		station->flags |= STATION_USED;
		round->used++;
	}
	refresh_station(mirror, station, value->seen, round);
}

static bool
is_used(const struct gw_mirror *mirror, const struct neighbour *neighbour)
{
	struct gw_fdb_key key = {.bridge = neighbour->key.ifindex};
	const struct station *station;

	__builtin_memcpy(key.mac, neighbour->mac, sizeof(key.mac));
	/* In whichever VLAN. */
	for (station = table_first(&mirror->stations, &key); station;
	     station = table_next(&mirror->stations, station))
		if (station->flags & STATION_USED)
			return true;
	return false;
}

/* Has the kernel ask the neighbours that NAT uses and that it is not sure of. */
static void
probe_neighbours(struct gw_mirror *mirror, struct gw_mirror_round *round)
{
	struct neighbour *neighbour;

	for (__u32 i = 0; (neighbour = table_walk(&mirror->neighbours, &i));) {
		if (neighbour->key.family != 4 || neighbour->stamp.gone ||
		    !(neighbour->state & NUD_STALE) || !is_used(mirror, neighbour))
			continue;
		request_neighbour(mirror, &neighbour->key, NTF_USE, NUD_NONE);
		round->probed++;
	}
}

static void
end_round(struct gw_mirror *mirror, struct gw_mirror_round *round)
{
	if (round->used)
		probe_neighbours(mirror, round);
	mirror->walking = 0;
	mirror_trim(mirror);
	if (dump_due(mirror, round->now))
		dump_start(mirror);
}

int
gw_mirror_refresh(struct gw_mirror *mirror, struct gw_mirror_round *round)
{
	static struct batch batch; /* for one thread: see gw_mirror.h */
	__u32 end = round->looked + round->limit;
	int result = 0;

	do {
		__u32 count = BATCH, next = 0;

		result = gw_lookup_batch(mirror->fdb_map, mirror->walking ? &mirror->walk : NULL,
					 &next, batch.keys, batch.values, &count);
		if (result && result != -ENOENT)
			break;
		for (__u32 i = 0; i < count; i++)
			look_at(mirror, &batch.keys[i], &batch.values[i], round);
		mirror->walk = next;
		mirror->walking = 1;
	} while (!result && round->looked < end);
	if (result)
		end_round(mirror, round);
	request_flush(mirror);
	if (result && result != -ENOENT)
		return result;
	return !result;
}
