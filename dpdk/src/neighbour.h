/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts on our own links: (device, address) to next hop, for routes of kind CONNECTED. */
#ifndef GW_NEIGHBOUR_H
#define GW_NEIGHBOUR_H

#include <stdint.h>

#include <rte_hash.h>

struct gw_neighbour4_key {
	uint32_t address; /* network byte order */
	uint32_t interface; /* slot */
};

struct gw_neighbour6_key {
	uint8_t address[16];
	uint32_t interface;
};

/* Lock-free for readers; the data is the next hop's index. */
extern struct rte_hash *gw_neighbours4, *gw_neighbours6;

int gw_neighbours_create(uint32_t entries);
void gw_neighbours_destroy(void);
uint64_t gw_neighbours_bytes(uint32_t entries);

int gw_neighbour4_set(const struct gw_neighbour4_key *key, uint32_t nexthop); /* -ENOSPC */
int gw_neighbour4_delete(const struct gw_neighbour4_key *key);
int gw_neighbour6_set(const struct gw_neighbour6_key *key, uint32_t nexthop);
int gw_neighbour6_delete(const struct gw_neighbour6_key *key);

#endif
