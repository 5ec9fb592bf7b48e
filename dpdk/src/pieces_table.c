/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pieces_table.h"

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "error.h"

struct gw_pieces_table *gw_pieces_tables[GW_WORKER_LCORES];

int
gw_reassembly_create(uint32_t lcores)
{
	for (uint32_t i = 0; i < lcores; i++) {
		gw_pieces_tables[i] = rte_zmalloc("gw_reassembly", sizeof(struct gw_pieces_table),
						  RTE_CACHE_LINE_SIZE);
		if (gw_pieces_tables[i])
			continue;
		gw_reassembly_destroy();
		return gw_fail(ENOMEM, "no memory for putting VXLAN packets together");
	}
	return 0;
}

uint64_t
gw_reassembly_bytes(uint32_t lcores)
{
	return lcores * sizeof(struct gw_pieces_table);
}

// Where a packet is if that place was free.
static inline uint32_t
home(uint32_t tag)
{
	return tag / 2 % GW_PIECES_WAYS;
}

void
gw_pieces_release(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet)
{
	const uint32_t place = packet - set->packets;

	set->held -= packet->count;
	packet->count = 0;
	set->astray -= place != home(set->tags[place]);
	set->tags[place] = 0;
	set->used--;
	gw_pieces_tables[lcore->index]->used--;
}

void
gw_pieces_drop_parts(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet,
		     enum gw_counter reason)
{
	for (uint32_t i = 0; i < packet->count; i++)
		gw_pieces_drop(lcore, packet->parts[i].mbuf, reason);
	set->held -= packet->count;
	packet->count = 0;
}

void
gw_reassembly_destroy(void)
{
	for (uint32_t lcore = 0; lcore < GW_WORKER_LCORES; lcore++) {
		for (uint32_t i = 0; gw_pieces_tables[lcore] && i < GW_PIECES_SETS; i++) {
			struct gw_pieces_set *set = &gw_pieces_tables[lcore]->sets[i];

			for (uint32_t place = 0; place < GW_PIECES_WAYS; place++)
				gw_pieces_drop_parts(&gw_lcores[lcore], set, &set->packets[place],
						     GW_DROP_PIECES_LATE);
		}
		rte_free(gw_pieces_tables[lcore]);
		gw_pieces_tables[lcore] = NULL;
	}
}

static bool
is_late(const struct gw_packet *packet, uint64_t now)
{
	return now - packet->since > GW_PIECES_SECONDS * rte_get_tsc_hz();
}

static bool
is_by(const struct gw_packet *packet, uint64_t port)
{
	for (uint32_t i = 0; i < packet->count; i++)
		if (gw_mark(packet->parts[i].mbuf)->from == port)
			return true;
	return false;
}

// Those of which `is` is true.
static void
drop_all(struct gw_lcore *lcore, bool (*is)(const struct gw_packet *packet, uint64_t value),
	 uint64_t value)
{
	struct gw_pieces_table *table = gw_pieces_tables[lcore->index];

	for (uint32_t i = 0; table && table->used && i < GW_PIECES_SETS; i++) {
		struct gw_pieces_set *set = &table->sets[i];

		for (uint32_t place = 0; set->used && place < GW_PIECES_WAYS; place++) {
			if (!set->tags[place] || !is(&set->packets[place], value))
				continue;
			gw_pieces_drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
			gw_pieces_release(lcore, set, &set->packets[place]);
		}
	}
}

void
gw_reassembly_expire(struct gw_lcore *lcore)
{
	drop_all(lcore, is_late, rte_rdtsc());
}

void
gw_reassembly_forget(struct gw_lcore *lcore, uint16_t port)
{
	drop_all(lcore, is_by, port);
}

// Of those that hold at least so many mbufs; GW_PIECES_WAYS: there is none.
static uint32_t
oldest(const struct gw_pieces_set *set, uint32_t least)
{
	uint32_t found = GW_PIECES_WAYS;

	for (uint32_t place = 0; place < GW_PIECES_WAYS; place++) {
		const struct gw_packet *packet = &set->packets[place];

		if (set->tags[place] && packet->count >= least &&
		    (found == GW_PIECES_WAYS || packet->since < set->packets[found].since))
			found = place;
	}
	return found;
}

// A free place, which that of the oldest packet is if there is none.
static uint32_t
vacate(struct gw_lcore *lcore, struct gw_pieces_set *set, uint32_t tag)
{
	uint32_t place = home(tag);

	if (likely(!set->tags[place]))
		return place;
	if (set->used == GW_PIECES_WAYS) {
		place = oldest(set, 0);
		gw_pieces_drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
		gw_pieces_release(lcore, set, &set->packets[place]);
		return place;
	}
	while (set->tags[place])
		place = (place + 1) % GW_PIECES_WAYS;
	return place;
}

// A packet of which nothing has come before, or not lately.
static struct gw_packet *
begin(struct gw_lcore *lcore, struct gw_pieces_set *set, const struct gw_pieces_key *key,
      uint32_t tag, uint64_t now)
{
	const uint32_t place = vacate(lcore, set, tag);
	struct gw_packet *packet = &set->packets[place];

	set->tags[place] = tag;
	set->used++;
	set->astray += place != home(tag);
	gw_pieces_tables[lcore->index]->used++;
	packet->key = *key;
	packet->since = now;
	packet->total = packet->have = 0;
	packet->state = GW_PACKET_COLLECTING;
	packet->ecn = 0;
	return packet;
}

// Its place, or GW_PIECES_WAYS. Only where some are not at home is there more than one to look at.
static inline uint32_t
place_of(const struct gw_pieces_set *set, const struct gw_pieces_key *key, uint32_t tag)
{
	uint32_t place = home(tag);

	if (likely(set->tags[place] == tag && !memcmp(&set->packets[place].key, key, sizeof(*key))))
		return place;
	for (place = 0; set->astray && place < GW_PIECES_WAYS; place++)
		if (set->tags[place] == tag && !memcmp(&set->packets[place].key, key, sizeof(*key)))
			return place;
	return GW_PIECES_WAYS;
}

struct gw_packet *
gw_pieces_find(struct gw_lcore *lcore, struct gw_pieces_set *set, const struct gw_pieces_key *key,
	       uint32_t tag, uint64_t now)
{
	const uint32_t place = place_of(set, key, tag);

	if (place == GW_PIECES_WAYS)
		return begin(lcore, set, key, tag, now);
	if (likely(!is_late(&set->packets[place], now)))
		return &set->packets[place];
	gw_pieces_drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
	gw_pieces_release(lcore, set, &set->packets[place]);
	return begin(lcore, set, key, tag, now);
}

void
gw_pieces_make_room(struct gw_lcore *lcore, struct gw_pieces_set *set)
{
	uint32_t place;

	if (likely(set->held < GW_PIECES_HELD))
		return;
	place = oldest(set, 1);
	gw_pieces_drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
	gw_pieces_release(lcore, set, &set->packets[place]);
}
