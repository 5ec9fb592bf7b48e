/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dumps, step by step, each read piece by piece with events in between; what none of a step's looks
 * has seen goes at its end. The kernel goes through most tables by counting, so that an entry which
 * is deleted before the place where it is hides another: a look that met deletions is followed by
 * another one, a few times.
 */
#include <errno.h>
#include <string.h>

#include "parts.h"

enum {
	LOOKS = 3,
	LOOK_WRAP = 250, /* a look's number is never 0, and no two of a dump wrap between them */
	DEBOUNCE = 20, /* ms without another reason for a dump */
	PATIENCE = 200, /* ms, with ever more reasons */
	REST = 4, /* times the last dump's duration until the next one */
	REST_MAX = 5000, /* ms */
	RETRY = 1000, /* ms after a failure */
	AGAIN = 1000, /* ms */
	EXPIRED = 50, /* ms after a route should have */
	BRIDGES = GW_INTERFACES,
};

static struct dump {
	uint32_t wanted; /* steps */
	uint32_t running; /* steps that are to come, and the current one */
	enum step step;
	uint32_t looks; /* at this step in this dump */
	uint32_t bridges[BRIDGES], bridge_count, bridge; /* whose FDB is asked for */
	uint32_t covers; /* ticket that the dump's end settles */
	uint64_t first, last; /* ms: when it was wanted */
	uint64_t started, rest_until;
	uint32_t again; /* steps whose dump may have been too early */
	uint64_t again_at; /* ms */
	uint64_t expiry; /* ms: the next one of a route; 0: none expires */
	bool deleted, interrupted, failed, decoding;
	uint8_t look[STEPS];
} dump;

bool
dump_running(void)
{
	return dump.running;
}

bool
dump_of(enum step step)
{
	return dump.running && dump.step == step;
}

bool
dump_decoding(void)
{
	return dump.decoding;
}

uint8_t
dump_look(enum step step)
{
	return dump.look[step];
}

void
dump_want(uint32_t steps)
{
	// Those that this dump has still to begin do.
	uint32_t to_come = dump.running & ~(dump.running ? WANT(dump.step) : 0);

	steps &= ~to_come;
	if (!steps)
		return;
	dump.last = mirror_now();
	if (!dump.wanted)
		dump.first = dump.last;
	dump.wanted |= steps;
}

void
dump_want_twice(uint32_t steps)
{
	dump_want(steps);
	dump.again |= steps;
	dump.again_at = mirror_now() + AGAIN;
}

void
dump_at_expiry(uint32_t milliseconds)
{
	// It is told in whole ticks, and not at all of less than one.
	uint64_t at = mirror_now() + milliseconds + EXPIRED;

	if (!dump.expiry || at < dump.expiry)
		dump.expiry = at;
}

bool
stamp_news(struct stamp *stamp, enum step step)
{
	if (dump.decoding) {
		if (stamp->flags & STAMP_EVENT)
			return false;
		stamp->look = dump.look[step];
		stamp->flags = 0;
	} else {
		stamp->flags = dump_of(step) ? STAMP_EVENT : 0;
	}
	return true;
}

bool
stamp_gone(struct stamp *stamp, enum step step)
{
	if (!dump_of(step))
		return true;
	stamp->flags = STAMP_EVENT | STAMP_GONE;
	dump.deleted = true;
	return false;
}

bool
stamp_swept(struct stamp *stamp, enum step step)
{
	uint8_t ago = dump.look[step] - stamp->look;
	bool keep = !(stamp->flags & STAMP_GONE) &&
		    (stamp->flags & STAMP_EVENT || (stamp->look && ago < dump.looks));

	stamp->flags = 0;
	return keep;
}

static void
count_bridges(void)
{
	dump.bridge_count = dump.bridge = 0;
	for (uint32_t slot = 1; slot < GW_INTERFACES; slot++)
		if (gw_interfaces[slot].flags & GW_IF_BRIDGE)
			dump.bridges[dump.bridge_count++] = gw_interfaces[slot].ifindex;
}

static void
ask(void)
{
	dump_ask(dump.step, dump.bridges[dump.bridge]);
}

/* ---- steps -------------------------------------------------------------------------------------------- */

