/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policy rules: with others than the kernel's own the kernel forwards, for which table holds then
 * depends on more than the destination. Each dump begins anew; an event asks for one.
 */
#include <stddef.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "parts.h"

enum { ORDINARY = 1 << RANK_LOCAL | 1 << RANK_MAIN };

static struct seen {
	bool other;
	uint32_t tables; /* a bit for each rank */
	int64_t priority[RANK_DEFAULT + 1];
} seen[FAMILIES];

// It says nothing beyond "look there, always".
static bool
is_plain(const struct fib_rule_hdr *rule, const struct nlattr **attr, uint32_t count)
{
	if (rule->action != FR_ACT_TO_TBL || rule->src_len || rule->dst_len || rule->tos ||
	    rule->flags & ~FIB_RULE_PERMANENT)
		return false;
	for (uint32_t type = 0; type < count; type++) {
		if (!attr[type] || type == FRA_TABLE || type == FRA_PRIORITY ||
		    type == FRA_PROTOCOL || type == FRA_PAD || type == FRA_L3MDEV)
			continue;
		if (type != FRA_SUPPRESS_PREFIXLEN || attribute_u32(attr[type], 0) != UINT32_MAX)
			return false;
	}
	return true;
}

static int
rank_of(uint32_t table)
{
	switch (table) {
	case RT_TABLE_LOCAL:
		return RANK_LOCAL;
	case RT_TABLE_MAIN:
		return RANK_MAIN;
	case RT_TABLE_DEFAULT:
		return RANK_DEFAULT;
	}
	return -1;
}

void
rules_begin(enum family family)
{
	seen[family] = (struct seen){};
}

void
rules_message(const struct nlmsghdr *message)
{
	// Kernels know more attributes than headers; whatever is none of the plain ones counts.
	const struct nlattr *attr[FRA_MAX + 16];
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(message);
	enum family family;
	uint32_t table;
	bool plain;
	int rank;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*rule) ||
	    (rule->family != AF_INET && rule->family != AF_INET6))
		return;
	family = rule->family == AF_INET ? FAMILY4 : FAMILY6;
	if (!dump_decoding()) {
		dump_want(WANT(family == FAMILY4 ? STEP_RULES4 : STEP_RULES6));
		return;
	}
	attributes(rule + 1, mnl_nlmsg_get_payload_len(message) - sizeof(*rule), attr,
		   RTE_DIM(attr));
	table = attribute_u32(attr[FRA_TABLE], rule->table);
	plain = is_plain(rule, attr, RTE_DIM(attr));
	// The kernel makes one with the first VRF, and keeps it. It is about devices in a VRF, which
	// are the kernel's anyway, see slots.c.
	if (plain && attr[FRA_L3MDEV] && table == RT_TABLE_UNSPEC)
		return;
	rank = rank_of(table);
	if (!plain || attr[FRA_L3MDEV] || rank < 0 || seen[family].tables >> rank & 1) {
		seen[family].other = true;
		return;
	}
	seen[family].tables |= 1 << rank;
	seen[family].priority[rank] = attribute_u32(attr[FRA_PRIORITY], 0);
}

void
rules_end(enum family family)
{
	const struct seen *all = &seen[family];
	bool ordered = (all->tables & ORDINARY) == ORDINARY &&
		       all->priority[RANK_LOCAL] < all->priority[RANK_MAIN] &&
		       (!(all->tables >> RANK_DEFAULT & 1) ||
			all->priority[RANK_MAIN] < all->priority[RANK_DEFAULT]);

	family_punting(family, PUNTING_RULES, all->other || !ordered);
}
