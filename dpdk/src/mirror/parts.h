/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the mirror share. What the kernel says is decoded (decode.c, *_decode.c) and
 * kept in tables of our own, by ifindex and without regard to order of arrival; from those follows
 * what the data path's tables hold. All of it is touched with gw_control held only.
 */
#ifndef GW_MIRROR_PARTS_H
#define GW_MIRROR_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/netlink.h>
#include <rte_ether.h>

#include "../interface.h"
#include "../nexthop.h"
#include "gw_worker.h"
#include "table.h"

enum family { FAMILY4, FAMILY6, FAMILIES };

/* What is dumped, in this order. */
enum step {
	STEP_LINKS,
	STEP_SWITCHES4,
	STEP_SWITCHES6,
	STEP_RULES4,
	STEP_RULES6,
	STEP_OBJECTS, /* next hop objects */
	STEP_NEIGHBOURS4,
	STEP_NEIGHBOURS6,
	STEP_STATIONS,
	STEP_ROUTES4,
	STEP_ROUTES6,
	STEPS,
};

#define WANT(step) (1u << (step))

enum want {
	WANT_ROUTES = WANT(STEP_ROUTES4) | WANT(STEP_ROUTES6),
	WANT_NEIGHBOURS = WANT(STEP_NEIGHBOURS4) | WANT(STEP_NEIGHBOURS6),
	WANT_ALL = WANT(STEPS) - 1,
};

/*
 * How a dump and the events during it go together: an event wins, for what the dump says is either
 * older or will be said again by an event still to come. What went meanwhile stays as a tombstone,
 * lest the dump brings it back.
 */
struct stamp {
	uint8_t look; /* of its step, that has seen it */
	uint8_t flags; /* enum stamp_flags */
};

enum stamp_flags {
	STAMP_EVENT = 1, /* an event told of it while its step was dumped */
	STAMP_GONE = 2, /* a tombstone */
};

/* ---- links, and what is switched for them -------------------------------------------------- */

enum link_flags {
	LINK_KNOWN = 1, /* there was more than a switch of it */
	LINK_UP = 2,
	LINK_CARRIER = 4,
	LINK_BRIDGE = 8,
	LINK_VLAN_AWARE = 16,
	LINK_MASTERED = 32, /* has a master, of whatever kind */
	LINK_STP_BLOCKED = 64,
	LINK_CHOOSY = 128, /* a bridge port with restrictions that the data path does not know */
	LINK_FORWARD4 = 256,
	LINK_FORWARD6 = 512, /* although net.ipv6.conf.all says no (6.17) */
	LINK_IGNORES4 = 1024, /* routes without carrier */
	LINK_IGNORES6 = 2048,
	LINK_NO_IPV6 = 4096, /* net.ipv6.conf.DEV.disable_ipv6 */
};

struct link {
	uint32_t link[2]; /* table.h */
	uint32_t ifindex;
	uint32_t mtu, mtu6; /* 0: not known */
	uint32_t master; /* ifindex */
	uint32_t lower; /* ifindex that it sits upon */
	uint32_t promiscuity;
	uint32_t ageing; /* of a bridge's FDB, s */
	uint16_t flags; /* enum link_flags */
	uint16_t slot; /* of gw_interfaces */
	uint8_t rp_filter;
	uint8_t mac[6];
	struct stamp stamp;
};

/* What is said of a link; the rest of struct link is other messages'. */
struct link_news {
	uint32_t ifindex, mtu, mtu6, master, lower, promiscuity, ageing;
	uint16_t flags;
	uint8_t mac[6];
};

struct link *link_find(uint32_t ifindex);
/* NULL: no memory. */
struct link *link_get(uint32_t ifindex);
void link_seen(const struct link_news *news);
void link_gone(uint32_t ifindex);
void links_sweep(void);
/* -1: all. */
void switches_seen(enum family family, int32_t ifindex, const int32_t *forwarding,
		   const int32_t *rp_filter, const int32_t *ignores, const int32_t *force);

