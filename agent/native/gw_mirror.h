/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's bridge and VXLAN FDBs in gw_fdb, gw_tunnels, gw_vteps and gw_floods. CFFI reads this
 * file stripped of its guard and include lines. Every int is a value >= 0, or -errno. For one
 * thread. The namespace is the one that gw_mirror_open() was called in.
 *
 * What the kernel says is kept in hash tables of 24 to 64 bytes an entry; what the maps hold
 * follows from it and from the configuration, and is written as soon as either changes.
 */
#ifndef GW_MIRROR_H
#define GW_MIRROR_H
#include <linux/types.h>
#include "gw_abi.h"

enum gw_mirror_limit {
	GW_MIRROR_MEMBERS_MAX = 65536, /* of flood sets, and remotes of FDB entries */
	GW_MIRROR_NEIGHBOURS_MAX = 131072,
	GW_MIRROR_NEXTHOPS_MAX = 4096, /* that are for FDBs (ip nexthop … fdb) */
	GW_MIRROR_ADDRESSES = 8, /* of one station, listed with it */
};

struct gw_mirror;

enum gw_mirror_port_flag {
	GW_MIRROR_XDP = 1, /* frames can be redirected to it */
	GW_MIRROR_TUNNEL = 2, /* a VXLAN device */
	GW_MIRROR_VLANS = 4, /* its bridge filters VLANs: what is in none counts for nothing */
};

/* A port of a mirrored bridge. What is behind one that is not listed is the kernel's. */
struct gw_mirror_port {
	__u32 ifindex;
	__u32 bridge; /* ifindex */
	__u32 flags; /* enum gw_mirror_port_flag */
	__u32 ageing; /* s, of its stations in the bridge's FDB; 0: they stay */
};

enum gw_mirror_segment_flag {
	GW_MIRROR_EXTERNAL = 1, /* a single VXLAN device: FDB entries name their VNI */
	GW_MIRROR_LISTED = 2, /* only the listed sources may send */
};

/* One VNI of one VXLAN device in one bridge and VLAN. */
struct gw_mirror_segment {
	struct gw_tunnel outer; /* but remote and generation; ifindex 0: sending is the kernel's */
	__u32 ifindex; /* of the VXLAN device */
	__u32 bridge; /* ifindex */
	__u32 vni; /* host order */
	__u32 link; /* ifindex of the device that the VXLAN device is bound to, 0: none */
	__u32 ageing; /* s, of the VXLAN device's own FDB; 0: entries stay */
	__u32 first_source; /* of the listed ones */
	__u32 sources; /* how many */
	__u16 vlan; /* of the bridge, 0: it does not filter */
	__u16 port; /* UDP, network order */
	__u8 family; /* 4 or 6 */
	__u8 flags; /* enum gw_mirror_segment_flag */
	__u8 pad[6];
};

/* What one read came to; counts since gw_mirror_open() where nothing else is said. */
struct gw_mirror_events {
	__u64 messages; /* of netlink that were read */
	__u64 changes; /* of the maps */
	__u32 lost; /* times that the kernel dropped events; a dump follows by itself */
	__u32 dumps; /* that were begun */
	__u32 forgotten; /* neighbours of watched devices that the kernel dropped */
	__u32 more; /* 1: there is more to read */
	__u32 syncing; /* 1: a dump is not at its end */
	__u32 stations; /* in the bridges' FDBs that are known */
	__u32 refused; /* stations, VTEPs and so on without room, since the last dump began */
	__u32 failed; /* writes to maps that failed */
	__u32 error; /* errno of the last one */
	__u32 serial; /* another one when the VTEPs that may send to any segment changed */
};

/* Maps by descriptor; they may be closed afterwards. NULL: *error is -errno. What the maps hold is
 * taken over: it stays as it is until the first dump has ended. */
struct gw_mirror *gw_mirror_open(int fdb, int tunnels, int vteps, int floods, int *error);
void gw_mirror_close(struct gw_mirror *mirror);
/* Whose stations to mirror, all of it; starts a dump. Stations behind what is not among the ports
 * and segments any more are out of the maps on return. */
int gw_mirror_configure(struct gw_mirror *mirror, const struct gw_mirror_port *ports, __u32 n_ports,
			const struct gw_mirror_segment *segments, __u32 n_segments,
			const struct gw_vtep_address *sources, __u32 n_sources);
/* Devices whose neighbours count when the kernel drops them: see `forgotten`. */
int gw_mirror_watch(struct gw_mirror *mirror, const __u32 *ifindexes, __u32 count);
/* Readable while there is something to read. */
int gw_mirror_fd(struct gw_mirror *mirror);
/* Reads and goes on with a dump, until about `budget` messages were read; never waits. On return
 * the maps agree with what was read. */
