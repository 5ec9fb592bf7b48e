/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pieces of one packet, as reassembly.c keeps them: their order, and how they become one. */
#ifndef GW_PIECES_H
#define GW_PIECES_H

#include "reassembly.h"

enum gw_packet_state {
	GW_PACKET_COLLECTING,
	GW_PACKET_PASSING, /* what is still to come is the kernel's as well */
	GW_PACKET_REFUSED, /* what is still to come is dropped as well (RFC 5722) */
};

struct gw_part {
	struct rte_mbuf *mbuf;
	uint16_t offset, length;
	uint32_t headers;
};

struct gw_packet {
	struct gw_pieces_key key;
	uint64_t since; /* TSC of the first piece that came */
	uint32_t total; /* bytes; 0: the last piece has not come */
	uint32_t have;
	uint8_t state; /* enum gw_packet_state */
	uint8_t ecn; /* which fields were seen: bit n is that of field n */
	uint8_t count; /* of `parts`, which are in the order of their offsets */
	struct gw_part parts[GW_PIECES_EACH];
};

enum gw_placing {
	GW_PLACED,
	GW_PLACED_ALL, /* nothing is missing */
	GW_PLACED_AGAIN, /* it is there already, and was not taken */
	GW_PLACED_NOWHERE, /* it overlaps, makes no sense, or is one too many */
};

/* Whether the packet, with the piece, would be one that goes into an mbuf. */
bool gw_piece_fits(const struct gw_piece *piece, const struct rte_mbuf *mbuf);

/* Of a packet's first piece: whether a UDP header is in it, with one of VXLAN's ports. */
bool gw_piece_is_vxlan(const struct gw_piece *piece, const struct rte_mbuf *mbuf);

/* Into its place among the others. */
enum gw_placing gw_packet_place(struct gw_packet *packet, const struct gw_piece *piece,
				struct rte_mbuf *mbuf);

/* Copies all the parts into the first one's mbuf, which has that length then. False: their ECN
 * fields contradict each other, or there is no room. */
bool gw_packet_join(struct gw_packet *packet);

/* Whether a piece has met congestion. */
bool gw_packet_congested(const struct gw_packet *packet);

#endif