/* ---- slots.c: those of them that the data path knows --------------------------------------- */

/* The slot of a device of ours, or GW_NO_INTERFACE. */
uint16_t slot_of(uint32_t ifindex);
/* Makes slots agree with links, switches and ports. */
void slots_review(void);
uint32_t slots_used(void);

/* ---- hops: (device, address), whether as gateways or as neighbours -------------------------- */

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
/* Makes the data path's tables agree with what is known of it. */
void hop_resolve(struct hop *hop);
void hops_of_link(uint32_t ifindex);
/* Before its slot goes: what is known of neighbours there is forgotten. */
void hops_forget(uint32_t ifindex);
void hops_free_idle(void);
/* A MAC address or NULL; `managed`: NTF_EXT_MANAGED. */
void neighbour_seen(const struct hop_key *key, uint16_t state, const uint8_t *mac, bool managed);
void neighbour_gone(const struct hop_key *key);
void neighbours_sweep(enum family family);

/* ---- paths: sets of hops that routes share --------------------------------------------------- */

enum { WAY_HOPS = GW_GROUP_BUCKETS };

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
/* Whether every hop of `few` is one of `many`; neither is partial. */
bool path_within(const struct path *few, const struct path *many);
/* What is left of `many` without `few`, as path_get(). */
struct path *path_without(const struct path *many, const struct path *few);
bool path_uses(uint32_t object);
uint32_t paths_groups(void);

/* ---- routes ----------------------------------------------------------------------------------- */

struct prefix {
	uint8_t length;
	uint8_t pad[3];
	uint8_t address[16]; /* IPv4: the first four; network byte order */
};

/* Order in which tables are asked. */
enum rank { RANK_LOCAL, RANK_MAIN, RANK_DEFAULT };

struct route {
	enum family family;
	struct prefix prefix;
	enum rank rank;
	uint32_t metric;
	bool special; /* of some sources or types of service only: the kernel decides */
	struct way way;
};

enum punting {
	PUNTING_RULES = 1, /* other rules than the kernel's own */
	PUNTING_FULL = 2, /* a route did not fit */
	PUNTING_NESTED = 4, /* too many local prefixes */
	PUNTING_BROKEN = 8, /* no memory for the FIB */
};

void route_dumped(struct route *route);
void route_new(struct route *route, uint16_t flags); /* of the message: NLM_F_REPLACE, ... */
void route_deleted(struct route *route);
void routes_sweep(enum family family);
void routes_open(void);
/* Prefixes that have a route. */
uint32_t routes_count(enum family family);

/* What the data path has to do with a prefix: an index of gw_nexthops, or -1: no entry. */
int routes_answer(enum family family, const struct prefix *prefix);
/* The next prefix from *index on, at least once each. */
const struct prefix *routes_walk(enum family family, uint32_t *index);

/* install.c: from there into the FIB. */
void install_later(enum family family, const struct prefix *prefix);
void install_all_later(enum family family);
void install_flush(void);
void family_punting(enum family family, enum punting reason, bool on);
/* Room may have come free. */
void family_retry(enum family family);
/* While its FIB is written anew, nothing is forwarded by it. */
bool family_blocked(enum family family);

/* ---- next hop objects -------------------------------------------------------------------------- */

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

/* ---- FDB ------------------------------------------------------------------------------------------ */

struct station_key {
	uint32_t bridge; /* ifindex */
	uint8_t mac[6];
	uint16_t pad;
};

enum station_kind { STATION_LEARNED, STATION_STATIC, STATION_LOCAL, STATION_LOCKED };

struct station {
	uint32_t link[2]; /* table.h */
	struct station_key key;
	uint32_t port; /* ifindex */
	uint32_t seen; /* of gw_fdb_entries, when the kernel was told last */
	uint32_t told; /* s */
	uint8_t kind; /* enum station_kind */
	uint8_t listed;
	struct stamp stamp;
};

