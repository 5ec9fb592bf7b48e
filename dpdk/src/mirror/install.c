/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From routes into the FIBs: what changed is written once, however often it changed in a batch.
 * Additions come first, then deletions: what those free is used again after a grace period only.
 *
 * A family that cannot be forwarded by the FIB (full, or other rules than the kernel's own) has one
 * entry there, for everything: the kernel's. Never is a less specific route used because a more
 * specific one did not fit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "../fib.h"
#include "parts.h"

enum { LATER = 4096, SLACK = 64 };

static struct pending {
	struct prefix prefixes[LATER];
	uint32_t count;
	bool all;
	bool punting; /* the FIB has but one entry, or none */
	bool blocked; /* nothing is forwarded: it is being written */
	uint32_t failed_at; /* number of prefixes when one did not fit */
} pending[FAMILIES];

bool
family_blocked(enum family family)
{
	return pending[family].blocked;
}

void
family_punting(enum family family, enum punting reason, bool on)
{
	if (on)
		mirror.punting[family] |= reason;
	else
		mirror.punting[family] &= ~reason;
}

void
install_all_later(enum family family)
{
	pending[family].all = true;
}

/* ---- one entry ------------------------------------------------------------------------------------- */

static int
add(enum family family, const struct prefix *prefix, uint32_t nexthop)
{
	uint32_t address;

	if (family == FAMILY6)
		return gw_fib6_add(prefix->address, prefix->length, nexthop);
	memcpy(&address, prefix->address, sizeof(address));
	return gw_fib4_add(rte_be_to_cpu_32(address), prefix->length, nexthop);
}

static int
take_out(enum family family, const struct prefix *prefix)
{
	uint32_t address;

	if (family == FAMILY6)
		return gw_fib6_delete(prefix->address, prefix->length);
	memcpy(&address, prefix->address, sizeof(address));
	return gw_fib4_delete(rte_be_to_cpu_32(address), prefix->length);
}

// What cannot be taken out, for that may need a group too, must not stay either.
static void
delete_entry(enum family family, const struct prefix *prefix)
{
	int result = take_out(family, prefix);

	if (result && result != -ENOENT)
		family_punting(family, PUNTING_FULL, true);
}

static bool
write_entry(enum family family, const struct prefix *prefix)
{
	int answer = routes_answer(family, prefix);

	if (answer < 0 || !add(family, prefix, answer))
		return true;
	pending[family].failed_at = routes_count(family);
	family_punting(family, PUNTING_FULL, true);
	return false;
}

/* ---- all of them ------------------------------------------------------------------------------------ */

static void
block(enum family family, bool on)
{
	pending[family].blocked = on;
	__atomic_store_n(family == FAMILY4 ? &gw_fib4_closed : &gw_fib6_closed, on,
			 __ATOMIC_RELEASE);
	slots_review();
	gw_fib_settle();
}

// The table is empty then, or there is none.
static bool
renew(enum family family)
{
	bool made = !(family == FAMILY4 ? gw_fib4_renew() : gw_fib6_renew());

	family_punting(family, PUNTING_BROKEN, !made);
	return made;
}

static bool
fill(enum family family)
{
	const struct prefix *prefix;

	family_punting(family, PUNTING_FULL, false);
	if (!renew(family))
		return false;
	for (uint32_t i = 0; (prefix = routes_walk(family, &i));)
		if (!write_entry(family, prefix))
			return false;
	return true;
}

// From the one state to the other, with the kernel forwarding meanwhile. Also when something did not
// fit: perhaps it was the table that had lost count.
static void
change_over(enum family family)
{
	static const struct prefix all;
	struct pending *some = &pending[family];

	block(family, true);
	some->punting = mirror.punting[family] & ~(PUNTING_FULL | PUNTING_BROKEN) || !fill(family);
	if (some->punting && renew(family))
		add(family, &all, GW_NEXTHOP_POLICY);
	some->all = false;
	some->count = 0;
	block(family, mirror.punting[family] & PUNTING_BROKEN);
}

static void
write_all(enum family family)
{
	const struct prefix *prefix;

	pending[family].all = false;
	for (uint32_t i = 0; (prefix = routes_walk(family, &i));)
		if (!write_entry(family, prefix))
			return;
	for (uint32_t i = 0; (prefix = routes_walk(family, &i));)
		if (routes_answer(family, prefix) < 0)
			delete_entry(family, prefix);
	gw_fib_settle();
}

static void
write_some(enum family family)
{
	struct pending *some = &pending[family];
	bool deleted = false;

	for (uint32_t i = 0; i < some->count; i++)
		if (!write_entry(family, &some->prefixes[i]))
			return;
	for (uint32_t i = 0; i < some->count; i++) {
		if (routes_answer(family, &some->prefixes[i]) >= 0)
			continue;
		delete_entry(family, &some->prefixes[i]);
		deleted = true;
	}
	if (deleted)
		gw_fib_settle();
	some->count = 0;
}

static void
flush(enum family family)
{
	struct pending *some = &pending[family];

	if (!some->punting && !mirror.punting[family]) {
		if (some->count)
			write_some(family);
		if (some->all)
			write_all(family);
	}
	if (some->punting) {
		some->count = 0;
		some->all = false;
	}
	if (some->punting != !!mirror.punting[family])
		change_over(family);
}

void
install_later(enum family family, const struct prefix *prefix)
{
	struct pending *some = &pending[family];

	if (some->count == LATER)
		flush(family);
	if (some->punting)
		return;
	memcpy(&some->prefixes[some->count++], prefix,
	       offsetof(struct prefix, address) + (family == FAMILY4 ? 4 : 16));
}

void
install_flush(void)
{
	for (enum family family = 0; family < FAMILIES; family++)
		flush(family);
}

void
family_retry(enum family family)
{
	uint32_t failed_at = pending[family].failed_at;

	if (mirror.punting[family] & PUNTING_FULL &&
	    routes_count(family) < failed_at - failed_at / SLACK)
		family_punting(family, PUNTING_FULL, false);
	family_punting(family, PUNTING_BROKEN, false);
}
