/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames for a station that nobody knows, from a port of a bridge with one VXLAN segment: a copy to each
 * VTEP of its flood list (RFC 8365 section 5.1.3) and to each other port. All or nothing: where one of them
 * cannot be served from here the kernel serves them all, which also makes it look for that VTEP.
 * What is for everybody, or for a group, does not come by here, for the kernel itself wants to hear it.
 */
#include "../fdb.h"
#include "../tunnel.h"
#include "l3.h"
#include "vxlan_way.h"

enum edge { EDGE_TX, EDGE_ENCAP, EDGE_PUNT, EDGES };

enum { COPIES = 2 * GW_RX_BURST /* of a burst together; what needs more is the kernel's */ };

/* Who hears what one port says. */
struct audience {
	const struct gw_flood *flood; /* or NULL */
	uint32_t count; /* of all */
	uint32_t longest; /* frame that all of the ports can be sent, bytes */
	uint16_t port_count;
	uint16_t ports[GW_WORKER_PORTS];
};

static void
shorten(struct audience *audience, uint32_t packet)
{
	audience->longest = RTE_MIN(audience->longest, packet + RTE_ETHER_HDR_LEN);
}

// False: VTEPs are the kernel's to flood to.
static bool
add_tunnels(struct audience *audience, uint16_t slot, uint16_t bridge)
{
	const struct gw_segment *segment = &gw_segments[slot];
	const struct gw_interface *device = &gw_interfaces[segment->interface];
	const struct gw_flood *flood = __atomic_load_n(&segment->flood, __ATOMIC_ACQUIRE);

	if (!flood)
		return false;
	if (device->master != bridge || !(device->flags & GW_IF_UP) ||
	    device->flags & GW_IF_STP_BLOCKED)
		return true;
	audience->flood = flood;
	audience->count += flood->count;
	return true;
}

static void
add_ports(struct audience *audience, uint16_t bridge, uint16_t from)
{
	for (uint16_t port = 0; port < GW_WORKER_PORTS; port++) {
		if (port == from || gw_ports[port].state != GW_PORT_RUNNING || !gw_ports[port].up ||
		    !gw_is_bridge_port(port, bridge))
			continue;
		audience->ports[audience->port_count++] = port;
		audience->count++;
		shorten(audience, gw_interfaces[gw_ports[port].interface].mtu);
	}
}

// Of the port that the frame came in by; false: it is for the kernel to say.
static bool
find_audience(struct rte_mbuf *mbuf, struct audience *audience)
{
	const struct gw_mark *mark = gw_mark(mbuf);
	const uint16_t bridge = gw_interfaces[mark->interface].master;
	const uint16_t segment = gw_interfaces[bridge].segment;

	*audience = (struct audience){.longest = UINT32_MAX};
	// Somebody listens on the bridge; or the station may be one of those that the FDB has no
	// room for.
	if (gw_interfaces[bridge].flags & GW_IF_PROMISC ||
	    __atomic_load_n(&gw_fdb_left_out, __ATOMIC_RELAXED))
		return false;
	if (!segment || !(gw_segments[segment].flags & GW_SEGMENT_FLOODS) ||
	    !add_tunnels(audience, segment, bridge))
		return false;
	add_ports(audience, bridge, mark->from);
	return audience->count > 0;
}

// Whether it can be sent to everybody, now and by this frame's ways.
static bool
reaches_all(const struct rte_mbuf *mbuf, const struct audience *audience)
{
	if (mbuf->pkt_len > audience->longest)
		return false;
	for (uint32_t i = 0; audience->flood && i < audience->flood->count; i++)
		if (!gw_tunnel_takes(mbuf, &gw_tunnels[audience->flood->tunnels[i]], mbuf->pkt_len))
			return false;
	return true;
}

static void
send_one(struct rte_graph *graph, struct rte_node *node, struct rte_mbuf *mbuf,
	 const struct audience *audience, uint32_t number, enum gw_counter reason)
{
	gw_because(mbuf, reason);
	if (number < audience->port_count) {
		mbuf->port = audience->ports[number];
		rte_node_enqueue_x1(graph, node, EDGE_TX, mbuf);
		return;
	}
	gw_mark(mbuf)->nexthop = audience->flood->tunnels[number - audience->port_count];
	rte_node_enqueue_x1(graph, node, EDGE_ENCAP, mbuf);
}

// Copies to all but the last, which gets the frame itself.
static void
send_all(struct rte_graph *graph, struct rte_node *node, struct rte_mbuf *mbuf,
	 const struct audience *audience)
{
	const uint32_t last = audience->count - 1;

	for (uint32_t number = 0; number < last; number++) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);

		if (unlikely(!copy)) {
			gw_count(gw_node_lcore(node), gw_mark(mbuf)->from, GW_DROP_NO_BUFFER, 1);
			continue;
		}
		*gw_mark(copy) = *gw_mark(mbuf);
		send_one(graph, node, copy, audience, number, GW_VXLAN_COPY);
	}
	send_one(graph, node, mbuf, audience, last, GW_VXLAN_FLOOD);
}

/* A burst is of one port, see bridge. */
static uint16_t
flood(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct audience audience;
	const bool found = find_audience(objs[0], &audience);
	uint32_t copies = 0;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = objs[i];

		// Also where the answer is no: to look for it takes time as well.
		copies += found ? audience.count - 1 : 0;
		if (!found || copies > COPIES || !reaches_all(mbuf, &audience)) {
			gw_because(mbuf, GW_PUNT_BRIDGE_MISS);
			rte_node_enqueue_x1(graph, node, EDGE_PUNT, mbuf);
			continue;
		}
		send_all(graph, node, mbuf, &audience);
	}
	return count;
}

static struct rte_node_register registration = {
	.name = "flood",
	.process = flood,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes = {[EDGE_TX] = "tx", [EDGE_ENCAP] = "vxlan-encap", [EDGE_PUNT] = "punt"},
};
RTE_NODE_REGISTER(registration)
