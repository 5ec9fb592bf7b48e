/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session opened from outside: a static mapping, or what the filtering behaviour lets through. */
#ifndef GW_INBOUND_H
#define GW_INBOUND_H
#include "open.h"
#include "route.h"

/* May a remote endpoint without a session use this mapping (RFC 4787 section 5)? */
static __always_inline bool
filter_permits(const struct gw_settings *nat, __u32 slot, __u32 remote)
{
	if (nat->filtering == GW_FILTER_ENDPOINT_INDEPENDENT)
		return true;
	return nat->filtering == GW_FILTER_ADDRESS_DEPENDENT && permit_held(slot, remote);
}

/* What becomes of a packet that opens nothing: a socket of the host may want it. */
static __always_inline enum gw_counter
host_or(struct xdp_md *ctx, const struct packet *pkt, enum gw_counter verdict)
{
	if (pkt->key.protocol == IPPROTO_ICMP)
		return GW_PUNT_HOST;
	return host_wants(ctx, pkt->key.protocol, &pkt->key.tuple) ? GW_PUNT_HOST : verdict;
}

static __always_inline bool
inbound_opens(const struct packet *pkt)
{
	if (pkt->key.protocol == IPPROTO_TCP)
		return (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	return pkt->key.protocol == IPPROTO_UDP || pkt->icmp_type == ICMP_ECHO;
}

/* Fills in the inside endpoint from the mapping that holds the port, and holds the mapping. */
static __always_inline enum gw_counter
inbound_mapping(struct xdp_md *ctx, const struct packet *pkt, struct opening *open)
{
	struct gw_session *session = &open->session;
	bool icmp = pkt->key.protocol == IPPROTO_ICMP;
	__u16 port = bpf_ntohs(pkt->key.tuple.dport);
	__u32 index = pool_index(open->nat, pkt->key.tuple.daddr);
	__u32 target = pkt->key.tuple.daddr, slot;
	struct gw_mapping *mapping;

	if (!bpf_map_lookup_elem(&gw_addresses, &target))
		return GW_PUNT_NOT_NAT;
	/* An echo request is a question to the gateway, not an answer to a mapping. */
	if (index >= GW_POOL_MAX || icmp)
		return GW_PUNT_HOST;
	slot = slot_of(index, pkt->key.protocol, port);
	mapping = bpf_map_lookup_elem(&gw_mappings, &slot);
	/* A mapping may be older than the range of ports that is configured now. */
	if (!mapping || !mapping->users)
		return port < open->nat->port_low || port > open->nat->port_high ?
			       GW_PUNT_HOST :
			       host_or(ctx, pkt, GW_DROP_NO_MAPPING);
	if (!filter_permits(open->nat, slot, pkt->key.tuple.saddr))
		return host_or(ctx, pkt, GW_DROP_FILTERED);
	if (!inbound_opens(pkt))
		return host_or(ctx, pkt, GW_DROP_NO_SESSION);
	if (!raise_if_used(&mapping->users, MAPPING_CLAIMED))
		return GW_DROP_RACE;
	session->slot = slot;
	session->leaves.daddr = mapping->inside_address;
	session->leaves.dport = mapping->inside_port;
	return PARSED;
}

static __always_inline enum gw_counter
inbound_destination(struct xdp_md *ctx, const struct packet *pkt, struct opening *open)
{
	struct gw_session *session = &open->session;
	struct gw_endpoint outside = {pkt->key.tuple.daddr, pkt->key.tuple.dport, pkt->key.protocol,
				      0};
	int found;
	struct gw_endpoint to = {};

	found = static_find(&outside, false, &pkt->key.tuple, &to);
	if (found == STATIC_HOST)
		return GW_PUNT_HOST;
	if (found == STATIC_NONE)
		return inbound_mapping(ctx, pkt, open);
	/* In the middle of a connection that the kernel opened through its rule for the forward. */
	if (!inbound_opens(pkt))
		return GW_PUNT_NO_SESSION;
	session->flags |= GW_SESSION_STATIC;
	session->leaves.daddr = to.address;
	session->leaves.dport = to.port;
	return PARSED;
}

/* Finds out what the session is to be and takes what it needs; on a verdict nothing is taken. */
static __noinline enum gw_counter
inbound_prepare(struct xdp_md *ctx, const struct packet *pkt, struct opening *open)
{
	enum gw_counter verdict;

	if (!unicast(pkt->key.tuple.saddr))
		return GW_PUNT_SOURCE;
	open->session.flags = GW_SESSION_INBOUND;
	verdict = inbound_destination(ctx, pkt, open);
	if (verdict == PARSED && source_is_ours(ctx, pkt))
		verdict = GW_DROP_SOURCE;
	if (verdict == PARSED)
		verdict = host_acquire(open->session.leaves.daddr, share_of_others(open->nat));
	if (verdict != PARSED && open->session.slot != GW_NO_SLOT)
		mapping_release(open->session.slot, open->session.protocol);
	return verdict;
}
#endif
