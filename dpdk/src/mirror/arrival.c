/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where VXLAN arrives whose sender is not known: what is an active segment's at an address, and what
 * is the kernel's at whichever. With them go the UDP ports that the data path looks at.
 */
#include <string.h>

#include "parts.h"

static void
want(const struct gw_arrival_key *key, uint16_t segment)
{
	struct arrival *arrival = table_find(&mirror.arrivals, key);
	bool fresh = !arrival;

	if (fresh)
		arrival = table_add(&mirror.arrivals, key, NULL);
	if (!arrival) {
		mirror.failed = true;
		return;
	}
	arrival->wanted = 1;
	// One that does not fit is looked for among the kernel's, and is taken by it.
	if (fresh || arrival->segment != segment || !arrival->listed)
		arrival->listed = !gw_arrival_set(key, segment);
	arrival->segment = segment;
}

// Unknown senders' packets are its own, to be dropped perhaps, as long as it knows all others.
static bool
judges(const struct segment *segment)
{
	return segment->slot && segment->known && !segment->crowded;
}

static void
want_segment(const struct segment *segment)
{
	const struct gw_worker_address *local = segment_addresses() + segment->is.first_arrival;

	if (!judges(segment))
		return;
	for (uint32_t i = 0; i < segment->is.arrivals; i++) {
		struct gw_arrival_key key = {
			.vni = rte_cpu_to_be_32(segment->is.vni << 8),
			.port = rte_cpu_to_be_16(segment->is.port),
			.family = segment->is.family,
		};

		memcpy(key.local, local[i].bytes, sizeof(key.local));
		want(&key, segment->slot);
	}
}

static bool
is_used(uint16_t port)
{
	uint32_t count;
	const struct segment *segments = segments_all(&count);

	for (uint32_t i = 0; i < count; i++)
		if (segments[i].slot && segments[i].is.port == port)
			return true;
	return false;
}

// The kernel takes a VNI at every address, and asks nobody who may send. So where a segment asks,
// nobody who may not send gets past it by another address of ours.
static void
want_device(const struct link *link)
{
	const struct segment *segment = segment_of(link->ifindex);
	uint16_t whose = GW_SEGMENT_OF_KERNEL;
	struct gw_arrival_key key = {
		.vni = rte_cpu_to_be_32(link->vni << 8),
		.port = rte_cpu_to_be_16(link->vxlan_port),
		.family = 4,
	};

	if (!(link->flags & LINK_VXLAN) || !(link->flags & LINK_UP) || !is_used(link->vxlan_port))
		return;
	if (segment && judges(segment) && !(segment->is.flags & GW_SEGMENT_OPTION_ANY_SOURCE))
		whose = segment->slot;
	if (link->vxlan_family != 6)
		want(&key, whose);
	key.family = 6;
	if (link->vxlan_family != 4)
		want(&key, whose);
}

// Ports that stay keep their places, so that no reader misses one.
static void
write_ports(void)
{
	uint32_t count, actives = 0;
	const struct segment *segments = segments_all(&count);

	for (uint32_t i = 0; i < GW_VXLAN_PORTS; i++)
		if (!is_used(rte_be_to_cpu_16(gw_vxlan_ports[i])))
			gw_vxlan_ports[i] = 0;
	for (uint32_t i = 0; i < count; i++) {
		const rte_be16_t port = rte_cpu_to_be_16(segments[i].is.port);
		uint32_t place = 0, vacant = 0;

		if (!segments[i].slot)
			continue;
		actives++;
		while (place < GW_VXLAN_PORTS && gw_vxlan_ports[place] != port)
			place++;
		while (vacant < GW_VXLAN_PORTS && gw_vxlan_ports[vacant])
			vacant++;
		if (place == GW_VXLAN_PORTS && vacant < GW_VXLAN_PORTS)
			gw_vxlan_ports[vacant] = port;
	}
	__atomic_store_n(&gw_segment_count, actives, __ATOMIC_RELEASE);
}

void
arrivals_review(void)
{
	struct arrival *arrival;
	struct link *link;
	uint32_t count;
	const struct segment *segments = segments_all(&count);

	mirror.arrivals_dirty = false;
	for (uint32_t i = 0; (link = table_walk(&mirror.links, &i));)
		want_device(link);
	for (uint32_t i = 0; i < count; i++)
		want_segment(&segments[i]);
	write_ports();
	for (uint32_t i = 0; (arrival = table_walk(&mirror.arrivals, &i));) {
		if (!arrival->wanted) {
			gw_arrival_delete(&arrival->key);
			table_remove(&mirror.arrivals, arrival);
			continue;
		}
		arrival->wanted = 0;
	}
}
