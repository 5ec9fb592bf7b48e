/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reassembly.h"

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>

#include "error.h"
#include "mark.h"
#include "pieces.h"

enum { UNIT = 8 }; /* of all pieces but the last, the length is a multiple */

/* A tag of 0 is a free place. */
struct set {
	uint32_t tags[GW_PIECES_WAYS];
	struct gw_packet packets[GW_PIECES_WAYS];
	uint32_t used; /* places */
	uint32_t held; /* mbufs */
} __rte_cache_aligned;

struct table {
	struct set sets[GW_PIECES_SETS];
	uint32_t used; /* places of all sets */
};

static struct table *tables[GW_WORKER_LCORES];

int
gw_reassembly_create(uint32_t lcores)
{
	for (uint32_t i = 0; i < lcores; i++) {
		tables[i] = rte_zmalloc("gw_reassembly", sizeof(struct table), RTE_CACHE_LINE_SIZE);
		if (tables[i])
			continue;
		gw_reassembly_destroy();
		return gw_fail(ENOMEM, "no memory for putting VXLAN packets together");
	}
	return 0;
}

uint64_t
gw_reassembly_bytes(uint32_t lcores)
{
	return lcores * sizeof(struct table);
}

static void
release(struct table *table, struct set *set, uint32_t place)
{
	set->held -= set->packets[place].count;
	set->packets[place].count = 0;
	set->tags[place] = 0;
	set->used--;
	table->used--;
}

static void
drop(struct gw_lcore *lcore, struct rte_mbuf *mbuf, enum gw_counter reason)
{
	gw_count(lcore, gw_mark(mbuf)->from, reason, 1);
	rte_pktmbuf_free(mbuf);
}

static void
drop_parts(struct gw_lcore *lcore, struct set *set, struct gw_packet *packet,
	   enum gw_counter reason)
{
	for (uint32_t i = 0; i < packet->count; i++)
		drop(lcore, packet->parts[i].mbuf, reason);
	set->held -= packet->count;
	packet->count = 0;
}

void
gw_reassembly_destroy(void)
{
	for (uint32_t lcore = 0; lcore < GW_WORKER_LCORES; lcore++) {
		for (uint32_t i = 0; tables[lcore] && i < GW_PIECES_SETS; i++) {
			struct set *set = &tables[lcore]->sets[i];

			for (uint32_t place = 0; place < GW_PIECES_WAYS; place++)
				drop_parts(&gw_lcores[lcore], set, &set->packets[place],
					   GW_DROP_PIECES_LATE);
		}
		rte_free(tables[lcore]);
		tables[lcore] = NULL;
	}
}

static bool
is_late(const struct gw_packet *packet, uint64_t now)
{
	return now - packet->since > GW_PIECES_SECONDS * rte_get_tsc_hz();
}

void
gw_reassembly_expire(struct gw_lcore *lcore)
{
	struct table *table = tables[lcore->index];
	const uint64_t now = rte_rdtsc();

	for (uint32_t i = 0; table && table->used && i < GW_PIECES_SETS; i++) {
		struct set *set = &table->sets[i];

		for (uint32_t place = 0; set->used && place < GW_PIECES_WAYS; place++) {
			if (!set->tags[place] || !is_late(&set->packets[place], now))
				continue;
			drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
			release(table, set, place);
		}
	}
}

/* Of those that hold at least so many mbufs; GW_PIECES_WAYS: there is none. */
static uint32_t
oldest(const struct set *set, uint32_t least)
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

/* A place for a packet of which nothing has come before, or not lately. */
static struct gw_packet *
begin(struct gw_lcore *lcore, struct set *set, const struct gw_pieces_key *key, uint32_t tag,
      uint64_t now)
{
	struct table *table = tables[lcore->index];
	uint32_t place = 0;

	if (unlikely(set->used == GW_PIECES_WAYS)) {
		place = oldest(set, 0);
		drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
		release(table, set, place);
	} else {
		while (set->tags[place])
			place++;
	}
	set->tags[place] = tag;
	set->used++;
	table->used++;
	set->packets[place].key = *key;
	set->packets[place].since = now;
	set->packets[place].total = set->packets[place].have = 0;
	set->packets[place].state = GW_PACKET_COLLECTING;
	set->packets[place].ecn = 0;
	return &set->packets[place];
}

static struct gw_packet *
find(struct gw_lcore *lcore, struct set *set, const struct gw_pieces_key *key, uint32_t tag,
     uint64_t now)
{
	for (uint32_t place = 0; place < GW_PIECES_WAYS; place++) {
		struct gw_packet *packet = &set->packets[place];

		if (likely(set->tags[place] != tag) || memcmp(&packet->key, key, sizeof(*key)))
			continue;
		if (likely(!is_late(packet, now)))
			return packet;
		drop_parts(lcore, set, packet, GW_DROP_PIECES_LATE);
		release(tables[lcore->index], set, place);
		break;
	}
	return begin(lcore, set, key, tag, now);
}

