/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VXLAN: the segments that the agent has named, and what the FDBs of their devices say. What is
 * said of a device is kept while its segment is active, that is while its device has a slot.
 */
#ifndef GW_MIRROR_SEGMENTS_H
#define GW_MIRROR_SEGMENTS_H

#include "../heard.h"
#include "../tunnel.h"
#include "gw_worker.h"
#include "links.h"

struct segment {
	struct gw_segment_options is; /* its places are those of segment_addresses() */
	struct gw_heard heard; /* what `is.heard` was opened as */
	uint16_t slot; /* of gw_segments; 0: the segment is the kernel's */
	uint16_t only; /* tunnel of the one VTEP that is flooded to; 0: none or several */
	uint8_t asked; /* a dump of its FDB has begun */
	uint8_t known; /* one has ended: who is not in there may not send */
	uint8_t floods; /* the list is whole, and can be sent to from here */
	uint8_t flood_dirty;
	uint8_t list_dirty; /* of those who may send */
	uint8_t stale; /* where its stations are has to be looked at again */
	uint32_t vteps; /* in gw_senders */
	uint32_t members; /* of the flood list */
	uint32_t stations;
	uint32_t crowded; /* VTEPs that there is no room for */
	const char *problem; /* why it is the kernel's, or NULL */
};

/* As FDB entries say it. */
struct place {
	uint8_t address[16];
	uint32_t via; /* ifindex, 0: as routed */
	uint32_t vni; /* host order, 0: the segment's */
	rte_be16_t port; /* 0: the segment's */
	uint8_t family; /* 4 or 6; 0: nowhere */
	uint8_t pad;
};

struct entry_key {
	uint32_t ifindex; /* of the VXLAN device */
	uint8_t mac[6];
	uint16_t pad;
};

/* A VXLAN device's own entry for one station. */
struct entry {
	uint32_t link[2]; /* table.h */
	struct entry_key key;
	uint32_t remote; /* 1 + index, 0: nowhere, or a group of next hops */
	uint32_t group; /* 1 + index, of those; then `remote` is 0 */
	struct stamp stamp;
	uint8_t ages;
};

/* Who gets what is flooded (all-zero MAC address), or a group's frames. The hash is of the entry's
 * key: all members are in one chain. */
struct flooded_key {
	struct entry_key entry;
	struct place place;
};

struct flooded {
	uint32_t link[2]; /* table.h */
	struct flooded_key key;
	uint32_t remote; /* 1 + index, 0: none */
	struct stamp stamp;
};

struct remote_key {
	uint32_t ifindex;
	struct place place;
};

/* Where entries and members lead to. */
struct remote {
	uint32_t link[2]; /* table.h */
	struct remote_key key;
	uint32_t references;
	uint32_t vtep; /* 1 + index; 0: multicast, or of the other family */
	uint16_t tunnel; /* its own, if it is not just the VTEP's; 0: none */
	uint8_t odd; /* it should have one of its own */
};

/* A next hop for FDBs: a VTEP, or a group of such. */
struct fdb_nexthop {
	uint32_t link[2]; /* table.h */
	uint32_t id;
	struct place place;
	uint32_t count; /* of a group's members */
	uint32_t *ids;
	struct stamp stamp;
};

struct fdb_group_key {
	uint32_t ifindex, id;
};

/* A group, as the entries of one VXLAN device use it. */
struct fdb_group {
	uint32_t link[2]; /* table.h */
	struct fdb_group_key key;
	uint32_t references;
	uint32_t count;
	uint32_t *members; /* 1 + indices of remotes */
};

struct vtep_key {
	uint32_t ifindex;
	uint8_t address[16];
};

/* One address, by the segment's VNI and port. */
struct vtep {
	uint32_t link[2]; /* table.h */
	struct vtep_key key;
	uint32_t remotes;
	uint16_t tunnel; /* 0: no room */
	uint8_t listed; /* one of the options' sources */
	uint8_t sends; /* it is in gw_senders */
	uint8_t crowded; /* and should be, or should have a tunnel */
};

struct arrival {
	uint32_t link[2]; /* table.h */
	struct gw_arrival_key key;
	uint16_t segment; /* slot of gw_segments, or GW_SEGMENT_OF_KERNEL */
	uint8_t wanted;
	uint8_t listed;
};

struct binding_key {
	uint32_t bridge; /* ifindex */
	uint8_t family; /* enum family */
	uint8_t pad[3];
	uint8_t address[16];
};

/* A neighbour of a bridge that a control plane has put there. */
struct binding {
	uint32_t link[2]; /* table.h */
	struct binding_key key;
	uint8_t mac[6];
	uint8_t router;
	uint8_t listed, crowded;
	struct stamp stamp;
};

