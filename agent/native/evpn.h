/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of EVPN's view of the kernel share: see gw_evpn.h for what it is. */
#ifndef EVPN_H
#define EVPN_H
#include <stdbool.h>
#include <stddef.h>
#include <linux/netlink.h>
#include <libmnl/libmnl.h>
#include "gw_evpn.h"
#include "table.h"

enum {
	EVPN_MAC = 6,
	EVPN_BUFFER = 65536, /* the kernel fills at most 32 KB in one go */
};

/* An item of the table. */
struct fact {
	__u32 next;
	struct gw_evpn_key key;
	struct gw_evpn_value value;
	__u32 round; /* the dump that saw it, or during which an event did */
	__u8 told; /* whoever takes facts has it */
	__u8 gone;
	__u8 queued;
	__u8 pad;
};

struct evpn_devices {
	__u32 *ifindexes; /* sorted */
	__u32 count;
};

struct gw_evpn {
	struct mnl_socket *events;
	struct mnl_socket *requests;
	int poll;
	int timer; /* of a dump that is to be repeated */
	struct gw_evpn_status status;
	struct evpn_devices bridges, tunnels;
	struct table facts;
	__u32 *queue; /* indices of facts that changed, those before `taken` are done with */
	__u32 taken, queued, queue_room;
	__u32 round;
	__u32 sequence;
	__u32 deleted; /* events that told of something gone, since the look began */
	__u8 dump_due;
	__u8 overrun; /* events were lost */
	__u8 protocol;
	char buffer[EVPN_BUFFER];
	char request[EVPN_BUFFER];
};

/* Writes [first, next) are in one datagram. */
struct evpn_batch {
	struct gw_evpn *evpn;
	struct gw_evpn_write *writes;
	__u32 first, next;
	__u32 bytes;
};

/* ---- evpn_facts.c ---- */

void fact_seen(struct gw_evpn *evpn, const struct gw_evpn_key *key,
	       const struct gw_evpn_value *value);
void fact_gone(struct gw_evpn *evpn, const struct gw_evpn_key *key);
/* Of something of which only the end is kept, until it is told. */
void fact_ended(struct gw_evpn *evpn, const struct gw_evpn_key *key);
/* NULL: nothing of the kind is there. */
const struct gw_evpn_value *fact_find(const struct gw_evpn *evpn, const struct gw_evpn_key *key);
/* What the dump of this round did not see is gone. */
void facts_sweep(struct gw_evpn *evpn);
/* What is of no followed device is gone. */
void facts_disown(struct gw_evpn *evpn);

/* ---- evpn_decode.c ---- */

bool evpn_follows(const struct evpn_devices *devices, __u32 ifindex);
void evpn_decode(struct gw_evpn *evpn, const struct nlmsghdr *message);
size_t evpn_address_size(__u8 family);

/* ---- evpn_dump.c ---- */

/* Asks for all of it, reads events that wait before and meanwhile, and sweeps. 0 or -errno. */
int evpn_dump(struct gw_evpn *evpn);
/* All events that wait. */
void evpn_drain(struct gw_evpn *evpn);

/* ---- evpn_write.c ---- */

/* Of the bridge's FDB entry for the write's MAC address; 0: there is none. */
__u8 evpn_station_flags(const struct gw_evpn *evpn, const struct gw_evpn_write *write);

/* ---- evpn_request.c ---- */

/* Appends what writes[next] comes to. */
void evpn_request(struct evpn_batch *batch);
#endif
