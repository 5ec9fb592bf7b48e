/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EVPN's view of the kernel, and what it writes there. CFFI reads this file stripped of its guard
 * and include lines. Every int is a value >= 0, or -errno. For one thread, which may wait for a
 * dump. The namespace is the one that gw_evpn_open() was called in.
 *
 * Facts are FDB entries of bridges and of VXLAN devices, neighbours, links and addresses, of the devices that
 * gw_evpn_follow() named; of each, the last state is told once, however often it changed before
 * it was taken. Of what EVPN itself writes (entries of VXLAN devices, stations behind them, our
 * neighbours), and of a bridge's own addresses, only the end is told.
 */
#ifndef GW_EVPN_H
#define GW_EVPN_H
#include <linux/types.h>

enum gw_evpn_limit {
	GW_EVPN_FACTS_MAX = 524288,
	GW_EVPN_WAYS_MAX = 16, /* next hops of a route */
};

enum gw_evpn_kind {
	GW_EVPN_STATION = 1, /* of a bridge's FDB */
	GW_EVPN_ENTRY = 2, /* of a VXLAN device's FDB */
	GW_EVPN_FLOOD = 3, /* one VTEP of its flood list */
	GW_EVPN_NEIGHBOUR = 4, /* that has a MAC address */
	GW_EVPN_LINK = 5,
	GW_EVPN_ADDRESS = 6, /* of a bridge */
	GW_EVPN_ROUTE = 7, /* of ours, that is gone */
};

enum gw_evpn_flag {
	GW_EVPN_STATIC = 1, /* it does not age; of a neighbour: permanent */
	GW_EVPN_EXTERN = 2, /* put there by a control plane (NTF_EXT_LEARNED) */
	GW_EVPN_STICKY = 4,
	GW_EVPN_ROUTER = 8,
	GW_EVPN_OURS = 16, /* a neighbour of our protocol number */
	GW_EVPN_UP = 32, /* a link that is up */
	GW_EVPN_OWN = 64, /* an address of the bridge or of its port, and no station */
};

/* Zero where it says nothing of a kind. */
struct gw_evpn_key {
	__u32 ifindex; /* bridge of a station, VXLAN device, device of what else there is */
	__u32 vni; /* of a single VXLAN device; table of a route */
	__u16 vlan; /* of a station; length of a route's prefix */
	__u8 kind; /* enum gw_evpn_kind */
	__u8 family; /* of `address`: 4 or 6 */
	__u8 mac[6];
	__u8 pad[2];
	__u8 address[16]; /* VTEP of a flood list; of what else has one */
};

struct gw_evpn_value {
	__u32 port; /* ifindex, of a station */
	__u8 mac[6]; /* of a neighbour */
	__u8 flags; /* enum gw_evpn_flag */
	__u8 family; /* of `address`: 4, 6, or 0: none, or several */
	__u8 address[16]; /* VTEP of an entry */
};

struct gw_evpn_fact {
	struct gw_evpn_key key;
	struct gw_evpn_value value;
	__u32 gone;
};

struct gw_evpn_status {
	__u64 messages; /* of netlink that were read */
	__u32 lost; /* times that the kernel dropped events; a dump followed by itself */
	__u32 dumps;
	__u32 facts; /* that are known */
	__u32 waiting; /* to be taken, about */
	__u32 refused; /* facts without room, since the last dump began */
	__u32 error; /* errno of the last dump, 0: it went well */
};

struct gw_evpn;

/* `protocol` marks neighbours and routes as ours. NULL: *error is -errno. */
struct gw_evpn *gw_evpn_open(__u8 protocol, int *error);
void gw_evpn_close(struct gw_evpn *evpn);
/* Readable while there is something to read. */
int gw_evpn_fd(struct gw_evpn *evpn);
/* The devices that count from now on; facts of others are gone. The next gw_evpn_read() dumps. */
int gw_evpn_follow(struct gw_evpn *evpn, const __u32 *bridges, __u32 n_bridges,
		   const __u32 *tunnels, __u32 n_tunnels);
/* Reads the events that wait, and dumps first if that is due. -errno: the dump failed, and is
 * tried again by the next call. */
int gw_evpn_read(struct gw_evpn *evpn, struct gw_evpn_status *status);
/* Facts that changed since they were taken; returns how many were written, 0: there are none. */
int gw_evpn_take(struct gw_evpn *evpn, struct gw_evpn_fact *facts, __u32 room);
/* All that are known. Goes on from *cursor (0 first), which becomes where to go on, or 0 at the
 * end. */
int gw_evpn_list(struct gw_evpn *evpn, __u32 *cursor, struct gw_evpn_fact *facts, __u32 room);

/* ---- writing ---- */

enum gw_evpn_what {
	GW_EVPN_WRITE_MAC = 1, /* in the VXLAN device's FDB and in its bridge's */
	GW_EVPN_WRITE_FLOOD = 2,
	GW_EVPN_WRITE_NEIGHBOUR = 3,
	GW_EVPN_WRITE_ROUTE = 4,
};

enum gw_evpn_how {
	GW_EVPN_DELETE = 1, /* that it is not there is no error */
	GW_EVPN_MAKE_STICKY = 2,
	GW_EVPN_IS_ROUTER = 4,
	GW_EVPN_ONE_MORE = 8, /* a next hop of the route that follows, besides its own */
};

struct gw_evpn_write {
	__u32 what; /* enum gw_evpn_what */
	__u32 how; /* enum gw_evpn_how */
	__u32 ifindex; /* of the VXLAN device; of a neighbour or a route, of the bridge */
	__u32 bridge; /* ifindex, of a MAC address */
	__u32 vni; /* of a single VXLAN device, otherwise 0 */
	__u32 table; /* of a route */
	__u32 metric;
	int error; /* written: 0, or -errno */
	__u16 vlan; /* of the bridge, 0: it does not filter */
	__u8 family; /* of `address`: 4 or 6 */
	__u8 prefix_family;
	__u8 prefix_length;
	__u8 pad;
	__u8 mac[6];
	__u8 address[16]; /* VTEP; of a neighbour, its address */
	__u8 prefix[16];
};

/* Writes them in order, many at once, each with an error of its own. -EEXIST: something of the
 * owner's, made to stay, or an address of the bridge is in the way, and is left alone. Returns how
 * many failed. */
int gw_evpn_write(struct gw_evpn *evpn, struct gw_evpn_write *writes, __u32 count);
#endif
