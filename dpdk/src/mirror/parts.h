/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the mirror share. What the kernel says is decoded (decode.c, *_decode.c) and
 * kept in tables of our own, by ifindex and without regard to order of arrival; from those follows
 * what the data path's tables hold. All of it is touched with gw_control held only.
 */
#ifndef GW_MIRROR_PARTS_H
#define GW_MIRROR_PARTS_H

#include <pthread.h>

#include "../interface.h"
#include "gw_worker.h"
#include "kernel.h"
#include "links.h"
#include "routes.h"
#include "segments.h"
#include "table.h"

/* What the data path has, and what it has no room for, which the kernel does instead. Its own
 * tables count what they have deleted for some time. */
struct listed {
	uint32_t neighbours[FAMILIES], stations, bindings;
};

struct crowded {
	uint32_t hops, groups, neighbours[FAMILIES], stations, tunnels, bindings;
};

struct mirror {
	int events, dumps, requests, wake; /* descriptors */
	uint32_t ports; /* a bit for each port that is there */
	uint32_t wires, cut; /* of those, whose device below has changed, or has gone */
	struct table links, hops, paths, objects, stations;
	/* Of VXLAN. */
	struct table entries, members, remotes, vteps, arrivals, bindings, fdb_nexthops, fdb_groups;
	struct table routes[FAMILIES];
	int32_t forwarding6; /* net.ipv6.conf.all.forwarding */
	int32_t rp_filter; /* net.ipv4.conf.all.rp_filter */
	bool ignores[FAMILIES]; /* conf.all.ignore_routes_with_linkdown */
	bool review; /* slots may have to change */
	bool left_out[FAMILIES]; /* neighbours of a control plane, see neighbour.c */
	bool arrivals_dirty, groups_dirty; /* those of VXLAN */
	bool overrun; /* events were lost, and older ones still wait to be read */
	bool failed; /* no memory for something: to be tried again */
	uint32_t punting[FAMILIES]; /* enum punting */
	struct listed listed;
	struct crowded crowded;
	uint64_t count; /* events */
	uint32_t resyncs;
	uint32_t last_ticket, acknowledged, settled; /* of gw_mirror_wait */
	pthread_cond_t settling;
};

extern struct mirror mirror;

uint64_t mirror_now(void); /* CLOCK_MONOTONIC, ms */
/* All that follows from what was decoded. */
void mirror_flush(void);
void mirror_wake(void);
/* gw_control, for calls from elsewhere: the mirror's own thread lets them in. */
void mirror_enter(void);
void mirror_leave(void);
void mirror_let_others_in(void); /* that thread, without it */

/* One datagram of events; false: there is none. */
bool events_read(void);

/* room.c: as soon as there is room again. */
void room_retry(void);
/* What the kernel does instead, in words, behind others if there are some. */
void room_describe(char *text, size_t size, bool behind);

/* A dump has ended that began when all until this ticket was read. */
void mirror_settle(uint32_t ticket);
/* Whoever waits for what is done now, waits no more. */
void tickets_settle(void);

#endif
