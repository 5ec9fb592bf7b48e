/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rare when a frame comes out of VXLAN. */
#include "vxlan_decap.h"

#include "vxlan_way.h"

struct gw_decap_memo gw_decap_memos[GW_WORKER_LCORES][GW_DECAP_MEMO];

uint16_t
gw_decap_look_up(struct gw_decap_memo *memo, const struct gw_arrival *arrival,
		 const struct rte_hash *table)
{
	// Before the table is read: what changes meanwhile has a later version.
	const uint32_t version = __atomic_load_n(&gw_ways_version, __ATOMIC_ACQUIRE);
	void *found = NULL;

	if (rte_hash_lookup_data(table, &arrival->sender, &found) < 0)
		found = NULL;
	memcpy(memo->words, arrival->words, sizeof(memo->words));
	memo->version = version;
	memo->tunnel = (uintptr_t)found;
	return memo->tunnel;
}

// The segment that listens at this address, or at whichever is ours; negative: nobody has the VNI.
static int
find_segment(const struct gw_arrival *arrival, uint32_t address)
{
	struct gw_arrival_key key = {
		.vni = arrival->sender.vni,
		.port = arrival->sender.port,
		.family = arrival->sender.family,
	};
	void *found = NULL;

	memcpy(key.local, arrival->local, address);
	if (rte_hash_lookup_data(gw_arrivals, &key, &found) >= 0)
		return (uintptr_t)found;
	memset(key.local, 0, sizeof(key.local));
	return rte_hash_lookup_data(gw_arrivals, &key, &found) < 0 ? -1 : (int)(uintptr_t)found;
}

// The segment whose every sender is believed, or an answer that says why there is none.
uint16_t
gw_decap_segment(const struct gw_arrival *arrival, uint32_t address, uint8_t *answer,
		 struct rte_mbuf *mbuf)
{
	const int segment = find_segment(arrival, address);

	if (segment < 0)
		*answer = gw_decap_because(mbuf, GW_DROP_VNI, GW_DECAP_DROP);
	else if (segment == GW_SEGMENT_OF_KERNEL || !gw_segments[segment].interface)
		*answer = gw_decap_because(mbuf, GW_PUNT_VXLAN, GW_DECAP_PUNT);
	else if (!(gw_segments[segment].flags & GW_SEGMENT_ANY_SOURCE))
		*answer = gw_decap_because(mbuf, GW_DROP_VTEP, GW_DECAP_DROP);
	return RTE_MAX(segment, 0);
}

bool
gw_decap_is_behind(const struct rte_mbuf *mbuf, uint16_t tunnel)
{
	const struct gw_mark *mark = gw_mark((struct rte_mbuf *)(uintptr_t)mbuf);

	return gw_tunnel_leaves_by(&gw_tunnels[tunnel], mark->interface);
}
