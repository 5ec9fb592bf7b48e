/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remotes, which entries and flood lists lead to, and what follows from them: VTEPs, each with a
 * tunnel and leave to send or not. A tunnel is used again after a grace period behind all that led
 * to it.
 */
#include <string.h>

#include "parts.h"

/* Tunnels that nothing refers to any more. */
static uint16_t idle[GW_TUNNELS_MAX];
static uint32_t idle_count;

/* ---- tunnels ---------------------------------------------------------------------------------- */

// A slot, or 0: there is no room.
static uint16_t
tunnel_make(const struct segment *segment, const struct place *to)
{
	int slot = gw_tunnel_new();
	struct gw_tunnel *tunnel;

	if (slot < 0)
		return 0;
	tunnel = &gw_tunnels[slot];
	tunnel_fill(tunnel, segment, to);
	__atomic_store_n(&tunnel->segment, segment->slot, __ATOMIC_RELEASE);
	return slot;
}

static void
tunnel_end(uint16_t tunnel)
{
	if (tunnel)
		idle[idle_count++] = tunnel;
}

void
tunnels_purge(void)
{
	if (idle_count)
		gw_tunnels_free(idle, idle_count);
	idle_count = 0;
}

/* ---- VTEPs ------------------------------------------------------------------------------------ */

static struct gw_sender_key
sender_key(const struct segment *segment, const struct vtep *vtep)
{
	struct gw_sender_key key = {
		.vni = rte_cpu_to_be_32(segment->is.vni << 8),
		.port = rte_cpu_to_be_16(segment->is.port),
		.family = segment->is.family,
	};

	memcpy(key.remote, vtep->key.address, sizeof(key.remote));
	return key;
}

static void
crowd(struct segment *segment, struct vtep *vtep, bool on)
{
	if (vtep->crowded == on)
		return;
	vtep->crowded = on;
	segment->crowded += on ? 1 : -1;
	mirror.crowded.tunnels += on ? 1 : -1;
	// Where one is missing, those who are not known are the kernel's to judge.
	mirror.arrivals_dirty = true;
}

// Of somebody else: who names ourselves, whom nothing comes from by a wire, gets no way here.
static bool
is_vtep(const struct segment *segment, const uint8_t *address)
{
	return is_unicast(segment->is.family, address) &&
	       (!segment->is.has_local ||
		memcmp(address, segment->is.local.bytes, sizeof(segment->is.local.bytes)));
}

static bool
may_send(const struct segment *segment, const struct vtep *vtep)
{
	return vtep->listed || (vtep->remotes && !(segment->is.flags & GW_SEGMENT_OPTION_LISTED));
}

static void
stop_sending(struct segment *segment, struct vtep *vtep)
{
	const struct gw_sender_key key = sender_key(segment, vtep);

	if (!vtep->sends)
		return;
	gw_sender_delete(&key);
	gw_tunnels[vtep->tunnel].flags &= ~GW_TUNNEL_SENDS;
	vtep->sends = 0;
	segment->vteps--;
}

static void
start_sending(struct segment *segment, struct vtep *vtep)
{
	const struct gw_sender_key key = sender_key(segment, vtep);

	if (vtep->sends || !vtep->tunnel || gw_sender_set(&key, vtep->tunnel))
		return;
	gw_tunnels[vtep->tunnel].flags |= GW_TUNNEL_SENDS;
	vtep->sends = 1;
	segment->vteps++;
}

// Makes the data path's tables agree; what nothing names goes.
static void
vtep_sync(struct segment *segment, struct vtep *vtep)
{
	struct place to = {};

	memcpy(to.address, vtep->key.address, sizeof(to.address));
	if (!vtep->tunnel && (vtep->remotes || vtep->listed)) {
		vtep->tunnel = tunnel_make(segment, &to);
		segment->stale |= vtep->crowded;
		segment->flood_dirty |= vtep->crowded;
	}
	if (may_send(segment, vtep))
		start_sending(segment, vtep);
	else
		stop_sending(segment, vtep);
	if (vtep->remotes || vtep->listed) {
		crowd(segment, vtep, !vtep->tunnel || vtep->sends != may_send(segment, vtep));
		return;
	}
	crowd(segment, vtep, false);
	tunnel_end(vtep->tunnel);
	table_remove(&mirror.vteps, vtep);
}

