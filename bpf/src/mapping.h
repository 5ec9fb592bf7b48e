/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Endpoint-independent mappings (RFC 4787 REQ-1): an inside endpoint keeps one outside port for
 * as long as any of its sessions lives. A mapping is a slot of an array that is indexed by the
 * outside port, so that allocating one is a compare-and-swap and no search.
 */
#ifndef GW_MAPPING_H
#define GW_MAPPING_H
#include <bpf/bpf_endian.h>
#include "counters.h"
#include "index.h"
#include "log.h"
#include "packet.h"
#include "slots.h"
#include "users.h"

enum {
	MAPPING_CLAIMED = 0x80000000, /* `users` while the fields are being written */
	MAPPING_TRIES = 512, /* of either parity: bounds the cost when nearly all ports are taken */
};

/* Paired pooling (RFC 4787 REQ-2): the inside address alone decides on the outside address, and
 * when the pool changes a host keeps what it has for as long as it holds sessions. */
static __always_inline __u32
pool_index_of(const struct gw_settings *nat, struct gw_host *host, __u32 inside_address)
{
	/* In host order, for neighbours differ in the last byte and a product mixes upwards only. */
	__u32 spread = bpf_ntohl(inside_address) * 0x9e3779b1;
	__u32 index = host->pool - 1;

	if (index >= nat->pool_size) {
		index = nat->pool_size ? (spread >> 16) % nat->pool_size : 0;
		host->pool = index + 1;
	}
	return index;
}