static void
sweep(void)
{
	switch (dump.step) {
	case STEP_LINKS:
		links_sweep();
		break;
	case STEP_RULES4:
	case STEP_RULES6:
		rules_end(dump.step == STEP_RULES4 ? FAMILY4 : FAMILY6);
		break;
	case STEP_OBJECTS:
		objects_sweep();
		fdb_nexthops_sweep();
		break;
	case STEP_NEIGHBOURS4:
	case STEP_NEIGHBOURS6:
		neighbours_sweep(dump.step == STEP_NEIGHBOURS4 ? FAMILY4 : FAMILY6);
		bindings_sweep(dump.step == STEP_NEIGHBOURS4 ? FAMILY4 : FAMILY6);
		break;
	case STEP_STATIONS:
		stations_sweep();
		entries_sweep();
		segments_known();
		break;
	case STEP_ROUTES4:
	case STEP_ROUTES6:
		routes_sweep(dump.step == STEP_ROUTES4 ? FAMILY4 : FAMILY6);
		break;
	default:
		break;
	}
	// Slots before neighbours and routes that need them.
	mirror_flush();
}

// False: there is nothing to look at.
static bool
look(void)
{
	dump.look[dump.step]++;
	dump.looks++;
	dump.deleted = dump.interrupted = false;
	if (dump.step == STEP_STATIONS) {
		count_bridges();
		segments_asked();
	}
	if (dump.step == STEP_RULES4 || dump.step == STEP_RULES6)
		rules_begin(dump.step == STEP_RULES4 ? FAMILY4 : FAMILY6);
	if (dump.step == STEP_STATIONS && !dump.bridge_count)
		return false;
	ask();
	return true;
}

static void
finish(void)
{
	uint64_t now = mirror_now(), took = now - dump.started;

	dump.rest_until = now + RTE_MIN(took * REST, (uint64_t)REST_MAX);
	if (dump.failed || mirror.failed) {
		dump.rest_until = now + RETRY;
		dump_want(WANT_ALL);
	}
	mirror.failed = false;
	mirror_settle(dump.covers);
}

// Begins the next step that is wanted, past those that need nothing.
static void
next_step(void)
{
	while (dump.running) {
		dump.step = __builtin_ctz(dump.running);
		dump.looks = 0;
		if (dump.look[dump.step] >= LOOK_WRAP)
			dump.look[dump.step] = 0;
		if (look())
			return;
		sweep();
		dump.running &= ~WANT(dump.step);
	}
	finish();
}

static void
end_of_step(void)
{
	if (dump.failed) {
		dump.running = 0;
		finish();
		return;
	}
	if (dump.step == STEP_STATIONS && ++dump.bridge < dump.bridge_count) {
		ask();
		return;
	}
	if ((dump.deleted || dump.interrupted) && dump.looks < LOOKS && look())
		return;
	sweep();
	dump.running &= ~WANT(dump.step);
	next_step();
}

static uint64_t
due(void)
{
	uint64_t at = RTE_MIN(dump.last + DEBOUNCE, dump.first + PATIENCE);

	return RTE_MAX(at, dump.rest_until);
}

int
dump_start_if_due(uint64_t now)
{
	bool waited_for = mirror.settled != mirror.last_ticket;

	if (dump.running || mirror.overrun)
		return -1;
	if (dump.again && (waited_for || now >= dump.again_at)) {
		dump_want(dump.again);
		dump.again = 0;
	}
	if (dump.expiry && now > dump.expiry) {
		dump.expiry = 0; // the dump tells the next one
		dump_want(WANT(STEP_ROUTES6));
	}
	if (!dump.wanted)
		return dump.again ? (int)(dump.again_at - now) : -1;
	// Whoever waits for it does not wait for more reasons.
	if (!waited_for && now < due())
		return due() - now;
	dump.running = dump.wanted;
	dump.wanted = 0;
	dump.failed = false;
	dump.covers = mirror.acknowledged;
	dump.started = now;
	next_step();
	return -1;
}

bool
dump_wanted(void)
{
	return dump.wanted || dump.again;
}

void
dump_reset(void)
{
	memset(&dump, 0, sizeof(dump));
	dump_ask_nothing();
}

/* ---- reading -------------------------------------------------------------------------------------------- */

/* A device that has gone has nothing, and a kernel without something has none of it. */
static bool
is_no_answer(int error)
{
	return error == -ENODEV || error == -EOPNOTSUPP || error == -ENOENT;
}

bool
dump_read(void)
{
	enum piece what;
	int error;

	dump.decoding = true;
	what = dump_decode(&dump.interrupted, &error);
	dump.decoding = false;
	if (what == PIECE_NONE)
		return false;
	dump.failed |= error && !is_no_answer(error);
	if (what == PIECE_LAST)
		end_of_step();
	return true;
}
