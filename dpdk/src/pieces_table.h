/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where packets wait of which pieces are missing: the sets of an lcore, see reassembly.h. */
#ifndef GW_PIECES_TABLE_H
#define GW_PIECES_TABLE_H

#include "mark.h"
#include "pieces.h"

/* A tag of 0 is a free place. */
struct gw_pieces_set {
	uint32_t tags[GW_PIECES_WAYS];
	struct gw_packet packets[GW_PIECES_WAYS];
	uint32_t used; /* places */
	uint32_t astray; /* of these, not where their tag wants them */
	uint32_t held; /* mbufs */
} __rte_cache_aligned;

struct gw_pieces_table {
	struct gw_pieces_set sets[GW_PIECES_SETS];
	uint32_t used; /* places of all sets */
};

/* Of each lcore; NULL without VXLAN. */
extern struct gw_pieces_table *gw_pieces_tables[GW_WORKER_LCORES];

/* The packet's place, a new one if nothing of it has come yet, or not lately. `tag` is not 0. */
struct gw_packet *gw_pieces_find(struct gw_lcore *lcore, struct gw_pieces_set *set,
				 const struct gw_pieces_key *key, uint32_t tag, uint64_t now);

/* Its place is free from now on; the mbufs are somebody else's. */
void gw_pieces_release(struct gw_lcore *lcore, struct gw_pieces_set *set, struct gw_packet *packet);

/* Room for one mbuf more, at the cost of the packet that has waited longest. */
void gw_pieces_make_room(struct gw_lcore *lcore, struct gw_pieces_set *set);

/* Those of a packet that are here, counted as `reason`. */
void gw_pieces_drop_parts(struct gw_lcore *lcore, struct gw_pieces_set *set,
			  struct gw_packet *packet, enum gw_counter reason);

static inline void
gw_pieces_drop(struct gw_lcore *lcore, struct rte_mbuf *mbuf, enum gw_counter reason)
{
	gw_count(lcore, gw_mark(mbuf)->from, reason, 1);
	rte_pktmbuf_free(mbuf);
}

#endif