/* Would a socket of this host take the packet? The host shares the address with NAT. */
static __always_inline bool
host_wants(struct xdp_md *ctx, __u8 protocol, const struct gw_tuple *tuple)
{
	struct bpf_sock_tuple find = {
		.ipv4 = {tuple->saddr, tuple->daddr, tuple->sport, tuple->dport},
	};
	struct bpf_sock *sock;

	if (protocol == IPPROTO_TCP)
		sock = bpf_skc_lookup_tcp(ctx, &find, sizeof(find.ipv4), BPF_F_CURRENT_NETNS, 0);
	else if (protocol == IPPROTO_UDP)
		sock = bpf_sk_lookup_udp(ctx, &find, sizeof(find.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!sock)
		return false;
	bpf_sk_release(sock);
	return true;
}

/* The port of a mapping counts against its inside host, whose entry the session holds. */
static __always_inline void
host_port_release(__u32 inside_address)
{
	struct gw_host *host = bpf_map_lookup_elem(&gw_hosts, &inside_address);

	if (host)
		lower(&host->ports);
}

/* Gives a user back; the last one frees the port, which then rests (RFC 6888 REQ-8). `outside` is
 * the address that the mapping was opened with: the pool may have another one there by now. */
static __always_inline void
mapping_leave(__u32 slot, __u8 protocol, __u32 outside)
{
	struct gw_mapping *mapping = bpf_map_lookup_elem(&gw_mappings, &slot);
	struct gw_endpoint inside = {.protocol = protocol};
	struct gw_settings *nat = settings();
	struct place place;

	if (!mapping || !nat)
		return;
	inside.address = mapping->inside_address;
	inside.port = mapping->inside_port;
	/* Before the count: from zero on the slot may be somebody else's. While there are users the
	 * stamp means nothing. */
	mapping->released = seconds(bpf_ktime_get_coarse_ns());
	if (!lower(&mapping->users))
		return;
	endpoint_place(&inside, nat, &place);
	endpoint_delete(&place, slot);
	host_port_release(inside.address);
	if (nat->log & GW_LOG_MAPPINGS)
		log_mapping(&inside, outside, slot, GW_LOG_MAPPING_CLOSED);
}

/* The same for one who has held it for a moment only. */
static __always_inline void
mapping_release(__u32 slot, __u8 protocol)
{
	struct gw_settings *nat = settings();

	if (nat)
		mapping_leave(slot, protocol, slot_address(nat, slot));
}

/* The mapping's slot with one more user, or GW_NO_SLOT. */
static __always_inline __u32
mapping_acquire(const struct gw_endpoint *inside, const struct gw_settings *nat)
{
	struct gw_mapping *mapping;
	struct place place;
	__u32 slot;

	endpoint_place(inside, nat, &place);
	slot = index_find(&gw_endpoints, &place);
	if (slot == REF_NONE)
		return GW_NO_SLOT;
	mapping = bpf_map_lookup_elem(&gw_mappings, &slot);
	if (!mapping || !raise_if_used(&mapping->users, MAPPING_CLAIMED))
		return GW_NO_SLOT;
	/* The slot may have changed hands between the lookup and the count. */
	if (mapping->inside_address == inside->address && mapping->inside_port == inside->port)
		return slot;
	mapping_release(slot, inside->protocol);
	return GW_NO_SLOT;
}

struct mapping_search {
	struct xdp_md *ctx;
	const struct gw_settings *nat;
	struct gw_endpoint inside;
	struct gw_tuple answer; /* the first answer as it would arrive from outside */
	__u32 pool_index;
	__u32 first; /* port that is looked at, in steps of `step`, from the random `start` on */
	__u32 step;
	__u32 count; /* of such ports */
	__u32 start;
	__u32 now; /* s */
	__u32 slot; /* what was found, or GW_NO_SLOT */
};

static __always_inline bool
port_is_free(struct mapping_search *search, const struct gw_mapping *mapping)
{
	struct gw_static_key outside = {
		.length = GW_STATIC_PORT,
		.address = search->answer.daddr,
		.protocol = search->inside.protocol,
		.port = search->answer.dport,
	};

	if (mapping->users)
		return false;
	if (mapping->released && search->now - mapping->released < seconds(search->nat->port_rest))
		return false;
	if (bpf_map_lookup_elem(&gw_static_in, &outside))
		return false;
	return !host_wants(search->ctx, search->inside.protocol, &search->answer);
}

/* One step of the search, for bpf_loop: 1 ends it. */
static long
try_port(__u32 i, struct mapping_search *search)
{
	__u16 port = search->first + (search->start + i) % search->count * search->step;
	__u32 slot = slot_of(search->pool_index, search->inside.protocol, port);
	struct gw_mapping *mapping = bpf_map_lookup_elem(&gw_mappings, &slot);

	search->answer.dport = bpf_htons(port);
	if (!mapping || !port_is_free(search, mapping))
		return 0;
	if (__sync_val_compare_and_swap(&mapping->users, 0, MAPPING_CLAIMED) != 0)
		return 0;
	mapping->inside_address = search->inside.address;
	mapping->inside_port = search->inside.port;
	search->slot = slot;
	return 1;
}

/* A random start, then the neighbours in turn (RFC 6056 3.3.1), of the same parity first. */
static __always_inline __u32
port_search(struct mapping_search *search)
{
	__u32 low = search->nat->port_low, span = search->nat->port_high - low + 1;
	__u32 other = (low ^ bpf_ntohs(search->inside.port)) & 1;

	search->slot = GW_NO_SLOT;
	search->start = bpf_get_prandom_u32() >> 1;
	search->first = low + other;
	search->step = 2;
	search->count = (span + 1 - other) / 2;
	if (search->count)
		bpf_loop(MAPPING_TRIES, try_port, search, 0);
	if (search->slot != GW_NO_SLOT)
		return search->slot;
	search->first = low;
	search->step = 1;
	search->count = span;
	bpf_loop(MAPPING_TRIES, try_port, search, 0);
	return search->slot;
}

/* Lets a claimed slot be found by its inside endpoint, with one user; or frees it again. */
static __always_inline enum inserted
mapping_publish(struct gw_mapping *mapping, __u32 slot, const struct gw_endpoint *inside,
		struct gw_host *host, const struct gw_settings *nat)
{
	struct place place;
	enum inserted result;

	endpoint_place(inside, nat, &place);
	result = endpoint_insert(&place, slot);
	if (result == INSERTED)
		__sync_fetch_and_add(&host->ports, 1);
	__sync_val_compare_and_swap(&mapping->users, MAPPING_CLAIMED, result == INSERTED);
	return result;
}

/*
 * A new mapping with one user. Sets *slot and returns PARSED, or says why there is none.
 * `search` comes with ctx, nat, inside and the remote half of `answer` filled in.
 */
static __always_inline enum gw_counter
mapping_create(struct mapping_search *search, __u32 *slot)
{
	struct gw_host *host = bpf_map_lookup_elem(&gw_hosts, &search->inside.address);
	struct gw_mapping *mapping;
	enum inserted result;

	if (!host || host->ports >= search->nat->host_ports)
		return GW_DROP_HOST_LIMIT;
	search->pool_index = pool_index_of(search->nat, host, search->inside.address);
	search->answer.daddr = search->nat->pool[search->pool_index & (GW_POOL_MAX - 1)];
	*slot = port_search(search);
	if (*slot == GW_NO_SLOT)
		return GW_DROP_NO_PORT;
	mapping = bpf_map_lookup_elem(&gw_mappings, slot);
	if (!mapping)
		return GW_DROP_RACE;
	result = mapping_publish(mapping, *slot, &search->inside, host, search->nat);
	if (result == INSERTED && search->nat->log & GW_LOG_MAPPINGS)
		log_mapping(&search->inside, search->answer.daddr, *slot, GW_LOG_MAPPING_OPENED);
	if (result == INSERTED)
		return PARSED;
	if (result == INSERT_FULL)
		return GW_DROP_TABLE_FULL;
	/* Another core gave this endpoint a mapping just now: that one counts. */
	*slot = mapping_acquire(&search->inside, search->nat);
	return *slot == GW_NO_SLOT ? GW_DROP_RACE : PARSED;
}
#endif
