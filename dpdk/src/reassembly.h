/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Outer packets that come in pieces (RFC 791 section 3.2, RFC 8200 section 4.5), from VTEPs alone.
 * Each lcore has a table of its own, in sets; the sender's address says which set, so that nobody's
 * pieces take the place of others' than those in the same set. Pieces stay in their mbufs, as they
 * came, until all are there: what turns out to be no VXLAN is the kernel's.
 *
 * librte_ip_frag is not used: it lets one sender fill its table, refuses what is new as long as old
 * packets wait, and chains segments, which would have to be copied once more.
 */
#ifndef GW_REASSEMBLY_H
#define GW_REASSEMBLY_H

#include <rte_mbuf.h>

#include "lcore.h"

enum gw_reassembly_limits {
	GW_PIECES_SETS = 16, /* of an lcore */
	GW_PIECES_WAYS = 64, /* packets of a set; the oldest makes room for a new one */
	GW_PIECES_EACH = 8, /* pieces of a packet */
	GW_PIECES_HELD = 96, /* mbufs of a set */
	GW_PIECES_SECONDS = 2, /* that a packet waits for its last piece */
};

/* What pieces of one packet have in common. */
struct gw_pieces_key {
	uint8_t source[16], destination[16]; /* IPv4: the first four bytes, others zero */
	uint32_t identification; /* as in the header */
	uint8_t family; /* 4 or 6 */
	uint8_t protocol;
	/* Slot of the bridge whose hosts it is from, for they may claim to be anybody; or 0. */
	uint16_t bridge;
};

/* What the headers of a frame in one segment say. */
struct gw_piece {
	struct gw_pieces_key key;
	uint32_t offset, length; /* bytes of the packet's payload that are in it */
	uint16_t headers; /* bytes before them: Ethernet, IP, and a fragment header */
	uint8_t ecn;
	bool more; /* it is not the last */
};

enum gw_pieces_verdict {
	GW_PIECES_KEPT, /* or dropped and counted: it is not the caller's any more */
	GW_PIECES_WHOLE, /* all are in the first one's mbuf; its headers are the caller's to mend */
	GW_PIECES_PASS, /* not VXLAN, or too long for one mbuf: the kernel's, like the others */
};

struct gw_pieces_result {
	struct rte_mbuf *whole;
	uint32_t length; /* of its payload */
	bool congested; /* a piece has met congestion, whatever the first one's header says */
	uint8_t count; /* that pass: the piece, and those that have waited */
	struct rte_mbuf *passing[GW_PIECES_EACH + 1];
};

/* One table for each lcore; 0: none. */
int gw_reassembly_create(uint32_t lcores);
/* After the lcores have stopped. */
void gw_reassembly_destroy(void);
uint64_t gw_reassembly_bytes(uint32_t lcores);

/* For the lcore's node: `now` is its TSC. */
enum gw_pieces_verdict gw_reassembly_add(struct gw_lcore *lcore, const struct gw_piece *piece,
					 struct rte_mbuf *mbuf, uint64_t now,
					 struct gw_pieces_result *result);

/* Drops what has waited for too long; by the lcore, about once a second. */
void gw_reassembly_expire(struct gw_lcore *lcore);

/* Drops packets of which a piece came in by that port; by the lcore. */
void gw_reassembly_forget(struct gw_lcore *lcore, uint16_t port);

#endif
