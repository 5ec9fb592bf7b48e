/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the mirror share: see gw_mirror.h for what it is. What the kernel says comes in
 * through mirror_decode.c and is kept in tables: see mirror_facts.h. From that and the configuration
 * follow tunnels, VTEPs and what the maps hold.
 */
#ifndef MIRROR_H
#define MIRROR_H
#include <stdbool.h>
#include <stddef.h>
#include <linux/netlink.h>
#include <libmnl/libmnl.h>
#include "gw_mirror.h"
#include "gw_native.h"
#include "mirror_facts.h"
#include "table.h"

enum {
	MAC_SIZE = 6,
	BUFFER_SIZE = 65536, /* the kernel fills at most 32 KB in one go */
	FORGOTTEN_MAX = 256, /* of one read; the kernel is asked for no more of them */
};

enum gone {
	GONE_NOT, /* there is newer news */
	GONE_NOW,
	GONE_LATER, /* when the dump has ended; it counts as gone from now on */
};

struct segment {
	struct gw_mirror_segment is;
	__u32 serial;
	__u32 only; /* tunnel of a flood set's only member: entries that are missing lead there */
	__u8 flood_dirty;
	__u8 flood_written;
	__u8 stale; /* what its stations lead to may be something else now */
};

/* What the mirror is of. */
struct config {
	struct gw_mirror_port *ports; /* by ifindex */
	struct segment *segments; /* as configured */
	struct segment **by_vni; /* by VXLAN device and VNI */
	struct segment **by_vlan; /* by VXLAN device and VLAN */
	__u32 *bridges; /* sorted */
	__u32 *filtering; /* the ones among them that filter VLANs, sorted */
	__u32 n_ports, n_segments, n_bridges, n_filtering;
};

enum dump_step {
	DUMP_NEXTHOPS = 0,
	DUMP_BRIDGES = 1, /* and as many more as there are bridges */
};

struct dump {
	struct mnl_socket *socket; /* NULL: no dump is running */
	__u32 step; /* enum dump_step */
	__u32 sequence;
	__u32 deleted; /* entries that went meanwhile: each may have hidden another one */
	__u32 ended; /* CLOCK_MONOTONIC s */
	__u16 window;
	__u8 round;
	__u8 second; /* what the first look missed may be seen by this one */
	__u8 failed;
	__u8 again; /* events were lost meanwhile */
	__u8 incomplete; /* it may have missed something */
	__u8 refused; /* stations that there was no room for, then or since */
};

struct gw_mirror {
	int fdb_map;
	int tunnel_map;
	int vtep_map;
	int flood_map;
	int poll;
	struct mnl_socket *events;
	struct mnl_socket *requests;
	struct gw_mirror_events what;

	struct config config;
	__u32 *watched; /* sorted */
	__u32 n_watched;

	struct table stations, entries, members, remotes, tunnels, vteps;
	struct table nexthops, groups, neighbours, behind;

	struct dump dump;
	__u8 adopting; /* the maps may hold what an earlier agent left */
	__u8 dumping; /* what is being read is from the dump */
	__u8 tunnels_idle; /* some have no references */
	__u8 nexthops_dirty;
	__u8 overrun; /* events were lost, and older ones still wait to be read */

	struct gw_fdb_key forgotten[FORGOTTEN_MAX];
	__u32 n_forgotten;

	__u32 walk; /* bucket of gw_fdb to go on with in a round */
	__u8 walking;

	__u32 requested; /* bytes in `request` */
	char request[8192];
	char buffer[BUFFER_SIZE];
};

static inline bool
is_group_mac(const __u8 *mac)
{
	return mac[0] & 1;
}