void station_seen(const struct station_key *key, uint32_t port, enum station_kind kind);
void station_gone(const struct station_key *key);
void stations_sweep(void);
void stations_of_port(uint32_t ifindex);
void stations_forget(uint32_t bridge);
uint32_t stations_used(void);
/* Its place in gw_fdb_entries, or negative. */
int32_t station_place(const struct station *station);

/* ---- the kernel: sockets, messages, dumps ---------------------------------------------------------- */

struct nlattr;

/* Attributes of a message or of a nested one by type; those of other types are left out. */
void attributes(const void *start, uint32_t length, const struct nlattr **by_type, uint32_t count);
/* An attribute's number; `otherwise`: there is none, or it is of another size. */
uint32_t attribute_u32(const struct nlattr *attr, uint32_t otherwise);
const void *attribute_bytes(const struct nlattr *attr, uint32_t size); /* NULL: not that long */

void decode_message(const struct nlmsghdr *message);
void decode_link(const struct nlmsghdr *message);
void decode_switches(const struct nlmsghdr *message);
void decode_neighbour(const struct nlmsghdr *message);
void decode_route(const struct nlmsghdr *message);
void decode_object(const struct nlmsghdr *message);

void rules_begin(enum family family);
void rules_message(const struct nlmsghdr *message);
void rules_end(enum family family);

/* Another dump of these steps, soon. */
void dump_want(uint32_t steps);
int dump_start_if_due(uint64_t now); /* ms until one is, or -1 */
/* Reads what has come, at most a piece. False: nothing came. */
bool dump_read(void);
bool dump_running(void);
bool dump_wanted(void);
void dump_reset(void);
bool dump_of(enum step step); /* whether that step is being dumped, or waits in this dump */
/* Whether what is said counts, and notes that it was said. */
bool stamp_news(struct stamp *stamp, enum step step);
/* It is said to be gone. True: it may be removed; else it has become a tombstone. */
bool stamp_gone(struct stamp *stamp, enum step step);
/* At the end of a dump: whether to keep it. */
bool stamp_swept(struct stamp *stamp, enum step step);
/* The step's look, for those that count what it has seen. */
uint8_t dump_look(enum step step);
bool dump_decoding(void);

int sockets_open(void);
void sockets_close(void);
struct nlmsghdr *request_begin(uint16_t type, uint16_t flags);
void request_end(struct nlmsghdr *message);
void requests_flush(void);

/* believe.c: the kernel is told what the data path uses. */
void believe_hop(struct hop *hop); /* it became a gateway */
void believe_waiting(void); /* all events were read: now */
void believe_no_more(struct hop *hop);
void believe_lost(struct hop *hop); /* the kernel's neighbour has gone */
void believe_round(uint32_t now);
void believe_nothing(void); /* at the end: what was managed is not any more */

/* ---- the whole -------------------------------------------------------------------------------------- */

struct mirror {
	int events, dumps, requests, wake; /* descriptors */
	uint32_t ports; /* a bit for each port that is there */
	struct table links, hops, paths, objects, stations;
	struct table routes[FAMILIES];
	int32_t forwarding6; /* net.ipv6.conf.all.forwarding */
	int32_t rp_filter; /* net.ipv4.conf.all.rp_filter */
	bool ignores[FAMILIES]; /* conf.all.ignore_routes_with_linkdown */
	bool review; /* slots may have to change */
	bool overrun; /* events were lost, and older ones still wait to be read */
	bool failed; /* no memory for something: to be tried again */
	uint32_t punting[FAMILIES]; /* enum punting */
	uint64_t count; /* events */
	uint32_t resyncs;
	uint32_t last_ticket, acknowledged, settled; /* of gw_mirror_wait */
	pthread_cond_t settling;
};

extern struct mirror mirror;

uint64_t mirror_now(void); /* CLOCK_MONOTONIC, ms */
/* All that follows from what was decoded. */
void mirror_flush(void);
/* A dump has ended, or there is none to be. */
void mirror_settle(uint32_t ticket);

#endif
