/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tunnel.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "error.h"
#include "hash.h"
#include "lcore.h"
#include "nexthop.h"

struct gw_segment gw_segments[GW_SEGMENTS];
struct gw_tunnel *gw_tunnels;
struct rte_hash *gw_senders, *gw_arrivals, *gw_peers, *gw_bindings;
rte_be16_t gw_vxlan_ports[GW_VXLAN_PORTS];
uint32_t gw_segment_count;

static uint16_t *free_tunnels;
static uint32_t free_count, tunnels_max;

enum { ARRIVALS = 16 * GW_SEGMENTS };

// The slots in an order that gives the low ones first.
static int
create_slots(uint32_t tunnels)
{
	gw_tunnels =
		rte_zmalloc("gw_tunnels", (tunnels + 1) * sizeof(*gw_tunnels), RTE_CACHE_LINE_SIZE);
	free_tunnels = calloc(tunnels, sizeof(*free_tunnels));
	if (!gw_tunnels || !free_tunnels)
		return gw_fail(ENOMEM, "no memory for %u VXLAN tunnels", tunnels);
	tunnels_max = tunnels;
	free_count = 0;
	for (uint32_t slot = tunnels; slot > 0; slot--)
		free_tunnels[free_count++] = slot;
	return 0;
}

int
gw_tunnels_create(uint32_t tunnels, uint32_t bindings)
{
	int result;

	if (!tunnels)
		return 0;
	if (tunnels > GW_TUNNELS_MAX)
		return gw_fail(EINVAL, "%u VXLAN tunnels: at most %u", tunnels, GW_TUNNELS_MAX);
	result =
		gw_hash_create(&gw_senders, "VXLAN senders", tunnels, sizeof(struct gw_sender_key));
	result = result ?:
			  gw_hash_create(&gw_peers, "VXLAN peers", tunnels,
					 sizeof(struct gw_sender_key));
	result = result ?:
			  gw_hash_create(&gw_arrivals, "VXLAN arrivals", ARRIVALS,
					 sizeof(struct gw_arrival_key));
	result = result ?:
			  gw_hash_create(&gw_bindings, "ARP and ND bindings", bindings,
					 sizeof(struct gw_binding_key));
	result = result ?: create_slots(tunnels);
	if (result)
		gw_tunnels_destroy();
	return result;
}

void
gw_tunnels_destroy(void)
{
	struct rte_hash **hashes[] = {&gw_senders, &gw_arrivals, &gw_peers, &gw_bindings};

	for (uint32_t i = 0; i < RTE_DIM(hashes); i++) {
		rte_hash_free(*hashes[i]);
		*hashes[i] = NULL;
	}
	for (uint32_t i = 0; i < GW_SEGMENTS; i++)
		rte_free((void *)(uintptr_t)gw_segments[i].flood);
	memset(gw_segments, 0, sizeof(gw_segments));
	memset(gw_vxlan_ports, 0, sizeof(gw_vxlan_ports));
	gw_segment_count = 0;
	rte_free(gw_tunnels);
	gw_tunnels = NULL;
	free(free_tunnels);
	free_tunnels = NULL;
	free_count = tunnels_max = 0;
}

uint64_t
gw_tunnels_bytes(uint32_t tunnels, uint32_t bindings)
{
	if (!tunnels)
		return 0;
	return 2 * gw_hash_bytes(tunnels, sizeof(struct gw_sender_key)) +
	       gw_hash_bytes(ARRIVALS, sizeof(struct gw_arrival_key)) +
	       gw_hash_bytes(bindings, sizeof(struct gw_binding_key)) +
	       (tunnels + 1) * (uint64_t)sizeof(struct gw_tunnel);
}

int
gw_tunnel_new(void)
{
	if (!free_count)
		return gw_fail(ENOSPC, "more than %u VXLAN tunnels", tunnels_max);
	return free_tunnels[--free_count];
}

void
gw_tunnels_free(const uint16_t *slots, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		__atomic_store_n(&gw_tunnels[slots[i]].segment, 0, __ATOMIC_RELEASE);
	gw_grace_period();
	for (uint32_t i = 0; i < count; i++) {
		memset(&gw_tunnels[slots[i]], 0, sizeof(gw_tunnels[slots[i]]));
		free_tunnels[free_count++] = slots[i];
	}
}

static int
set(struct rte_hash *hash, const void *key, uintptr_t value, const char *what)
{
	int result = rte_hash_add_key_data(hash, key, (void *)value);

	return result ? gw_fail(-result, "no room for %s", what) : 0;
}

// How many segments a peer sends to; its fragments are put together as long as that is one.
static void
count_peer(const struct gw_sender_key *sender, int more)
{
	struct gw_sender_key key = {.family = sender->family};
	void *data = NULL;
	intptr_t count;

	memcpy(key.remote, sender->remote, sizeof(key.remote));
	rte_hash_lookup_data(gw_peers, &key, &data);
	count = (intptr_t)data + more;
	if (count > 0)
		rte_hash_add_key_data(gw_peers, &key, (void *)count);
	else
		rte_hash_del_key(gw_peers, &key);
}

int
gw_sender_set(const struct gw_sender_key *key, uint16_t tunnel)
{
	bool known = rte_hash_lookup(gw_senders, key) >= 0;
	int result = set(gw_senders, key, tunnel, "a VXLAN sender");

	if (!result && !known)
		count_peer(key, 1);
	gw_ways_changed();
	return result;
}

void
gw_sender_delete(const struct gw_sender_key *key)
{
	if (rte_hash_del_key(gw_senders, key) >= 0)
		count_peer(key, -1);
	gw_ways_changed();
}

int
gw_arrival_set(const struct gw_arrival_key *key, uint16_t segment)
{
	return set(gw_arrivals, key, segment, "an address of a VXLAN segment");
}

void
gw_arrival_delete(const struct gw_arrival_key *key)
{
	rte_hash_del_key(gw_arrivals, key);
}

int
gw_binding_set(const struct gw_binding_key *key, union gw_binding binding)
{
	return set(gw_bindings, key, binding.word, "a binding of a MAC to an IP address");
}

void
gw_binding_delete(const struct gw_binding_key *key)
{
	rte_hash_del_key(gw_bindings, key);
}

int
gw_flood_set(uint16_t segment, const uint16_t *tunnels, uint32_t count)
{
	const struct gw_flood *before = gw_segments[segment].flood;
	struct gw_flood *flood = NULL;

	if (count > GW_FLOOD_MAX)
		return gw_fail(ENOSPC, "more than %u VTEPs to flood to", GW_FLOOD_MAX);
	if (tunnels) {
		flood = rte_malloc("gw_flood", offsetof(struct gw_flood, tunnels[count]), 0);
		if (!flood)
			return gw_fail(ENOMEM, "no memory for a list of %u VTEPs", count);
		flood->count = count;
		memcpy(flood->tunnels, tunnels, count * sizeof(*tunnels));
	}
	__atomic_store_n(&gw_segments[segment].flood, flood, __ATOMIC_RELEASE);
	if (before) {
		gw_grace_period();
		rte_free((void *)(uintptr_t)before);
	}
	return 0;
}
