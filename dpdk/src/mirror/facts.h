/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all facts have in common: where they come from, and when they were said. */
#ifndef GW_MIRROR_FACTS_H
#define GW_MIRROR_FACTS_H

#include <stdbool.h>
#include <stdint.h>

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

#endif
