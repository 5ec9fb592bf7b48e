// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Remotes, and what follows from them: tunnels (how to send there) and VTEPs (who may send). A
 * tunnel's index is in use by XDP at any time, so an entry of gw_tunnels becomes free after all
 * that led to it has gone, and is used again as late as possible.
 */
#include <stdlib.h>
#include <string.h>
#include "mirror.h"

/* ---- tunnels ------------------------------------------------------------------------------ */

/* Writes what changed; XDP sees it by the generation. */
static void
tunnel_write(struct gw_mirror *mirror, const struct tunnel *tunnel, const struct segment *segment)
{
	__u32 index = table_index(&mirror->tunnels, tunnel);
	struct gw_tunnel before = {}, value = segment->is.outer;

	value.vni = tunnel->key.outer_vni;
	value.remote = tunnel->key.remote;
	value.port = tunnel->key.port;
	gw_lookup(mirror->tunnel_map, &index, &before);
	value.generation = before.generation;
	if (!memcmp(&value, &before, sizeof(value)))
		return;
	value.generation++;
	map_update(mirror, mirror->tunnel_map, &index, &value);
}

/* 1 + index, with a reference; 0: sending there is the kernel's. */
static __u32
tunnel_get(struct gw_mirror *mirror, const struct segment *segment,
	   const struct gw_vtep_address *remote, __u32 outer_vni, __u16 port)
{
	struct tunnel_key key = {
		.ifindex = segment->is.ifindex,
		.vni = segment->is.vni,
		.outer_vni = outer_vni,
		.remote = *remote,
		.port = port,
	};
	struct tunnel *tunnel;

	if (!segment->is.outer.ifindex)
		return 0;
	tunnel = table_find(&mirror->tunnels, &key);
	if (!tunnel)
		tunnel = table_add(&mirror->tunnels, &key);
	if (!tunnel) {
		mirror->what.refused++;
		return 0;
	}
	if (!tunnel->references++)
		tunnel_write(mirror, tunnel, segment);
	return 1 + table_index(&mirror->tunnels, tunnel);
}

static void
tunnel_put(struct gw_mirror *mirror, __u32 number)
{
	struct tunnel *tunnel = number ? table_at(&mirror->tunnels, number - 1) : NULL;

	if (tunnel && !--tunnel->references)
		mirror->tunnels_idle = 1;
}

void
tunnels_purge(struct gw_mirror *mirror)
{
	struct tunnel *tunnel;

	for (__u32 i = 0; (tunnel = table_walk(&mirror->tunnels, &i));) {
		__u32 index = table_index(&mirror->tunnels, tunnel);
		struct gw_tunnel before = {}, empty = {};

		if (tunnel->references)
			continue;
		gw_lookup(mirror->tunnel_map, &index, &before);
		empty.generation = before.generation + 1;
		map_update(mirror, mirror->tunnel_map, &index, &empty);
		table_remove(&mirror->tunnels, tunnel);
	}
	mirror->tunnels_idle = 0;
}

/* What the map has keeps its index; for the time being nothing refers to it. */
void
tunnels_adopt(struct gw_mirror *mirror)
{
	struct gw_tunnel *values = calloc(GW_TUNNELS_MAX, sizeof(*values));
	struct tunnel *tunnel;
	__u32 count = 0;

	if (!values)
		return;
	for (__u32 i = 0; i < GW_TUNNELS_MAX; i++)
		if (!gw_lookup(mirror->tunnel_map, &i, &values[i]) && values[i].ifindex)
			count = i + 1;
	for (__u32 i = 0; i < count; i++) {
		/* Places that are free get a key that nothing else has, until all are given out. */
		struct tunnel_key key = {.vni = i};

		if (values[i].ifindex)
			key = (struct tunnel_key){
				.ifindex = values[i].ifindex,
				.vni = values[i].vni,
				.outer_vni = values[i].vni,
				.remote = values[i].remote,
				.port = values[i].port,
			};
		if (!table_add(&mirror->tunnels, &key))
			break;
	}
	for (__u32 i = 0; (tunnel = table_walk(&mirror->tunnels, &i));)
		if (!tunnel->key.ifindex)
			table_remove(&mirror->tunnels, tunnel);
	mirror->tunnels_idle = count > 0;
	free(values);
}

