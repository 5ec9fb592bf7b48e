/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FDBs of our bridges. */
#include <string.h>

#include "../fdb.h"
#include "../port.h"
#include "parts.h"

static struct gw_fdb_key
fdb_key(const struct station *station)
{
	struct gw_fdb_key key = {.bridge = slot_of(station->key.bridge)};

	memcpy(&key.mac, station->key.mac, sizeof(key.mac));
	return key;
}

int32_t
station_place(const struct station *station)
{
	const struct gw_fdb_key key = fdb_key(station);

	return station->listed ? rte_hash_lookup(gw_fdb, &key) : -1;
}

static void
crowd(struct station *station, bool on)
{
	mirror.crowded.stations += on - station->crowded;
	station->crowded = on;
	__atomic_store_n(&gw_fdb_left_out, mirror.crowded.stations, __ATOMIC_RELEASE);
}

// By the segment of the VXLAN device that it is behind.
static void
count(struct station *station, uint32_t device)
{
	struct segment *before = segment_of(station->device), *now = segment_of(device);

	if (station->device == device)
		return;
	if (before)
		before->stations--;
	if (now)
		now->stations++;
	station->device = device;
}

static void
unlist(struct station *station)
{
	const struct gw_fdb_key key = fdb_key(station);

	crowd(station, false);
	count(station, 0);
	if (station->listed)
		gw_fdb_delete(&key);
	mirror.listed.stations -= station->listed;
	station->listed = 0;
}

// By the bridge, or the VXLAN device, which has an entry of its own.
static bool
ages(const struct station *station)
{
	const struct entry *entry = entry_find(station->port, station->key.mac);

	return station->kind == STATION_LEARNED || (entry && entry->ages);
}

static union gw_fdb_place
place_of(const struct station *station)
{
	union gw_fdb_place place = {.port = GW_NO_PORT, .flags = GW_FDB_KERNEL};
	const uint16_t slot = slot_of(station->port);
	uint16_t tunnel;

	if (station->kind == STATION_LOCAL) {
		place.flags = GW_FDB_LOCAL | GW_FDB_STATIC;
	} else if (!slot || station->kind == STATION_LOCKED) {
		return place;
	} else if (gw_interfaces[slot].flags & GW_IF_TUNNEL) {
		tunnel = station_tunnel(station->port, station->key.mac);
		if (tunnel)
			place = (union gw_fdb_place){.port = tunnel, .flags = GW_FDB_TUNNEL};
		if (!ages(station))
			place.flags |= GW_FDB_STATIC;
	} else {
		place.port = gw_interfaces[slot].port;
		place.flags = station->kind == STATION_STATIC ? GW_FDB_STATIC : 0;
		if (place.port == GW_NO_PORT)
			place.flags |= GW_FDB_KERNEL;
	}
	return place;
}

// Makes the data path's entry what it should be.
static void
resolve(struct station *station)
{
	const struct gw_fdb_key key = fdb_key(station);
	const union gw_fdb_place place = place_of(station);

	if (!key.bridge)
		return;
	station->ages = !(place.flags & GW_FDB_STATIC);
	crowd(station, false);
	if (!gw_fdb_set(&key, place.port, place.flags)) {
		mirror.listed.stations += !station->listed;
		station->listed = 1;
		count(station, place.flags & GW_FDB_TUNNEL ? station->port : 0);
		return;
	}
	unlist(station); // what could not be written must not stay as it was
	crowd(station, true);
}

void
station_seen(const struct station_key *key, uint32_t port, enum station_kind kind)
{
	struct station *station = table_find(&mirror.stations, key);
	bool fresh = !station;

	if (!slot_of(key->bridge))
		return;
	if (fresh)
		station = table_add(&mirror.stations, key, NULL);
	if (!station) {
		mirror.failed = true;
		return;
	}
	if (!stamp_news(&station->stamp, STEP_STATIONS))
		return;
	if (!fresh && station->listed && station->port == port && station->kind == kind)
		return;
	// Frames from where it was say nothing about where it is.
	if (station->port != port)
		unlist(station);
	station->port = port;
	station->kind = kind;
	resolve(station);
}

static void
drop(struct station *station)
{
	unlist(station);
	table_remove(&mirror.stations, station);
}

void
station_gone(const struct station_key *key)
{
	struct station *station = table_find(&mirror.stations, key);

	if (!slot_of(key->bridge))
		return;
	if (!station && dump_of(STEP_STATIONS))
		station = table_add(&mirror.stations, key, NULL);
	if (!station)
		return;
	if (stamp_gone(&station->stamp, STEP_STATIONS))
		drop(station);
	else
		unlist(station);
}

void
stations_sweep(void)
{
	struct station *station;

	for (uint32_t i = 0; (station = table_walk(&mirror.stations, &i));)
		if (!stamp_swept(&station->stamp, STEP_STATIONS))
			drop(station);
}

void
stations_of_port(uint32_t ifindex)
{
	struct station *station;

	for (uint32_t i = 0; (station = table_walk(&mirror.stations, &i));)
		if (station->port == ifindex && !(station->stamp.flags & STAMP_GONE))
			resolve(station);
}

void
station_follow(const struct station_key *key, uint32_t port)
{
	struct station *station = table_find(&mirror.stations, key);

	if (station && station->port == port && !(station->stamp.flags & STAMP_GONE))
		resolve(station);
}

void
stations_forget(uint32_t bridge)
{
	struct station *station;

	for (uint32_t i = 0; (station = table_walk(&mirror.stations, &i));)
		if (station->key.bridge == bridge)
			drop(station);
}

void
stations_retry(void)
{
	struct station *station;

	for (uint32_t i = 0; (station = table_walk(&mirror.stations, &i));)
		if (station->crowded)
			resolve(station);
}
