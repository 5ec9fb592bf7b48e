/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which segments are the data path's, and what it has of them beside tunnels. */
#include <string.h>

#include "../lcore.h"
#include "parts.h"

/* ---- whether ------------------------------------------------------------------------------------ */

static const char *
device_obstacle(const struct segment *segment, const struct link *link)
{
	if (!link || !(link->flags & LINK_KNOWN))
		return "there is no such device";
	if (!(link->flags & LINK_VXLAN))
		return "the device is no VXLAN device with a VNI of its own";
	if (link->vni != segment->is.vni || link->vxlan_port != segment->is.port)
		return "the device has another VNI or UDP port";
	if (link->master != segment->is.bridge)
		return "the device is no port of its bridge";
	if (!(link->flags & LINK_UP))
		return "the device is down";
	if (link->flags & LINK_CHOOSY)
		return "as a port of its bridge the device is isolated, locked or turns frames "
		       "back";
	return NULL;
}

const char *
segment_obstacle(const struct segment *segment, const bool *wanted)
{
	const struct link *link = link_find(segment->is.ifindex);
	const struct link *bridge = link_find(segment->is.bridge);
	const char *obstacle = device_obstacle(segment, link);

	if (obstacle)
		return obstacle;
	if (!bridge || !(bridge->flags & LINK_BRIDGE))
		return "there is no such bridge";
	if (!bridge->slot || !wanted[bridge->slot])
		return "no port of the worker is in its bridge";
	if (!(bridge->flags & LINK_UP))
		return "its bridge is down";
	if (bridge_is_choosy(bridge))
		return "its bridge filters VLANs, or has ports that are isolated, locked or turn "
		       "frames back";
	return NULL;
}

/* ---- the data path's segment -------------------------------------------------------------------- */

static uint16_t
vacant_slot(void)
{
	for (uint16_t slot = 1; slot < GW_SEGMENTS; slot++)
		if (!gw_segments[slot].interface)
			return slot;
	return 0; // there are no more segments than slots
}

static uint16_t
flags_of(const struct segment *segment)
{
	static const struct {
		uint16_t option, flag;
	} same[] = {
		{GW_SEGMENT_OPTION_ANY_SOURCE, GW_SEGMENT_ANY_SOURCE},
		{GW_SEGMENT_OPTION_FRAGMENT, GW_SEGMENT_FRAGMENT},
		{GW_SEGMENT_OPTION_LEARNS, GW_SEGMENT_LEARNS},
		{GW_SEGMENT_OPTION_CHECKSUM, GW_SEGMENT_CHECKSUM},
		{GW_SEGMENT_OPTION_TTL_INHERIT, GW_SEGMENT_TTL_INHERIT},
		{GW_SEGMENT_OPTION_TOS_INHERIT, GW_SEGMENT_TOS_INHERIT},
		{GW_SEGMENT_OPTION_DF, GW_SEGMENT_DF},
		{GW_SEGMENT_OPTION_DF_INHERIT, GW_SEGMENT_DF_INHERIT},
	};
	const struct link *link = link_find(segment->is.ifindex);
	uint16_t flags = 0;

	for (uint32_t i = 0; i < RTE_DIM(same); i++)
		if (segment->is.flags & same[i].option)
			flags |= same[i].flag;
	if (link->flags & LINK_LEARNS)
		flags |= GW_SEGMENT_LEARNS;
	if (link->flags & LINK_SUPPRESS)
		flags |= GW_SEGMENT_SUPPRESS;
	if (flood_obstacle(segment))
		return flags;
	return flags | GW_SEGMENT_FLOODS | (heard_obstacle(segment) ? 0 : GW_SEGMENT_HEARS);
}

void
segment_write(const struct segment *segment)
{
	struct gw_segment *to = &gw_segments[segment->slot];
	const uint16_t flags = flags_of(segment);

	to->first_port = segment->is.first_port;
	to->ports = segment->is.last_port - segment->is.first_port + 1;
	to->mtu = segment->is.mtu;
	to->heard = segment->heard.id;
	__atomic_store_n(&to->flags, flags, __ATOMIC_RELEASE);
}

void
segment_enter(struct segment *segment)
{
	struct gw_interface *device = &gw_interfaces[slot_of(segment->is.ifindex)];
	struct gw_segment *to;

	segment->slot = vacant_slot();
	if (!segment->slot)
		return;
	to = &gw_segments[segment->slot];
	to->bridge = slot_of(segment->is.bridge);
	to->vni = rte_cpu_to_be_32(segment->is.vni << 8);
	to->ifindex = segment->is.ifindex;
	to->link = segment->is.link;
	to->family = segment->is.family;
	segment_write(segment);
	__atomic_store_n(&to->interface, slot_of(segment->is.ifindex), __ATOMIC_RELEASE);
	__atomic_store_n(&device->segment, segment->slot, __ATOMIC_RELEASE);
	segment->flood_dirty = segment->list_dirty = 1;
	dump_want(WANT(STEP_STATIONS));
}

void
segment_leave(struct segment *segment)
{
	const uint16_t slot = segment->slot;

	segment->known = segment->asked = segment->floods = 0;
	// Who sends is the kernel's to judge, before we know nobody any more.
	arrivals_review();
	// While it has its slot, all that leads to its tunnels is taken back.
	entries_forget(segment->is.ifindex);
	vteps_review(segment, false);
	segment->only = 0;
	segment->members = 0;
	stations_of_port(segment->is.ifindex);
	gw_flood_set(slot, NULL, 0);
	for (uint16_t i = 1; i < GW_INTERFACES; i++)
		if (gw_interfaces[i].segment == slot)
			gw_interfaces[i].segment = 0;
	segment->slot = 0;
	tunnels_purge();
	gw_grace_period();
	memset(&gw_segments[slot], 0, sizeof(gw_segments[slot]));
}

uint16_t
segment_of_bridge(uint32_t bridge)
{
	uint16_t found = 0;
	uint32_t count;
	const struct segment *segments = segments_all(&count);

	for (uint32_t i = 0; i < count; i++) {
		if (!segments[i].slot || segments[i].is.bridge != bridge)
			continue;
		if (found)
			return 0;
		found = segments[i].slot;
	}
	return found;
}
