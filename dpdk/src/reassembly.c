/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reassembly.h"

#include <rte_hash_crc.h>

#include "pieces_table.h"

enum { UNIT = 8 }; /* of all pieces but the last, the length is a multiple */

static enum gw_pieces_verdict
refuse(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet,
       struct rte_mbuf *mbuf)
{
	gw_pieces_drop_parts(lcore, set, packet, GW_DROP_PIECES);
	packet->state = GW_PACKET_REFUSED;
	gw_pieces_drop(lcore, mbuf, GW_DROP_PIECES);
	return GW_PIECES_KEPT;
}

// The piece and those that waited; the place is kept for those to come.
static enum gw_pieces_verdict
pass(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet,
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
		gw_pieces_release(lcore, set, packet);
	return GW_PIECES_PASS;
}

// All of a packet is there, and its place is free from now on.
static enum gw_pieces_verdict
finish(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet,
       struct gw_pieces_result *result)
{
	const bool joined = gw_packet_join(packet);

	if (joined) {
		for (uint32_t i = 1; i < packet->count; i++)
			gw_pieces_drop(lcore, packet->parts[i].mbuf, GW_VXLAN_PIECE);
		result->whole = packet->parts[0].mbuf;
		result->length = packet->total;
		result->congested = gw_packet_congested(packet);
	} else {
		gw_pieces_drop_parts(lcore, set, packet, GW_DROP_PIECES);
	}
	gw_pieces_release(lcore, set, packet);
	return joined ? GW_PIECES_WHOLE : GW_PIECES_KEPT;
}

static inline void
prefetch_end(const struct gw_piece *piece, const struct rte_mbuf *mbuf)
{
	const char *end =
		rte_pktmbuf_mtod_offset(mbuf, const char *, piece->headers + piece->length);

	rte_prefetch0(end);
	rte_prefetch0(end + RTE_CACHE_LINE_SIZE);
}

static enum gw_pieces_verdict
collect(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet,
	const struct gw_piece *piece, struct rte_mbuf *mbuf, struct gw_pieces_result *result)
{
	switch (gw_packet_place(packet, piece, mbuf)) {
	case GW_PLACED_ALL:
		set->held++;
		return finish(lcore, set, packet, result);
	case GW_PLACED:
		set->held++;
		// Most packets have one piece more, which goes there.
		if (!piece->offset)
			prefetch_end(piece, mbuf);
		return GW_PIECES_KEPT;
	case GW_PLACED_AGAIN:
		gw_pieces_drop(lcore, mbuf, GW_DROP_PIECES);
		return GW_PIECES_KEPT;
	default:
		return refuse(lcore, set, packet, mbuf);
	}
}

// A packet in one piece, which some senders make of what they feel is too long (RFC 6946).
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
	const uint32_t sender = rte_hash_crc(key->source, sizeof(key->source),
					     key->family | (uint32_t)key->bridge << 8);
	const uint32_t tag =
		rte_hash_crc(key->destination, sizeof(*key) - sizeof(key->source), sender);
	struct gw_pieces_set *set = &gw_pieces_tables[lcore->index]->sets[sender % GW_PIECES_SETS];
	struct gw_packet *packet;

	result->count = 0;
	if (unlikely(!piece->length || (piece->more && piece->length % UNIT) ||
		     piece->offset + piece->length > UINT16_MAX)) {
		gw_pieces_drop(lcore, mbuf, GW_DROP_PIECES);
		return GW_PIECES_KEPT;
	}
	if (unlikely(!piece->offset && !piece->more))
		return single(piece, mbuf, result);
	gw_pieces_make_room(lcore, set);
	packet = gw_pieces_find(lcore, set, key, tag | 1, now);
	if (unlikely(packet->state == GW_PACKET_REFUSED)) {
		gw_pieces_drop(lcore, mbuf, GW_DROP_PIECES);
		return GW_PIECES_KEPT;
	}
	if (unlikely(packet->state == GW_PACKET_PASSING || !gw_piece_fits(piece, mbuf) ||
		     (!piece->offset && !gw_piece_is_vxlan(piece, mbuf))))
		return pass(lcore, set, packet, piece, mbuf, result);
	return collect(lcore, set, packet, piece, mbuf, result);
}
