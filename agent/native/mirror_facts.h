/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the mirror keeps, an item of a table each (see table.h): what the kernel said, and the
 * tunnels and VTEPs that follow from it.
 */
#ifndef MIRROR_FACTS_H
#define MIRROR_FACTS_H
#include <linux/types.h>
#include "gw_abi.h"

enum {
	/* In a target: the rest is an index in `groups`, otherwise 1 + an index in `remotes`. */
	TARGET_GROUP = 0x80000000U,
};

/*
 * When something was last told of, so that a dump can be read bit by bit between events.
 * `round` is the dump that saw it; what a dump did not see goes at its end. A piece of a dump is as
 * old as the reading of the piece before it: what an event said since then is newer, and is known
 * by `window`.
 */
struct stamp {
	__u8 round;
	__u8 gone; /* deleted, and kept until the dump has ended, for the dump may still tell of it */
	__u16 window; /* 0: told by a dump */
};

enum station_flag {
	STATION_IN_MAP = 1,
	STATION_CLEAN = 2, /* as it should be, so that nothing has to be written */
	STATION_USED = 4, /* by NAT lately */
	STATION_REPORTED = 8, /* `refreshed` was by us */
};

/* A bridge's FDB entry. The hash is of the bridge and the MAC address, not of the VLAN. */
struct station {
	__u32 next;
	struct gw_fdb_key key;
	__u32 port;
	__u32 tunnel; /* as the map has it */
	__u32 refreshed; /* CLOCK_MONOTONIC s: when the kernel heard it, by us or by itself */
	struct stamp stamp;
	__u8 flags; /* enum station_flag */
	__u8 state; /* enum gw_mirror_state */
	__u8 pad[2];
};

struct entry_key {
	__u32 ifindex; /* of the VXLAN device */
	__u32 vni; /* of a single VXLAN device, otherwise 0 */
	__u8 mac[6];
	__u8 pad[2];
};

/* A VXLAN device's entry for one station. */
struct entry {
	__u32 next;
	struct entry_key key;
	__u32 target; /* 0: nowhere */
	struct stamp stamp;
	__u8 ages;
	__u8 pad[3];
};

/* As FDB entries say it. */
struct place {
	struct gw_vtep_address address;
	__u32 via; /* ifindex, 0: as routed */
	__u32 vni; /* 0: the segment's */
	__u16 port; /* network order, 0: the segment's */
	__u8 family; /* 4 or 6 */
	__u8 pad;
};

/* The hash is of the entry's key: all members are in one chain. */
struct member_key {
	struct entry_key entry; /* all-zero MAC address: the flood set */
	struct place place;
};

struct member {
	__u32 next;
	struct member_key key;
	__u32 remote; /* 1 + index, 0: none */
	struct stamp stamp;
};

struct remote_key {
	__u32 ifindex;
	__u32 vni; /* as in entry_key */
	struct place place;
};

/* Where entries and flood sets lead to. Holds a tunnel and a VTEP if its segment is configured. */
struct remote {
	__u32 next;
	struct remote_key key;
	__u32 entries; /* that lead here */
	__u32 members;
	__u32 groups;
	__u32 tunnel; /* 1 + index */
	__u32 vtep; /* 1 + index */
};

struct tunnel_key {
	__u32 ifindex;
	__u32 vni; /* of the segment */
	__u32 outer_vni;
	struct gw_vtep_address remote;
	__u16 port;
	__u8 pad[2];
};

/* Its index is the one in gw_tunnels. Without references it goes at the next flush. */
struct tunnel {
	__u32 next;
	struct tunnel_key key;
	__u32 references;
};

struct vtep {
	__u32 next;
	struct gw_vtep_key key;
	__u32 remotes; /* that have this address */
	__u32 tunnel; /* 1 + index */
	__u8 listed;
	__u8 allowed; /* in the map */
	__u8 pad[2];
};

struct nexthop {
	__u32 next;
	__u32 id;
	struct gw_vtep_address address;
	__u32 *ids; /* of a group */
	__u32 count;
	struct stamp stamp;
	__u8 family; /* 0: a group */
	__u8 pad[3];
};

struct group_key {
	__u32 ifindex;
	__u32 vni;
	__u32 id; /* of the next hop */
};

/* A group of next hops as one VXLAN device's entries use it. */
struct group {
	__u32 next;
	struct group_key key;
	__u32 references;
	__u32 count;
	__u32 *members; /* 1 + indices in `remotes` */
};

struct neighbour_key {
	__u32 ifindex;
	struct gw_vtep_address address;
	__u32 family; /* 4 or 6 */
};

/* Of a bridge device, with a known MAC address. */
struct neighbour {
	__u32 next;
	struct neighbour_key key;
	__u16 state; /* NUD_* */
	__u8 mac[6];
	struct stamp stamp;
};

/* The hash is of what stands before `neighbour`. */
struct behind_key {
	__u32 ifindex;
	__u8 mac[6];
	__u8 pad[2];
	__u32 neighbour; /* index */
};

struct behind {
	__u32 next;
	struct behind_key key;
};
#endif