int gw_mirror_read(struct gw_mirror *mirror, __u32 budget, struct gw_mirror_events *what);
/* Starts a dump, or starts the running one again; gw_mirror_read() does the work. Entries that
 * stay keep `used` and `seen`. */
int gw_mirror_resync(struct gw_mirror *mirror);

/* One walk through gw_fdb, a slice a call, to tell the kernel what XDP saw and used. */
struct gw_mirror_round {
	__u32 now; /* CLOCK_MONOTONIC s */
	__u32 since; /* NAT's use before that is long ago */
	__u32 limit; /* entries a call, about */
	/* Written, added up over the calls of a round; begin with zeros: */
	__u32 looked;
	__u32 used; /* by NAT lately */
	__u32 refreshed; /* stations whose ageing was reported to have begun anew (NTF_USE) */
	__u32 probed; /* stale neighbours that the kernel was asked to ask */
};

/* 1: there is more of this round; 0: it is over, and the next call begins another. */
int gw_mirror_refresh(struct gw_mirror *mirror, struct gw_mirror_round *round);

/* ---- what is known, for people ---- */

enum gw_mirror_state {
	GW_MIRROR_LEARNED = 1, /* ages */
	GW_MIRROR_STATIC = 2,
	GW_MIRROR_EXTERN = 3, /* put there by a control plane (extern_learn) */
};

/* 0 matches everything, but for `vni`. */
struct gw_mirror_match {
	__u32 bridge;
	__u32 port;
	__u32 vni; /* GW_VNI_OTHER: any */
	__u16 vlan;
	__u8 state; /* enum gw_mirror_state */
	__u8 mac_bytes; /* of `mac` that count */
	__u8 mac[6];
	__u8 family; /* of `vtep`: 4, 6, or 0 */
	__u8 pad;
	struct gw_vtep_address vtep;
};

struct gw_mirror_address {
	__u8 bytes[16];
	__u8 family; /* 4 or 6 */
};

struct gw_mirror_row {
	__u32 bridge;
	__u32 port;
	__u32 vni; /* GW_VNI_OTHER: it is behind no segment */
	__u32 seen; /* CLOCK_MONOTONIC s: see struct gw_fdb_entry; 0: never */
	__u32 used;
	__u32 tunnel; /* 1 + index in gw_tunnels, 0: none */
	__u16 vlan;
	__u8 mac[6];
	struct gw_vtep_address vtep;
	__u8 family; /* of `vtep`: 4, 6, or 0: none, or several */
	__u8 state; /* enum gw_mirror_state */
	__u8 xdp; /* 1: in gw_fdb, and not behind what only the kernel can reach */
	__u8 pad;
	__u32 neighbours; /* addresses that the bridge device's neighbour table has for it */
	struct gw_mirror_address addresses[8]; /* the first GW_MIRROR_ADDRESSES of them */
};

/* Goes on from *cursor (0 first); *cursor becomes where to go on, or 0 at the end. Room 0: counts.
 * Returns how many rows were written, or how many match. */
int gw_mirror_list(struct gw_mirror *mirror, const struct gw_mirror_match *match, __u32 *cursor,
		   struct gw_mirror_row *rows, __u32 room);

struct gw_mirror_count {
	__u32 ifindex;
	__u32 vni;
	__u32 local; /* stations on this side */
	__u32 remote; /* and behind VTEPs */
	__u32 kernel; /* of the remote ones: the kernel forwards to them */
	__u32 vteps; /* that may send */
	__u32 floods; /* in the flood set */
	__u32 serial; /* another one when the VTEPs that may send changed */
};

/* One for each segment, as configured; returns how many, at most `room`. */
int gw_mirror_counts(struct gw_mirror *mirror, struct gw_mirror_count *counts, __u32 room);

enum gw_mirror_why {
	GW_MIRROR_BY_FDB = 1,
	GW_MIRROR_BY_FLOOD = 2,
	GW_MIRROR_BY_LIST = 4,
};

struct gw_mirror_vtep {
	struct gw_vtep_address address;
	__u32 macs; /* entries of the VXLAN device's FDB that lead there */
	__u32 why; /* enum gw_mirror_why */
	__u32 tunnel; /* 1 + index of the way there, 0: none */
	__u32 allowed; /* 1: it may send */
};

/* VTEPs of one segment, those that may not send too; returns how many there are, of which the
 * first `room` are written. -ENOENT: no such segment. */
int gw_mirror_vteps(struct gw_mirror *mirror, __u32 ifindex, __u32 vni,
		    struct gw_mirror_vtep *vteps, __u32 room);
#endif
