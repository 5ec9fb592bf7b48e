/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's bridge FDB: (bridge, VLAN, MAC) to where it is. The mirror writes, but for `seen`. */
#ifndef GW_FDB_H
#define GW_FDB_H

#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_hash.h>

struct gw_fdb_key {
	struct rte_ether_addr mac;
	uint16_t vlan; /* 0 as long as VLAN-aware bridges are the kernel's */
	uint32_t bridge; /* slot of the interface */
	/* rte_hash compares keys of sixteen bytes itself, and calls memcmp() for twelve. */
	uint32_t pad;
} __rte_aligned(8);

static_assert(sizeof(struct gw_fdb_key) == 16, "two words");

enum gw_fdb_flags {
	GW_FDB_LOCAL = 1, /* the bridge's own address: route it */
	GW_FDB_KERNEL = 2, /* at a port that is not ours */
	GW_FDB_STATIC = 4, /* does not age: `seen` interests nobody */
	GW_FDB_TUNNEL = 8, /* behind a VTEP: `port` is a slot of gw_tunnels */
};

struct gw_fdb_entry {
	uint16_t port; /* DPDK port, slot of a tunnel, or GW_NO_PORT */
	uint16_t flags; /* enum gw_fdb_flags */
	uint32_t seen; /* gw_now() of the last frame from it; the data path writes it */
};

/* What a reader takes of an entry at once, for the mirror may change it meanwhile. */
union gw_fdb_place {
	struct {
		uint16_t port, flags;
	};
	uint32_t word;
};

static_assert(sizeof(union gw_fdb_place) == offsetof(struct gw_fdb_entry, seen), "the head");

static inline union gw_fdb_place
gw_fdb_place(const struct gw_fdb_entry *entry)
{
	return (union gw_fdb_place){
		.word = __atomic_load_n((const uint32_t *)entry, __ATOMIC_RELAXED),
	};
}

/* Positions of the hash are indices of the entries. */
extern struct rte_hash *gw_fdb;
extern struct gw_fdb_entry *gw_fdb_entries;
/* Stations of the kernel's that the table should have and has no room for: who is not found may be
 * one of them. */
extern uint32_t gw_fdb_left_out;

int gw_fdb_create(uint32_t entries);
void gw_fdb_destroy(void);
uint64_t gw_fdb_bytes(uint32_t entries);

int gw_fdb_set(const struct gw_fdb_key *key, uint16_t port, uint16_t flags); /* -ENOSPC */
int gw_fdb_delete(const struct gw_fdb_key *key);

#endif
