/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes, and how they get into the FIBs. */
#ifndef GW_MIRROR_ROUTES_H
#define GW_MIRROR_ROUTES_H

#include "hops.h"

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

#endif