static enum gw_pieces_verdict
refuse(struct gw_lcore *lcore, struct set *set, struct gw_packet *packet, struct rte_mbuf *mbuf)
{
	drop_parts(lcore, set, packet, GW_DROP_PIECES);
	packet->state = GW_PACKET_REFUSED;
	drop(lcore, mbuf, GW_DROP_PIECES);
	return GW_PIECES_KEPT;
}

/* The piece and those that waited; the place is kept for those to come. */
static enum gw_pieces_verdict
pass(struct gw_lcore *lcore, struct set *set, struct gw_packet *packet,
     const struct gw_piece *piece, struct rte_mbuf *mbuf, struct gw_pieces_result *result)
{
	for (uint32_t i = 0; i < packet->count; i++)
		result->passing[result->count++] = packet->parts[i].mbuf;
	result->passing[result->count++] = mbuf;
	set->held -= packet->count;
	packet->count = 0;
	packet->state = GW_PACKET_PASSING;
	packet->have += piece->length;
	if (!piece->more)
		packet->total = piece->offset + piece->length;
	if (packet->total && packet->have >= packet->total)
		release(tables[lcore->index], set, packet - set->packets);
	return GW_PIECES_PASS;
}

/* Room for one mbuf more, at the cost of the packet that has waited longest. */
static void
make_room(struct gw_lcore *lcore, struct set *set)
{
	uint32_t place;

	if (likely(set->held < GW_PIECES_HELD))
		return;
	place = oldest(set, 1);
	drop_parts(lcore, set, &set->packets[place], GW_DROP_PIECES_LATE);
	release(tables[lcore->index], set, place);
}

/* All of a packet is there, and its place is free from now on. */
static enum gw_pieces_verdict
finish(struct gw_lcore *lcore, struct set *set, struct gw_packet *packet,
       struct gw_pieces_result *result)
{
	const bool joined = gw_packet_join(packet);

	if (joined) {
		for (uint32_t i = 1; i < packet->count; i++)
			drop(lcore, packet->parts[i].mbuf, GW_VXLAN_PIECE);
		result->whole = packet->parts[0].mbuf;
		result->length = packet->total;
		result->congested = gw_packet_congested(packet);
	} else {
		drop_parts(lcore, set, packet, GW_DROP_PIECES);
	}
	release(tables[lcore->index], set, packet - set->packets);
	return joined ? GW_PIECES_WHOLE : GW_PIECES_KEPT;
}

static enum gw_pieces_verdict
collect(struct gw_lcore *lcore, struct set *set, struct gw_packet *packet,
	const struct gw_piece *piece, struct rte_mbuf *mbuf, struct gw_pieces_result *result)
{
	switch (gw_packet_place(packet, piece, mbuf)) {
	case GW_PLACED_ALL:
		set->held++;
		return finish(lcore, set, packet, result);
	case GW_PLACED:
		set->held++;
		return GW_PIECES_KEPT;
	case GW_PLACED_AGAIN:
		drop(lcore, mbuf, GW_DROP_PIECES);
		return GW_PIECES_KEPT;
	default:
		return refuse(lcore, set, packet, mbuf);
	}
}

/* A packet in one piece, which some senders make of what they feel is too long (RFC 6946). */
static enum gw_pieces_verdict
single(const struct gw_piece *piece, struct rte_mbuf *mbuf, struct gw_pieces_result *result)
{
	if (!gw_piece_is_vxlan(piece, mbuf)) {
		result->passing[result->count++] = mbuf;
		return GW_PIECES_PASS;
	}
	mbuf->data_len = mbuf->pkt_len = piece->headers + piece->length;
	result->whole = mbuf;
	result->length = piece->length;
	result->congested = false;
	return GW_PIECES_WHOLE;
}

enum gw_pieces_verdict
gw_reassembly_add(struct gw_lcore *lcore, const struct gw_piece *piece, struct rte_mbuf *mbuf,
		  uint64_t now, struct gw_pieces_result *result)
{
	const struct gw_pieces_key *key = &piece->key;
	const uint32_t sender = rte_hash_crc(key->source, sizeof(key->source), key->family);
	const uint32_t tag =
		rte_hash_crc(key->destination, sizeof(*key) - sizeof(key->source), sender);
	struct set *set = &tables[lcore->index]->sets[sender % GW_PIECES_SETS];
	struct gw_packet *packet;

	result->count = 0;
	if (unlikely(!piece->length || (piece->more && piece->length % UNIT) ||
		     piece->offset + piece->length > UINT16_MAX)) {
		drop(lcore, mbuf, GW_DROP_PIECES);
		return GW_PIECES_KEPT;
	}
	if (unlikely(!piece->offset && !piece->more))
		return single(piece, mbuf, result);
	make_room(lcore, set);
	packet = find(lcore, set, key, tag | 1, now);
	if (unlikely(packet->state == GW_PACKET_REFUSED)) {
		drop(lcore, mbuf, GW_DROP_PIECES);
		return GW_PIECES_KEPT;
	}
	if (unlikely(packet->state == GW_PACKET_PASSING || !gw_piece_fits(piece, mbuf) ||
		     (!piece->offset && !gw_piece_is_vxlan(piece, mbuf))))
		return pass(lcore, set, packet, piece, mbuf, result);
	return collect(lcore, set, packet, piece, mbuf, result);
}
