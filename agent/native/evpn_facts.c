// SPDX-License-Identifier: GPL-2.0-or-later
/* What is known of the kernel, and what of that was not told yet: see gw_evpn.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "evpn.h"

enum {
	QUEUE_MIN = 1024,
};

static void
queue_free(struct gw_evpn *evpn)
{
	free(evpn->queue);
	evpn->queue = NULL;
	evpn->taken = evpn->queued = evpn->queue_room = 0;
}

/* Whether there is room for one more. */
static bool
queue_reserve(struct gw_evpn *evpn)
{
	__u32 room = evpn->queue_room ? evpn->queue_room * 2 : QUEUE_MIN;
	__u32 *queue;

	if (evpn->taken == evpn->queued)
		evpn->taken = evpn->queued = 0;
	if (evpn->queued < evpn->queue_room)
		return true;
	queue = realloc(evpn->queue, room * sizeof(*queue));
	if (!queue)
		return false;
	evpn->queue = queue;
	evpn->queue_room = room;
	return true;
}

static void
changed(struct gw_evpn *evpn, struct fact *fact)
{
	if (fact->queued)
		return;
	if (!queue_reserve(evpn)) {
		/* Told by the dump that follows. */
		evpn->dump_due = 1;
		evpn->status.refused++;
		return;
	}
	fact->queued = 1;
	evpn->queue[evpn->queued++] = table_index(&evpn->facts, fact);
}

/* Whether only its end is told: it is our own writing, or nobody's business. */
static bool
is_quiet(const struct gw_evpn *evpn, const struct gw_evpn_key *key,
	 const struct gw_evpn_value *value)
{
	switch (key->kind) {
	case GW_EVPN_ENTRY:
		return true;
	case GW_EVPN_STATION:
		return value->flags & GW_EVPN_OWN || evpn_follows(&evpn->tunnels, value->port);
	case GW_EVPN_NEIGHBOUR:
		return value->flags & GW_EVPN_OURS;
	}
	return false;
}

void
fact_seen(struct gw_evpn *evpn, const struct gw_evpn_key *key, const struct gw_evpn_value *value)
{
	struct fact *fact = table_find(&evpn->facts, key);
	bool fresh = !fact, quiet = is_quiet(evpn, key, value);

	if (!fact)
		fact = table_add(&evpn->facts, key);
	if (!fact) {
		evpn->status.refused++;
		return;
	}
	fact->round = evpn->round;
	if (!fresh && !fact->gone && fact->told && !memcmp(&fact->value, value, sizeof(*value)))
		return;
	/* Of what somebody has heard of as something else, he hears. */
	quiet = quiet && (fresh || is_quiet(evpn, key, &fact->value));
	fact->value = *value;
	fact->gone = 0;
	if (quiet)
		fact->told = 1;
	else
		changed(evpn, fact);
}

static void
gone(struct gw_evpn *evpn, struct fact *fact)
{
	fact->gone = 1;
	changed(evpn, fact);
}

void
fact_gone(struct gw_evpn *evpn, const struct gw_evpn_key *key)
{
	struct fact *fact = table_find(&evpn->facts, key);

	evpn->deleted++;
	if (fact && !fact->gone)
		gone(evpn, fact);
}

void
fact_ended(struct gw_evpn *evpn, const struct gw_evpn_key *key)
{
	struct fact *fact = table_find(&evpn->facts, key);

	if (!fact)
		fact = table_add(&evpn->facts, key);
	if (fact)
		gone(evpn, fact);
	else
		evpn->status.refused++;
}

const struct gw_evpn_value *
fact_find(const struct gw_evpn *evpn, const struct gw_evpn_key *key)
{
	const struct fact *fact = table_find(&evpn->facts, key);

	return fact && !fact->gone ? &fact->value : NULL;
}

void
facts_sweep(struct gw_evpn *evpn)
{
	struct fact *fact;

	for (__u32 i = 0; (fact = table_walk(&evpn->facts, &i));)
		if (!fact->gone && fact->round != evpn->round && fact->key.kind != GW_EVPN_LINK)
			gone(evpn, fact);
}

void
facts_disown(struct gw_evpn *evpn)
{
	struct fact *fact;

	for (__u32 i = 0; (fact = table_walk(&evpn->facts, &i));)
		if (!fact->gone && !evpn_follows(&evpn->bridges, fact->key.ifindex) &&
		    !evpn_follows(&evpn->tunnels, fact->key.ifindex))
			gone(evpn, fact);
}

static void
copy_fact(struct gw_evpn_fact *into, const struct fact *fact)
{
	into->key = fact->key;
	into->value = fact->value;
	into->gone = fact->gone;
}

int
gw_evpn_take(struct gw_evpn *evpn, struct gw_evpn_fact *facts, __u32 room)
{
	__u32 count = 0;

	/* Memory of a crowd that has gone. Indices change then, so that nothing may wait. */
	if (evpn->taken == evpn->queued && table_trim(&evpn->facts))
		queue_free(evpn);
	while (count < room && evpn->taken < evpn->queued) {
		struct fact *fact = table_at(&evpn->facts, evpn->queue[evpn->taken++]);

		fact->queued = 0;
		/* Also of what came and went meanwhile: it may have been ours. */
		copy_fact(&facts[count++], fact);
		fact->told = 1;
		if (fact->gone)
			table_remove(&evpn->facts, fact);
	}
	return count;
}

int
gw_evpn_list(struct gw_evpn *evpn, __u32 *cursor, struct gw_evpn_fact *facts, __u32 room)
{
	__u32 count = 0, index = *cursor;
	struct fact *fact = NULL;

	while (count < room && (fact = table_walk(&evpn->facts, &index)))
		if (!fact->gone)
			copy_fact(&facts[count++], fact);
	*cursor = fact || count == room ? index : 0;
	return count;
}