/* ---- VTEPs -------------------------------------------------------------------------------- */

struct vtep *
vtep_get(struct gw_mirror *mirror, struct segment *segment, const struct gw_vtep_address *address)
{
	struct gw_vtep_key key = {
		.ifindex = segment->is.ifindex, .vni = segment->is.vni, .address = *address};
	struct vtep *vtep = table_find(&mirror->vteps, &key);

	if (!vtep)
		vtep = table_add(&mirror->vteps, &key);
	if (!vtep) {
		mirror->what.refused++;
		return NULL;
	}
	if (!vtep->tunnel)
		vtep->tunnel =
			tunnel_get(mirror, segment, address, segment->is.vni, segment->is.port);
	return vtep;
}

void
vtep_sync(struct gw_mirror *mirror, struct vtep *vtep)
{
	struct segment *segment = segment_named(mirror, vtep->key.ifindex, vtep->key.vni);
	bool allowed = vtep->listed ||
		       (vtep->remotes && segment && !(segment->is.flags & GW_MIRROR_LISTED));
	struct gw_vtep value = {.tunnel = vtep->tunnel};

	if (allowed)
		allowed = !map_update(mirror, mirror->vtep_map, &vtep->key, &value);
	else if (vtep->allowed)
		map_delete(mirror, mirror->vtep_map, &vtep->key);
	if (allowed != vtep->allowed) {
		mirror->what.serial++;
		if (segment)
			segment->serial = mirror->what.serial;
	}
	vtep->allowed = allowed;
	if (vtep->remotes || vtep->listed)
		return;
	tunnel_put(mirror, vtep->tunnel);
	table_remove(&mirror->vteps, vtep);
}

static bool
vtep_known(const struct gw_mirror *mirror, const void *key)
{
	const struct vtep *vtep = table_find(&mirror->vteps, key);

	return vtep && vtep->allowed;
}

void
vteps_disown(struct gw_mirror *mirror)
{
	map_disown(mirror, mirror->vtep_map, vtep_known);
}

/* ---- remotes ------------------------------------------------------------------------------ */

static bool
is_unicast(const struct place *place)
{
	static const struct gw_vtep_address none;
	__u8 first = place->address.bytes[0];

	if (!memcmp(&place->address, &none, sizeof(none)))
		return false;
	return place->family == 6 ? first != 0xff : first < 224;
}

void
remote_activate(struct gw_mirror *mirror, struct remote *remote)
{
	const struct place *place = &remote->key.place;
	struct segment *segment = segment_by_vni(mirror, remote->key.ifindex, remote->key.vni);
	struct vtep *vtep;

	remote->tunnel = remote->vtep = 0;
	if (!segment || segment->is.family != place->family || !is_unicast(place))
		return;
	vtep = vtep_get(mirror, segment, &place->address);
	if (vtep) {
		remote->vtep = 1 + table_index(&mirror->vteps, vtep);
		if (!vtep->remotes++)
			vtep_sync(mirror, vtep);
	}
	/* The default destination names the device that the VXLAN device itself is bound to. */
	if (place->via && place->via != segment->is.link)
		return;
	remote->tunnel = tunnel_get(mirror, segment, &place->address,
				    place->vni ? place->vni : segment->is.vni,
				    place->port ? place->port : segment->is.port);
}

__u32
remote_get(struct gw_mirror *mirror, const struct remote_key *key)
{
	struct remote *remote = table_find(&mirror->remotes, key);

	if (!remote) {
		remote = table_add(&mirror->remotes, key);
		if (!remote) {
			mirror->what.refused++;
			return 0;
		}
		remote_activate(mirror, remote);
	}
	return 1 + table_index(&mirror->remotes, remote);
}

void
remote_settle(struct gw_mirror *mirror, struct remote *remote)
{
	struct vtep *vtep = remote->vtep ? table_at(&mirror->vteps, remote->vtep - 1) : NULL;

	if (remote->entries || remote->members || remote->groups)
		return;
	if (vtep && !--vtep->remotes)
		vtep_sync(mirror, vtep);
	tunnel_put(mirror, remote->tunnel);
	table_remove(&mirror->remotes, remote);
}