/* segment.c: all of them, also those that are the kernel's. */
struct segment *segments_all(uint32_t *count);
const struct gw_worker_address *segment_addresses(void);
/* Of a VXLAN device, or of a slot of gw_segments; NULL: none that is active. */
struct segment *segment_of(uint32_t ifindex);
struct segment *segment_at(uint16_t slot);
/* What was allocated becomes segment.c's; nothing that is not in there may be active. */
void segments_replace(struct segment *by, uint32_t count, struct gw_worker_address *list);
void segments_open(void);
void segments_close(void);

/* segment_check.c. Of one host, in 4 or 16 bytes; those behind an IPv4 address are zero. */
bool is_unicast(uint8_t family, const uint8_t *address);
/* -EINVAL, -ENOSPC with a sentence. */
int segments_check(const struct gw_segment_options *segments, uint32_t count,
		   uint32_t address_count, const struct gw_worker_address *addresses);

/* For slots_review(): which devices get a slot, as `wanted` has it; when all have theirs. */
void segments_claim(bool *wanted);
void segments_refresh(void);

/* segment_active.c. NULL: nothing keeps it from being the data path's. */
const char *segment_obstacle(const struct segment *segment, const bool *wanted);
void segment_enter(struct segment *segment);
/* It is the kernel's from now on; what was said of its device is forgotten. */
void segment_leave(struct segment *segment);
/* Its options or its bridge port have changed: what can change while it is in use. */
void segment_write(const struct segment *segment);
/* The slot of gw_segments of a bridge that has just one; 0: none, or several. */
uint16_t segment_of_bridge(uint32_t bridge);

/* arrival.c: addresses where VXLAN arrives, and its UDP ports, follow. */
void arrivals_review(void);

/* remote.c. 1 + index, with a reference more; 0: no memory. */
uint32_t remote_get(uint32_t ifindex, const struct place *place);
void remote_put(uint32_t remote);
/* The tunnel to where it is, 0: there is none. */
uint16_t remote_tunnel(uint32_t remote);
const struct place *remote_place(uint32_t remote); /* NULL: nowhere */
/* All of the segment's: who is in its list, or nobody is, and who may send at all. */
void vteps_review(struct segment *segment, bool listing);
void vteps_retry(void);
/* Those that nothing refers to become free, after a grace period. */
void tunnels_purge(void);

/* fdb_group.c. 1 + index, with a reference more; 0: no memory. */
uint32_t fdb_group_get(uint32_t ifindex, uint32_t id);
void fdb_group_put(uint32_t group);
uint32_t fdb_group_remote(uint32_t group); /* of one that has just one member; 0: of others */
void fdb_groups_resolve(void);
void fdb_groups_close(void);
void fdb_nexthop_seen(uint32_t id, const struct place *place, const uint32_t *ids, uint32_t count);
void fdb_nexthop_gone(uint32_t id);
void fdb_nexthops_sweep(void);

/* tunnel_header.c: what `header`, `length` and `flags` of a tunnel are. */
void tunnel_fill(struct gw_tunnel *tunnel, const struct segment *segment, const struct place *to);

/* tunnel_entry.c: what VXLAN devices say. */
void entry_seen(const struct entry_key *key, const struct place *place, uint32_t nexthop,
		bool ages);
void entry_gone(const struct entry_key *key);
void member_seen(const struct flooded_key *key);
void member_gone(const struct flooded_key *key);
void entries_sweep(void);
void entries_forget(uint32_t ifindex);
/* NULL: there is none. */
struct entry *entry_find(uint32_t ifindex, const uint8_t *mac);
uint32_t entry_remote(const struct entry *entry); /* 0: nowhere, or in several places */
/* The tunnel to a station behind a VXLAN device, 0: none. */
uint16_t station_tunnel(uint32_t ifindex, const uint8_t *mac);

/* flood.c: those that have changed. */
void floods_write(void);
/* Of one that is active: why the kernel floods, all of it, or what the host wants to hear; or NULL. */
const char *flood_obstacle(const struct segment *segment);
const char *heard_obstacle(const struct segment *segment);
/* To `floods_here` and `flood_problem`. */
void flood_describe(const struct segment *segment, struct gw_segment_status *status);

/* binding.c */
void binding_seen(const struct binding_key *key, const uint8_t *mac, bool router);
void binding_gone(const struct binding_key *key);
void bindings_sweep(enum family family);
void bindings_forget(uint32_t bridge);
void bindings_retry(void);

/* Around a dump of FDBs. */
void segments_asked(void);
void segments_known(void);
/* What follows from all that was said. */
void segments_flush(void);

#endif
