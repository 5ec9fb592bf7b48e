/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of all links, those that the data path knows: the TAPs of ports, bridges that have one, and the
 * VXLAN devices of segments in these. */
#include <string.h>

#include "../lcore.h"
#include "../port.h"
#include "parts.h"

/* ifindex of the device in each slot, 0: free. */
static uint32_t owners[GW_INTERFACES];
static uint32_t mtus6[GW_INTERFACES];

/* What gw_port_follow() was told last. */
static struct followed {
	uint32_t mtu;
	struct rte_ether_addr mac;
	uint8_t up, promiscuous, valid;
} followed[GW_WORKER_PORTS];

uint16_t
slot_of(uint32_t ifindex)
{
	const struct link *link = link_find(ifindex);

	return link ? link->slot : GW_NO_INTERFACE;
}

uint32_t
slots_used(void)
{
	uint32_t count = 0;

	for (uint32_t slot = 1; slot < GW_INTERFACES; slot++)
		count += owners[slot] != 0;
	return count;
}

// A port's, or NULL; its ifindex may have become another device's.
static struct link *
tap_of(uint16_t id)
{
	struct link *link = mirror.ports >> id & 1 ? link_find(gw_ports[id].ifindex) : NULL;

	return link && link->flags & LINK_TAP && !gw_ports[id].tap_gone ? link : NULL;
}

static const struct link *
bridge_of(const struct link *link)
{
	const struct link *master = link_find(link->master);

	return master && master->flags & LINK_BRIDGE ? master : NULL;
}

bool
bridge_is_choosy(const struct link *bridge)
{
	if (bridge->flags & LINK_VLAN_AWARE)
		return true;
	for (uint16_t id = 0; id < GW_WORKER_PORTS; id++) {
		const struct link *link = tap_of(id);

		if (link && link->master == bridge->ifindex && link->flags & LINK_CHOOSY)
			return true;
	}
	return false;
}

static bool
is_tap(const struct link *link)
{
	for (uint16_t id = 0; id < GW_WORKER_PORTS; id++)
		if (tap_of(id) == link)
			return true;
	return false;
}

const struct link *
bridge_exception(const struct link *bridge, uint32_t device)
{
	const struct link *link;

	for (uint32_t i = 0; (link = table_walk(&mirror.links, &i));)
		if (link->master == bridge->ifindex && link->ifindex != device &&
		    (link->flags & (LINK_QUIET | LINK_SUPPRESS) || !is_tap(link)))
			return link;
	return NULL;
}

static uint32_t
interface_flags(const struct link *link, const struct link *bridge)
{
	// As IN_DEV_RPFILTER: the larger one of the device's and of all.
	uint32_t rp_filter = RTE_MAX((uint32_t)mirror.rp_filter, link->rp_filter), flags = 0;
	// Under a bond, or in a VRF, the kernel routes by other rules.
	bool routes = !(link->flags & LINK_MASTERED) || bridge;

	if (link->flags & LINK_UP)
		flags |= GW_IF_UP;
	if (link->flags & LINK_FORWARD4 && routes && !family_blocked(FAMILY4))
		flags |= GW_IF_FORWARD4;
	// IPv6 has one switch for all; that of the device makes it a router or host to others.
	if ((mirror.forwarding6 || link->flags & LINK_FORWARD6) && routes &&
	    !(link->flags & LINK_NO_IPV6) && !family_blocked(FAMILY6))
		flags |= GW_IF_FORWARD6;
	if (rp_filter)
		flags |= GW_IF_RP_FILTER;
	if (rp_filter == 1)
		flags |= GW_IF_RP_STRICT;
	// A bridge makes its ports promiscuous, once.
	if (link->promiscuity > (bridge ? 1 : 0))
		flags |= GW_IF_PROMISC;
	if (link->flags & LINK_BRIDGE)
		flags |= GW_IF_BRIDGE | (bridge_is_choosy(link) ? GW_IF_VLAN_AWARE : 0) |
			 (link->flags & LINK_SNOOPS ? GW_IF_SNOOPS : 0);
	if (bridge)
		flags |= GW_IF_BRIDGED | (link->flags & LINK_STP_BLOCKED ? GW_IF_STP_BLOCKED : 0);
	return flags;
}

// Nothing is routed by it: it carries what its bridge has for VTEPs.
static uint32_t
tunnel_flags(const struct link *link)
{
	return GW_IF_TUNNEL | GW_IF_BRIDGED | (link->flags & LINK_UP ? GW_IF_UP : 0) |
	       (link->flags & LINK_STP_BLOCKED ? GW_IF_STP_BLOCKED : 0);
}

