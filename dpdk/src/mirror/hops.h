/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Next hops and neighbours, sets of next hops, and the kernel's objects for both. */
#ifndef GW_MIRROR_HOPS_H
#define GW_MIRROR_HOPS_H

#include "../nexthop.h"
#include "facts.h"

struct hop_key {
	uint32_t ifindex; /* 0: elsewhere */
	uint8_t family; /* enum family, of the address */
	uint8_t connected; /* no gateway: the destination is a neighbour */
	uint16_t pad;
	uint8_t address[16];
	uint32_t mtu; /* of a route; 0: the device's */
};

enum hop_flags {
	HOP_NEIGHBOUR = 1, /* the kernel has a MAC address for it, now */
	HOP_LISTED = 2, /* in the data path's table of neighbours */
	HOP_MANAGED = 4, /* by us */
	HOP_MANAGED_ALREADY = 8, /* by whomever else */
	HOP_UNMANAGED = 16, /* although we asked for it: somebody changed it since */
	HOP_IDLE = 32, /* on the list of those that may go */
	HOP_CROWDED = 64, /* no room for it among the neighbours */
};

struct hop {
	uint32_t link[2]; /* table.h */
	struct hop_key key;
	uint32_t references; /* of paths, and of hops that differ in their MTU */
	uint16_t nexthop; /* of gw_nexthops, or GW_NEXTHOP_POLICY: no room */
	uint16_t state; /* NUD_* */
	uint32_t used; /* of gw_nexthops, when the kernel was told last */
	uint8_t mac[6];
	uint8_t flags; /* enum hop_flags */
	struct stamp stamp;
};

/* With a reference more, or NULL: no memory. */
struct hop *hop_get(const struct hop_key *key);
void hop_put(struct hop *hop);
/* Nobody may need it any more: see hops_free_idle(). */
void hop_idle(struct hop *hop);
/* Makes the data path's tables agree with what is known of it. */
void hop_resolve(struct hop *hop);
void hops_of_link(uint32_t ifindex);
/* Before its slot goes: what is known of neighbours there is forgotten. */
void hops_forget(uint32_t ifindex);
void hops_free_idle(void);
/* Those that found no room among the neighbours try again; `nexthops`: also those that have none,
 * of which paths_retry() has to know. */
void hops_retry(bool nexthops);
/* Whether frames can be sent there; the MAC address may be NULL. */
bool neighbour_usable(uint16_t state, const uint8_t *mac);
/* A MAC address or NULL; `flags`: enum neighbour_flags. */
void neighbour_seen(const struct hop_key *key, uint16_t state, const uint8_t *mac, uint8_t flags);
/* Those that were left out, if there is room for some now. */
void neighbours_retry(enum family family);
void neighbour_gone(const struct hop_key *key);
void neighbours_sweep(enum family family);

enum { WAY_HOPS = GW_GROUP_BUCKETS };

enum neighbour_flags {
	NEIGHBOUR_MANAGED = 1, /* NTF_EXT_MANAGED */
	NEIGHBOUR_BOUND = 2, /* NTF_EXT_LEARNED: a control plane has put it there */
};

struct way_hop {
	struct hop_key key;
	uint16_t weight;
};

/* Where a route leads, as decoded. */
struct way {
	uint32_t object; /* id of the next hop object that says so, or 0 */
	uint16_t fixed; /* enum gw_nexthop_fixed, if count is 0; GW_NEXTHOP_NONE: nowhere now */
	uint16_t count;
	bool partial; /* it is not all that the kernel has: some were dead, or elsewhere */
	struct way_hop hops[WAY_HOPS];
};

struct path_key {
	uint32_t digest;
	uint32_t object;
	uint16_t count;
	uint16_t fixed;
	uint32_t partial;
};

struct member {
	uint32_t hop; /* index */
	uint32_t weight;
};

struct path {
	uint32_t link[2]; /* table.h */
	struct path_key key;
	uint32_t references; /* of routes */
	uint16_t nexthop; /* what the FIB gets */
	uint8_t own; /* the next hop is a group of its own */
	uint8_t idle;
	struct member *members; /* sorted by hop */
};

/* With a reference more; NULL: no memory. */
struct path *path_get(struct way *way);
struct path *path_at(uint32_t index);
uint32_t path_index(const struct path *path);
void path_hold(struct path *path);
void path_put(struct path *path);
void paths_free_idle(void);
/* After that: groups that found no room, and paths whose hops did. True: routes follow. */
bool paths_retry(void);
/* Whether every hop of `few` is one of `many`; neither is partial. */
bool path_within(const struct path *few, const struct path *many);
/* What is left of `many` without `few`, as path_get(). */
struct path *path_without(const struct path *many, const struct path *few);
bool path_uses(uint32_t object);
/* Whether there is a route that the kernel has more next hops for, dead now perhaps. */
bool paths_may_revive(void);
uint32_t paths_groups(void);

struct object {
	uint32_t link[2]; /* table.h */
	uint32_t id;
	uint32_t ifindex;
	uint8_t family; /* enum family, of the gateway */
	uint8_t connected;
	uint8_t blackhole;
	uint8_t encapsulates;
	uint8_t dead;
	struct stamp stamp;
	uint8_t address[16];
	uint16_t count; /* of a group's members */
	uint16_t *weights;
	uint32_t *members;
};

void object_seen(const struct object *news);
void object_gone(uint32_t id);
void objects_sweep(void);
void objects_close(void);
/* Fills `way` with what the object leads to. False: it is not known. */
bool object_way(uint32_t id, struct way *way);

#endif
