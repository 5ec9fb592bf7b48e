/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Longest prefix to next hop: rte_fib (DIR24-8) and rte_fib6 (trie), two bytes an entry. One
 * writer, the mirror, in place: entries change atomically, and what a deletion frees may be used
 * again only after gw_fib_settle().
 */
#ifndef GW_FIB_H
#define GW_FIB_H

#include <stdbool.h>

#include <rte_fib.h>
#include <rte_fib6.h>

extern struct rte_fib *gw_fib4;
extern struct rte_fib6 *gw_fib6;

/* -ENOMEM with a sentence that names what did not fit. tbl8: 0 for a guess from `routes`. */
int gw_fib4_create(uint32_t routes);
int gw_fib6_create(uint32_t routes, uint32_t tbl8);
void gw_fib_destroy(void);

/* Empty again, as created: while no lcore looks at it. Beside all routes this does away with what
 * rte_fib6 has lost count of: it may free fewer or more groups than it took, by the order of
 * additions and deletions. After a failure there is none, and every other call fails. */
int gw_fib4_renew(void);
int gw_fib6_renew(void);

/* Bytes of hugepages that the tables take. */
uint64_t gw_fib4_bytes(uint32_t routes);
uint64_t gw_fib6_bytes(uint32_t routes, uint32_t tbl8);

/* Adds or replaces. -ENOSPC: the table is full; the caller then has the kernel forward. */
int gw_fib4_add(uint32_t prefix, uint8_t depth, uint32_t nexthop); /* host byte order */
int gw_fib4_delete(uint32_t prefix, uint8_t depth);
int gw_fib6_add(const uint8_t prefix[16], uint8_t depth, uint32_t nexthop);
int gw_fib6_delete(const uint8_t prefix[16], uint8_t depth);

/*
 * The table is being made anew: set before a grace period, so that whoever asks it at other times
 * than for what is routed (that stops, because no device forwards then) can look here first.
 */
extern uint8_t gw_fib4_closed, gw_fib6_closed;

/* What the table answers, for tests and traces. */
uint32_t gw_fib4_find(uint32_t address);
uint32_t gw_fib6_find(const uint8_t address[16]);

/*
 * Which addresses may be our own, one bit for a hash of each: sources of forwarded frames hardly
 * ever are, and this asks the table only for those that share a bit. A deleted address keeps its
 * bit until the table is renewed.
 */
enum { GW_OWN_BITS = 12 };
extern uint64_t gw_fib4_own[(1 << GW_OWN_BITS) / 64];

static inline uint32_t
gw_fib4_own_bit(uint32_t address)
{
	return address * 0x9e3779b1u >> (32 - GW_OWN_BITS);
}

static inline bool
gw_fib4_may_be_own(uint32_t address)
{
	const uint32_t bit = gw_fib4_own_bit(address);

	return gw_fib4_own[bit / 64] >> (bit % 64) & 1;
}

/* Waits until no lcore looks at what was deleted before. */
void gw_fib_settle(void);

#endif
