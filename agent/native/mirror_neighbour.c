// SPDX-License-Identifier: GPL-2.0-or-later
/* Neighbours of bridge devices: the addresses of stations, as far as the kernel knows them. */
#include <string.h>
#include "mirror.h"

static struct behind_key
behind_key_of(const struct gw_mirror *mirror, const struct neighbour *neighbour)
{
	struct behind_key key = {
		.ifindex = neighbour->key.ifindex,
		.neighbour = table_index(&mirror->neighbours, neighbour),
	};

	memcpy(key.mac, neighbour->mac, sizeof(key.mac));
	return key;
}

static void
neighbour_unlink(struct gw_mirror *mirror, const struct neighbour *neighbour)
{
	const struct behind_key key = behind_key_of(mirror, neighbour);
	struct behind *behind = table_find(&mirror->behind, &key);

	if (behind)
		table_remove(&mirror->behind, behind);
}

static void
neighbour_link(struct gw_mirror *mirror, const struct neighbour *neighbour)
{
	const struct behind_key key = behind_key_of(mirror, neighbour);

	if (!table_find(&mirror->behind, &key) && !table_add(&mirror->behind, &key))
		mirror->what.refused++;
}

void
neighbour_seen(struct gw_mirror *mirror, const struct neighbour_key *key, const __u8 *mac,
	       __u16 state)
{
	struct neighbour *neighbour = table_find(&mirror->neighbours, key);

	if (!neighbour)
		neighbour = table_add(&mirror->neighbours, key);
	if (!neighbour) {
		mirror->what.refused++;
		return;
	}
	if (!mirror_news(mirror, &neighbour->stamp))
		return;
	neighbour->state = state;
	if (memcmp(neighbour->mac, mac, sizeof(neighbour->mac))) {
		neighbour_unlink(mirror, neighbour);
		memcpy(neighbour->mac, mac, sizeof(neighbour->mac));
	}
	neighbour_link(mirror, neighbour);
}

void
neighbour_drop(struct gw_mirror *mirror, struct neighbour *neighbour)
{
	neighbour_unlink(mirror, neighbour);
	table_remove(&mirror->neighbours, neighbour);
}

void
neighbour_gone(struct gw_mirror *mirror, const struct neighbour_key *key)
{
	struct neighbour *neighbour = table_find(&mirror->neighbours, key);

	if (!neighbour && mirror_remembers(mirror))
		neighbour = table_add(&mirror->neighbours, key);
	if (!neighbour)
		return;
	if (mirror_gone(mirror, &neighbour->stamp) == GONE_NOW) {
		neighbour_drop(mirror, neighbour);
	} else if (neighbour->stamp.gone) {
		neighbour_unlink(mirror, neighbour);
		neighbour->state = 0;
	}
}

bool
neighbours_trim(struct gw_mirror *mirror)
{
	struct neighbour *neighbour;

	if (!table_trim(&mirror->neighbours))
		return false;
	/* They have other indices now. */
	table_free(&mirror->behind);
	for (__u32 i = 0; (neighbour = table_walk(&mirror->neighbours, &i));)
		if (!neighbour->stamp.gone)
			neighbour_link(mirror, neighbour);
	return true;
}

struct neighbour *
neighbour_behind(const struct gw_mirror *mirror, __u32 bridge, const __u8 *mac,
		 const struct behind **behind)
{
	struct behind_key key = {.ifindex = bridge};

	memcpy(key.mac, mac, sizeof(key.mac));
	*behind =
		*behind ? table_next(&mirror->behind, *behind) : table_first(&mirror->behind, &key);
	return *behind ? table_at(&mirror->neighbours, (*behind)->key.neighbour) : NULL;
}
