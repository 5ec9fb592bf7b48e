/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of its neighbours; those of our devices are hops. */
#include <string.h>

#include <linux/neighbour.h>

#include "../worker.h"
#include "parts.h"

enum {
	USABLE = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP,
	SLACK = 8, /* part of their room that has to be free before those left out are looked for */
};

static enum step
step_of(const struct hop_key *key)
{
	return key->family == FAMILY4 ? STEP_NEIGHBOURS4 : STEP_NEIGHBOURS6;
}

bool
neighbour_usable(uint16_t state, const uint8_t *mac)
{
	static const uint8_t none[6];

	return state & USABLE && mac && !(mac[0] & 1) && memcmp(mac, none, sizeof(none));
}

// Those of the same address, whatever their MTU.
static void
resolve_all(const struct hop_key *key)
{
	struct hop *hop = table_first(&mirror.hops, key);

	for (; hop; hop = table_next(&mirror.hops, hop))
		hop_resolve(hop);
}

/*
 * A control plane tells of every host of every site, of which few are routed to from here: those may
 * take half of the room, and leave the rest to who has been asked for.
 */
static bool
is_left_out(const struct hop_key *key, uint8_t flags)
{
	if (!(flags & NEIGHBOUR_BOUND) ||
	    mirror.listed.neighbours[key->family] < gw_the_worker.options.neighbours / 2)
		return false;
	mirror.left_out[key->family] = true;
	return true;
}

void
neighbours_retry(enum family family)
{
	const uint32_t most = gw_the_worker.options.neighbours / 2;

	if (!mirror.left_out[family] || mirror.listed.neighbours[family] >= most - most / SLACK)
		return;
	mirror.left_out[family] = false;
	dump_want(WANT(family == FAMILY4 ? STEP_NEIGHBOURS4 : STEP_NEIGHBOURS6));
}

void
neighbour_seen(const struct hop_key *key, uint16_t state, const uint8_t *mac, uint8_t flags)
{
	struct hop *hop = table_find(&mirror.hops, key);
	const bool managed = flags & NEIGHBOUR_MANAGED;

	if (!slot_of(key->ifindex) || (!hop && is_left_out(key, flags)))
		return;
	if (!hop) {
		hop = hop_get(key);
		if (!hop)
			return;
		hop->references--;
	}
	if (!stamp_news(&hop->stamp, step_of(key)))
		return;
	hop->state = state;
	hop->flags &= ~(HOP_NEIGHBOUR | HOP_MANAGED_ALREADY | HOP_UNMANAGED);
	if (managed && !(hop->flags & HOP_MANAGED))
		hop->flags |= HOP_MANAGED_ALREADY;
	if (!managed && hop->flags & HOP_MANAGED)
		hop->flags |= HOP_UNMANAGED;
	if (neighbour_usable(state, mac)) {
		hop->flags |= HOP_NEIGHBOUR;
		memcpy(hop->mac, mac, sizeof(hop->mac));
	}
	resolve_all(key);
	hop_idle(hop);
}

static void
lose(struct hop *hop)
{
	believe_lost(hop);
	hop->flags &= ~HOP_NEIGHBOUR;
	hop->state = 0;
	resolve_all(&hop->key);
	hop_idle(hop);
}

void
neighbour_gone(const struct hop_key *key)
{
	struct hop *hop = table_find(&mirror.hops, key);

	if (!slot_of(key->ifindex))
		return;
	if (!hop && dump_of(step_of(key))) {
		hop = hop_get(key);
		if (hop)
			hop->references--;
	}
	if (!hop)
		return;
	stamp_gone(&hop->stamp, step_of(key));
	lose(hop);
}

void
neighbours_sweep(enum family family)
{
	struct hop *hop;

	for (uint32_t i = 0; (hop = table_walk(&mirror.hops, &i));) {
		if (hop->key.family != family || hop->key.connected || hop->key.mtu)
			continue;
		if (!stamp_swept(&hop->stamp, step_of(&hop->key)) && hop->state)
			lose(hop);
		hop_idle(hop);
	}
}