static struct vtep *
vtep_get(uint32_t ifindex, const uint8_t *address)
{
	struct vtep_key key = {.ifindex = ifindex};
	struct vtep *vtep;

	memcpy(key.address, address, sizeof(key.address));
	vtep = table_find(&mirror.vteps, &key);
	if (!vtep)
		vtep = table_add(&mirror.vteps, &key, NULL);
	if (!vtep)
		mirror.failed = true;
	return vtep;
}

void
vteps_review(struct segment *segment, bool listing)
{
	const struct gw_worker_address *listed = segment_addresses() + segment->is.first_source;
	struct vtep *vtep;

	for (uint32_t i = 0; (vtep = table_walk(&mirror.vteps, &i));)
		if (vtep->key.ifindex == segment->is.ifindex)
			vtep->listed = 0;
	for (uint32_t i = 0; listing && i < segment->is.sources; i++) {
		if (!is_vtep(segment, listed[i].bytes))
			continue;
		vtep = vtep_get(segment->is.ifindex, listed[i].bytes);
		if (vtep)
			vtep->listed = 1;
	}
	for (uint32_t i = 0; (vtep = table_walk(&mirror.vteps, &i));)
		if (vtep->key.ifindex == segment->is.ifindex)
			vtep_sync(segment, vtep);
}

/* ---- remotes ---------------------------------------------------------------------------------- */

static void
activate(struct remote *remote)
{
	const struct place *place = &remote->key.place;
	struct segment *segment = segment_of(remote->key.ifindex);
	struct vtep *vtep;

	if (!segment || segment->is.family != place->family || !is_vtep(segment, place->address))
		return;
	vtep = vtep_get(remote->key.ifindex, place->address);
	if (!vtep)
		return;
	remote->vtep = 1 + table_index(&mirror.vteps, vtep);
	if (!vtep->remotes++ || vtep->crowded)
		vtep_sync(segment, vtep);
	// The default destination names the device that the VXLAN device itself is bound to.
	remote->odd = place->vni || place->port || (place->via && place->via != segment->is.link);
	if (remote->odd)
		remote->tunnel = tunnel_make(segment, place);
}

uint32_t
remote_get(uint32_t ifindex, const struct place *place)
{
	const struct remote_key key = {.ifindex = ifindex, .place = *place};
	struct remote *remote = table_find(&mirror.remotes, &key);

	if (!remote) {
		remote = table_add(&mirror.remotes, &key, NULL);
		if (!remote) {
			mirror.failed = true;
			return 0;
		}
		activate(remote);
	}
	remote->references++;
	return 1 + table_index(&mirror.remotes, remote);
}

void
remote_put(uint32_t number)
{
	struct remote *remote = number ? table_at(&mirror.remotes, number - 1) : NULL;
	struct segment *segment;
	struct vtep *vtep;

	if (!remote || --remote->references)
		return;
	vtep = remote->vtep ? table_at(&mirror.vteps, remote->vtep - 1) : NULL;
	segment = segment_of(remote->key.ifindex);
	tunnel_end(remote->tunnel);
	table_remove(&mirror.remotes, remote);
	if (vtep && !--vtep->remotes && segment)
		vtep_sync(segment, vtep);
}

uint16_t
remote_tunnel(uint32_t number)
{
	const struct remote *remote = number ? table_at(&mirror.remotes, number - 1) : NULL;
	const struct vtep *vtep;

	if (!remote || !remote->vtep)
		return 0;
	vtep = table_at(&mirror.vteps, remote->vtep - 1);
	return remote->odd ? remote->tunnel : vtep->tunnel;
}

const struct place *
remote_place(uint32_t number)
{
	const struct remote *remote = number ? table_at(&mirror.remotes, number - 1) : NULL;

	return remote ? &remote->key.place : NULL;
}

void
vteps_retry(void)
{
	struct vtep *vtep;

	for (uint32_t i = 0; (vtep = table_walk(&mirror.vteps, &i));) {
		struct segment *segment = vtep->crowded ? segment_of(vtep->key.ifindex) : NULL;

		if (segment)
			vtep_sync(segment, vtep);
	}
}