static void
follow(struct gw_worker_port *port, const struct link *link)
{
	struct followed now = {
		.mtu = link->mtu,
		.up = !!(link->flags & LINK_UP),
		.promiscuous = link->promiscuity > 0,
		.valid = 1,
	};

	memcpy(&now.mac, link->mac, sizeof(now.mac));
	if (!memcmp(&now, &followed[port->id], sizeof(now)))
		return;
	followed[port->id] = now;
	gw_port_follow(port, now.up, now.mtu, &now.mac, now.promiscuous);
}

// Writes what changed; the next hops there follow.
static void
refresh(uint16_t slot, const struct link *link)
{
	struct gw_interface *interface = &gw_interfaces[slot], before = *interface;
	const struct link *bridge = bridge_of(link);
	const uint32_t flags =
		link->flags & LINK_VXLAN ? tunnel_flags(link) : interface_flags(link, bridge);

	interface->ifindex = link->ifindex;
	interface->mtu = link->mtu;
	memcpy(&interface->mac, link->mac, sizeof(interface->mac));
	interface->master = bridge ? bridge->slot : GW_NO_INTERFACE;
	__atomic_store_n(&interface->flags, flags, __ATOMIC_RELEASE);
	if (!memcmp(interface, &before, sizeof(before)) && mtus6[slot] == link->mtu6)
		return;
	mtus6[slot] = link->mtu6;
	hops_of_link(link->ifindex);
}

static uint16_t
vacant_slot(void)
{
	for (uint16_t slot = 1; slot < GW_INTERFACES; slot++)
		if (!owners[slot])
			return slot;
	return GW_NO_INTERFACE;
}

static void
claim(struct link *link, uint16_t port, bool *wanted)
{
	uint16_t slot = link->slot;

	if (!slot) {
		slot = vacant_slot();
		if (!slot)
			return;
		owners[slot] = link->ifindex;
		link->slot = slot;
		gw_interfaces[slot].port = port;
		// What was said of it until now was not kept; of a VXLAN device the segment asks.
		if (!(link->flags & LINK_VXLAN))
			dump_want(WANT_NEIGHBOURS | WANT_ROUTES | WANT(STEP_STATIONS));
	}
	wanted[slot] = true;
	if (port != GW_NO_PORT) {
		gw_interfaces[slot].port = port;
		gw_ports[port].interface = slot;
	}
}

bool
slot_claim(uint32_t ifindex, bool *wanted)
{
	struct link *link = link_find(ifindex);

	claim(link, GW_NO_PORT, wanted);
	return link->slot;
}

static void
release(uint16_t slot)
{
	uint32_t ifindex = owners[slot];
	struct link *link = link_find(ifindex);
	uint16_t port = gw_interfaces[slot].port;

	__atomic_store_n(&gw_interfaces[slot].flags, 0, __ATOMIC_RELEASE);
	if (port != GW_NO_PORT && gw_ports[port].interface == slot)
		gw_ports[port].interface = GW_NO_INTERFACE;
	// What is keyed by the slot goes while the link still has it.
	stations_forget(ifindex);
	bindings_forget(ifindex);
	hops_forget(ifindex);
	owners[slot] = 0;
	if (link)
		link->slot = GW_NO_INTERFACE;
	stations_of_port(ifindex);
	hops_of_link(ifindex);
	for (uint16_t other = 1; other < GW_INTERFACES; other++)
		if (gw_interfaces[other].master == slot)
			gw_interfaces[other].master = GW_NO_INTERFACE;
	gw_grace_period();
	memset(&gw_interfaces[slot], 0, sizeof(gw_interfaces[slot]));
	if (link && !(link->flags & LINK_KNOWN) && !(link->stamp.flags & STAMP_GONE))
		table_remove(&mirror.links, link);
}

void
slots_review(void)
{
	bool wanted[GW_INTERFACES] = {false};

	mirror.review = false;
	for (uint16_t id = 0; id < GW_WORKER_PORTS; id++) {
		struct link *link = tap_of(id);
		const struct link *bridge;

		if (!(mirror.ports >> id & 1))
			followed[id].valid = 0;
		if (!link)
			continue;
		bridge = bridge_of(link);
		if (bridge)
			claim(link_find(bridge->ifindex), GW_NO_PORT, wanted);
		claim(link, id, wanted);
		follow(&gw_ports[id], link);
	}
	segments_claim(wanted);
	for (uint16_t slot = 1; slot < GW_INTERFACES; slot++)
		if (owners[slot] && !wanted[slot])
			release(slot);
	for (uint16_t slot = 1; slot < GW_INTERFACES; slot++)
		if (owners[slot])
			refresh(slot, link_find(owners[slot]));
	segments_refresh();
}
