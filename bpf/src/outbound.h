/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session opened from inside, to the Internet or back to another inside host (hairpin). */
#ifndef GW_OUTBOUND_H
#define GW_OUTBOUND_H
#include "open.h"
#include "route.h"

/* May this packet be the first of a session? */
static __always_inline enum gw_counter
outbound_opens(const struct packet *pkt)
{
	if (pkt->key.protocol == IPPROTO_TCP &&
	    (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return GW_PUNT_NO_SESSION;
	if (pkt->key.protocol == IPPROTO_ICMP && pkt->icmp_type != ICMP_ECHO)
		return GW_PUNT_ICMP;
	return PARSED;
}

/* Rewrites `leaves` to come from the outside endpoint of the sender's mapping. */
static __always_inline enum gw_counter
translate_source(struct xdp_md *ctx, struct opening *open)
{
	struct gw_session *session = &open->session;
	struct mapping_search search = {
		.ctx = ctx,
		.nat = open->nat,
		.inside = {session->arrives.saddr, session->arrives.sport, session->protocol, 0},
		.answer = {session->leaves.daddr, 0, session->leaves.dport, 0},
		.now = seconds(open->now),
	};
	enum gw_counter verdict;
	struct gw_endpoint to = {};

	/* Not an identity mapping: between inside hosts the answer would go past us. */
	if (static_find(&search.inside, true, &session->arrives, &to) == STATIC_FOUND &&
	    !(session->flags & GW_SESSION_HAIRPIN && to.address == search.inside.address)) {
		session->flags |= GW_SESSION_STATIC;
		session->leaves.saddr = to.address;
		session->leaves.sport = to.port;
		return PARSED;
	}
	session->slot = mapping_acquire(&search.inside, open->nat);
	if (session->slot == GW_NO_SLOT) {
		verdict = mapping_create(&search, &session->slot);
		if (verdict != PARSED)
			return verdict;
		count(open->row, GW_NAT_NEW_MAPPING);
	}
	session->leaves.saddr = slot_address(open->nat, session->slot);
	session->leaves.sport = slot_port(session->slot);
	return PARSED;
}

/* To an outside address of ours: find the inside host behind it (RFC 4787 REQ-9). */
static __always_inline enum gw_counter
hairpin_destination(struct opening *open)
{
	struct gw_session *session = &open->session;
	struct gw_endpoint outside = {session->arrives.daddr, session->arrives.dport,
				      session->protocol, 0};
	struct gw_mapping *mapping;
	__u32 index, slot, host;
	enum gw_counter verdict;
	int found;
	struct gw_endpoint to = {};

	session->flags |= GW_SESSION_HAIRPIN;
	found = static_find(&outside, false, &session->arrives, &to);
	if (found == STATIC_HOST)
		return GW_PUNT_HOST;
	if (found == STATIC_FOUND) {
		session->leaves.daddr = to.address;
		session->leaves.dport = to.port;
		return PARSED;
	}
	index = pool_index(open->nat, outside.address);
	/* An echo request to the outside address is for the gateway: its identifier is no port. */
	if (index >= GW_POOL_MAX || session->protocol == IPPROTO_ICMP)
		return GW_PUNT_HOST;
	slot = slot_of(index, session->protocol, bpf_ntohs(outside.port));
	mapping = bpf_map_lookup_elem(&gw_mappings, &slot);
	if (!mapping || !raise_if_used(&mapping->users, MAPPING_CLAIMED))
		return GW_PUNT_HOST;
	host = mapping->inside_address;
	/* The call keeps the callee's port, which is on the callee's account: that has to last too. */
	verdict = host_acquire(host, share_of_others(open->nat));
	if (verdict != PARSED) {
		mapping_release(slot, session->protocol);
		return verdict;
	}
	session->peer = slot;
	session->leaves.daddr = host;
	session->leaves.dport = mapping->inside_port;
	return PARSED;
}

/* Is NAT between this packet and where its route leads? */
static __always_inline enum gw_counter
outbound_route(struct xdp_md *ctx, const struct packet *pkt)
{
	struct gw_device *egress;
	__u64 way;

	if (!unicast(pkt->key.tuple.daddr))
		return GW_PUNT_HOST;
	if (pkt->ttl <= 1)
		return GW_PUNT_TTL;
	way = route_ask(ctx, pkt, pkt->key.tuple.daddr);
	if (!way_known(way))
		return route_failure(way & WAY_RESULT);
	egress = device(way_ifindex(way));
	if (!egress || !(egress->flags & GW_DEV_OUTSIDE))
		return GW_PUNT_NOT_NAT;
	return PARSED;
}

/* Finds out what the session is to be and takes what it needs; on a verdict nothing is taken. */
static __noinline enum gw_counter
outbound_prepare(struct xdp_md *ctx, const struct packet *pkt, struct opening *open)
{
	__u32 host = pkt->key.tuple.saddr, target = pkt->key.tuple.daddr;
	enum gw_counter verdict = outbound_opens(pkt);

	if (verdict != PARSED)
		return verdict;
	if (bpf_map_lookup_elem(&gw_addresses, &target))
		verdict = hairpin_destination(open);
	else
		verdict = outbound_route(ctx, pkt);
	if (verdict != PARSED)
		return verdict;
	if (!source_belongs(ctx, pkt))
		verdict = GW_PUNT_SOURCE;
	else if (pkt->ttl <= 1)
		verdict = GW_PUNT_TTL; /* a call: before it takes a port, which would rest */
	else if (!open->nat->pool_size)
		verdict = GW_PUNT_NO_POOL;
	else if (!record_left(open->nat))
		verdict = GW_DROP_TABLE_FULL;
	else
		verdict = host_acquire(host, open->nat->host_sessions);
	if (verdict == PARSED) {
		verdict = translate_source(ctx, open);
		if (verdict != PARSED)
			host_release(host);
	}
	if (verdict != PARSED)
		peer_release(&open->session);
	return verdict;
}
#endif
