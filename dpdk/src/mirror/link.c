/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links, and the switches of each: facts, of all devices, for a bridge's ports may come any time. */
#include <string.h>

#include "parts.h"

enum {
	/* What else is known of a link than what its own messages say. */
	OF_SWITCHES = LINK_FORWARD4 | LINK_FORWARD6 | LINK_IGNORES4 | LINK_IGNORES6,
	ALL = -1,
};

struct link *
link_find(uint32_t ifindex)
{
	return ifindex ? table_find(&mirror.links, &ifindex) : NULL;
}

struct link *
link_get(uint32_t ifindex)
{
	struct link *link = table_find(&mirror.links, &ifindex);

	if (!link)
		link = table_add(&mirror.links, &ifindex, NULL);
	if (!link)
		mirror.failed = true;
	return link;
}

// IPv4 routes go without a word when a link goes down, and come to life again likewise.
static void
routes_may_differ(uint32_t before, uint32_t after)
{
	if ((before ^ after) & (LINK_KNOWN | LINK_UP | LINK_CARRIER))
		dump_want_twice(WANT_ROUTES | WANT(STEP_OBJECTS));
}

void
link_seen(const struct link_news *news)
{
	struct link *link = link_get(news->ifindex);
	uint32_t before;

	if (!link || !stamp_news(&link->stamp, STEP_LINKS))
		return;
	before = link->flags;
	link->flags = (before & OF_SWITCHES) | news->flags | LINK_KNOWN;
	link->mtu = news->mtu;
	if (news->mtu6)
		link->mtu6 = news->mtu6;
	link->master = news->master;
	link->lower = news->lower;
	link->promiscuity = news->promiscuity;
	link->vni = news->vni;
	link->vxlan_port = news->vxlan_port;
	link->vxlan_family = news->vxlan_family;
	if (news->ageing)
		link->ageing = news->ageing;
	memcpy(link->mac, news->mac, sizeof(link->mac));
	mirror.review = true;
	if (before & LINK_KNOWN || !dump_decoding())
		routes_may_differ(before, link->flags);
	// A macvlan makes the device below it promiscuous, of which nobody is told.
	if (!dump_decoding() && slot_of(link->lower))
		dump_want(WANT(STEP_LINKS));
}

static void
forget(struct link *link)
{
	uint32_t before = link->flags;

	link->flags &= OF_SWITCHES;
	link->master = 0;
	mirror.review = true;
	routes_may_differ(before, link->flags);
	if (link->slot)
		dump_want(WANT_NEIGHBOURS | WANT(STEP_STATIONS));
}

void
link_gone(uint32_t ifindex)
{
	struct link *link = link_find(ifindex);
	bool removed;

	if (!link && dump_of(STEP_LINKS))
		link = link_get(ifindex);
	if (!link)
		return;
	forget(link);
	removed = stamp_gone(&link->stamp, STEP_LINKS);
	// At once, for the next device may have its ifindex; this removes the link as well.
	if (link->slot)
		slots_review();
	else if (removed)
		table_remove(&mirror.links, link);
}

void
links_sweep(void)
{
	struct link *link;

	for (uint32_t i = 0; (link = table_walk(&mirror.links, &i));) {
		if (stamp_swept(&link->stamp, STEP_LINKS))
			continue;
		if (link->flags & LINK_KNOWN)
			forget(link);
		if (!link->slot)
			table_remove(&mirror.links, link);
	}
}

static void
set(struct link *link, const int32_t *value, uint32_t flag)
{
	if (value && *value)
		link->flags |= flag;
	else if (value)
		link->flags &= ~flag;
}

static void
switches_of_all(enum family family, const int32_t *forwarding, const int32_t *rp_filter,
		const int32_t *ignores)
{
	if (family == FAMILY6 && forwarding)
		mirror.forwarding6 = *forwarding;
	if (family == FAMILY4 && rp_filter)
		mirror.rp_filter = *rp_filter;
	if (ignores && mirror.ignores[family] != !!*ignores) {
		mirror.ignores[family] = *ignores;
		dump_want(WANT_ROUTES);
	}
	mirror.review = true;
}

void
switches_seen(enum family family, int32_t ifindex, const int32_t *forwarding,
	      const int32_t *rp_filter, const int32_t *ignores, const int32_t *force)
{
	struct link *link;
	uint32_t before;

	if (ifindex == ALL)
		switches_of_all(family, forwarding, rp_filter, ignores);
	if (ifindex <= 0)
		return;
	// A new device's switches are told of before the device itself.
	link = link_get(ifindex);
	if (!link)
		return;
	before = link->flags;
	set(link, ignores, family == FAMILY4 ? LINK_IGNORES4 : LINK_IGNORES6);
	if ((before ^ link->flags) & (LINK_IGNORES4 | LINK_IGNORES6) && before & LINK_KNOWN)
		dump_want(WANT_ROUTES);
	if (family == FAMILY4) {
		set(link, forwarding, LINK_FORWARD4);
		link->rp_filter = rp_filter ? *rp_filter : link->rp_filter;
	} else {
		set(link, force, LINK_FORWARD6);
	}
	mirror.review = true;
}