static inline bool
is_zero_mac(const __u8 *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

/* ---- mirror.c ---- */

/* Whether what is being read is news about something; an event always is. */
bool mirror_news(struct gw_mirror *mirror, struct stamp *stamp);
/* What becomes of something that is said to be gone; GONE_LATER has marked it. */
enum gone mirror_gone(struct gw_mirror *mirror, struct stamp *stamp);
/* Whether what is gone has to be remembered though it was not known: a dump may tell of it. */
bool mirror_remembers(const struct gw_mirror *mirror);
/* Gives memory back that nothing needs any more. */
void mirror_trim(struct gw_mirror *mirror);
/* Makes the maps agree with what is known by now. */
void mirror_flush(struct gw_mirror *mirror);
__u32 mirror_now(void);
int map_update(struct gw_mirror *mirror, int map, const void *key, const void *value);
int map_delete(struct gw_mirror *mirror, int map, const void *key);
/* Deletes the keys, of at most 32 bytes, that are not known. */
void map_disown(struct gw_mirror *mirror, int map,
		bool (*known)(const struct gw_mirror *mirror, const void *key));

/* ---- mirror_configure.c ---- */

void config_free(struct config *config);

/* ---- mirror_config.c ---- */

int compare_numbers(const void *one, const void *other);
int compare_vni(const void *one, const void *other);
int compare_vlan(const void *one, const void *other);
const struct gw_mirror_port *config_port(const struct gw_mirror *mirror, __u32 ifindex);
/* By the VNI that the FDB of the device is keyed by: see segment_key(). */
struct segment *segment_by_vni(const struct gw_mirror *mirror, __u32 ifindex, __u32 vni);
struct segment *segment_by_vlan(const struct gw_mirror *mirror, __u32 ifindex, __u16 vlan);
/* By its own VNI, whatever the device is. */
struct segment *segment_named(const struct gw_mirror *mirror, __u32 ifindex, __u32 vni);
/* The VNI by which the FDB of the segment's device is keyed: 0, if it has one only. */
__u32 segment_key(const struct segment *segment);
bool is_mirrored(const struct gw_mirror *mirror, __u32 bridge);
/* Whether frames in the VLAN, 0: in none, are looked up in this bridge at all. */
bool has_vlan(const struct gw_mirror *mirror, __u32 bridge, __u16 vlan);
bool is_tunnel(const struct gw_mirror *mirror, __u32 ifindex);
bool is_watched(const struct gw_mirror *mirror, __u32 ifindex);

/* ---- mirror_station.c ---- */

void station_seen(struct gw_mirror *mirror, const struct gw_fdb_key *key, __u32 port,
		  enum gw_mirror_state state, __u32 heard);
void station_gone(struct gw_mirror *mirror, const struct gw_fdb_key *key);
/* Makes the map's entry what it should be. */
void station_update(struct gw_mirror *mirror, struct station *station);
void station_drop(struct gw_mirror *mirror, struct station *station);
/* Of what is behind the port; NULL: none. */
struct segment *station_segment(const struct gw_mirror *mirror, const struct station *station);
/* The VXLAN device's own entry for it, NULL: none. */
struct entry *station_entry(const struct gw_mirror *mirror, const struct segment *segment,
			    const __u8 *mac);
/* Deletes from the map what is not known. */
void stations_disown(struct gw_mirror *mirror);

/* ---- mirror_vxlan.c ---- */

/* `target` as remote_get() or group_get() gave it. */
void entry_seen(struct gw_mirror *mirror, const struct entry_key *key, __u32 target, bool ages);
void entry_gone(struct gw_mirror *mirror, const struct entry_key *key);
void entry_drop(struct gw_mirror *mirror, struct entry *entry);
void member_seen(struct gw_mirror *mirror, const struct member_key *key);
void member_gone(struct gw_mirror *mirror, const struct member_key *key);
void member_drop(struct gw_mirror *mirror, struct member *member);
void flood_write(struct gw_mirror *mirror, struct segment *segment);
void flood_delete(struct gw_mirror *mirror, const struct segment *segment);
void floods_disown(struct gw_mirror *mirror);
struct entry_key flood_key(const struct segment *segment);
/* 1 + index of the tunnel to where a target is, 0: none or several. */
__u32 target_tunnel(const struct gw_mirror *mirror, __u32 target);
/* Where exactly it is; NULL: nowhere, or in several places. */
struct remote *target_remote(const struct gw_mirror *mirror, __u32 target);

/* ---- mirror_remote.c ---- */

/* 1 + index, 0: there is no room. It has no reference yet. */
__u32 remote_get(struct gw_mirror *mirror, const struct remote_key *key);
void remote_activate(struct gw_mirror *mirror, struct remote *remote);
/* If nothing leads there, it goes. */
void remote_settle(struct gw_mirror *mirror, struct remote *remote);
void tunnels_adopt(struct gw_mirror *mirror);
/* Those without references; their entries in the map become free. */
void tunnels_purge(struct gw_mirror *mirror);
struct vtep *vtep_get(struct gw_mirror *mirror, struct segment *segment,
		      const struct gw_vtep_address *address);
/* Writes whether it may send, or removes what nothing names. */
void vtep_sync(struct gw_mirror *mirror, struct vtep *vtep);
void vteps_disown(struct gw_mirror *mirror);

/* ---- mirror_nexthop.c ---- */

void nexthop_seen(struct gw_mirror *mirror, __u32 id, __u8 family,
		  const struct gw_vtep_address *address, const __u32 *ids, __u32 count);
void nexthop_gone(struct gw_mirror *mirror, __u32 id);
void nexthop_drop(struct gw_mirror *mirror, struct nexthop *nexthop);
/* A target with TARGET_GROUP, or 0: there is no room. */
__u32 group_get(struct gw_mirror *mirror, const struct group_key *key);
/* Without references it goes. */
void group_settle(struct gw_mirror *mirror, struct group *group);
struct group *target_group(const struct gw_mirror *mirror, __u32 target);
/* Looks up the members of all groups again. */
void groups_resolve(struct gw_mirror *mirror);
void groups_free(struct gw_mirror *mirror);

/* ---- mirror_neighbour.c ---- */

void neighbour_seen(struct gw_mirror *mirror, const struct neighbour_key *key, const __u8 *mac,
		    __u16 state);
void neighbour_gone(struct gw_mirror *mirror, const struct neighbour_key *key);
void neighbour_drop(struct gw_mirror *mirror, struct neighbour *neighbour);
/* Makes the table smaller if it can, and says so. */
bool neighbours_trim(struct gw_mirror *mirror);
/* Those that have the MAC address, NULL at the end; begin with `behind` NULL. */
struct neighbour *neighbour_behind(const struct gw_mirror *mirror, __u32 bridge, const __u8 *mac,
				   const struct behind **behind);

/* ---- mirror_decode.c ---- */

int decode_message(const struct nlmsghdr *message, void *mirror);

/* ---- mirror_dump.c ---- */

/* From the beginning; a running one is over. */
int dump_start(struct gw_mirror *mirror);
/* Reads one piece; returns how much work it was, in messages. */
int dump_read(struct gw_mirror *mirror);
void dump_stop(struct gw_mirror *mirror);
/* Whether another one is due because the last was not complete. */
bool dump_due(const struct gw_mirror *mirror, __u32 now);

/* ---- mirror_request.c ---- */

void request_station(struct gw_mirror *mirror, const struct station *station);
void request_entry(struct gw_mirror *mirror, const struct entry *entry);
/* `flags` and `state` as in ndmsg. */
void request_neighbour(struct gw_mirror *mirror, const struct neighbour_key *key, __u8 flags,
		       __u16 state);
/* Sends what was put together. */
void request_flush(struct gw_mirror *mirror);
/* Asks the stations that went in this read, if the kernel knows their addresses. */
void recall_forgotten(struct gw_mirror *mirror);
#endif
