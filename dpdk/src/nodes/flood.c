/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has to be flooded in a bridge with one VXLAN segment: frames for a station that nobody knows, for
 * everybody, or for a group. From a port it goes to each VTEP of the flood list (RFC 8365 section 5.1.3)
 * and to each other port; out of a tunnel to the ports. The host hears one more copy, where it wants to,
 * by a TAP from which the kernel's bridge does not flood it again. All or nothing: where one of them
 * cannot be served from here the kernel serves them all, which also makes it look for that VTEP.
 */
#include "../fdb.h"
#include "../tunnel.h"
#include "group.h"
#include "l3.h"
#include "vxlan_way.h"

enum edge { EDGE_TX, EDGE_ENCAP, EDGE_PUNT, EDGES };

enum {
	COPIES = 2 * GW_RX_BURST, /* of a burst together; what needs more is the kernel's */
	WAITING = GW_PUNT_RING / 2, /* frames, until the host hears no more of what comes */
};

/* Who hears what comes in by one interface, be it a port or a VXLAN device. */
struct audience {
	const struct gw_flood *flood; /* or NULL */
	uint32_t bridge; /* its flags */
	uint32_t heard; /* TAP for the host; 0: none, and what it wants to hear is the kernel's */
	uint32_t count; /* of VTEPs and ports; 0: the kernel serves them */
	uint32_t longest; /* frame that all of the ports can be sent, bytes */
	uint16_t interface;
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
add_tunnels(struct audience *audience, const struct gw_segment *segment, uint16_t bridge)
{
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

// Of all frames that came in by the same interface as this one.
static void
find_audience(struct rte_mbuf *mbuf, struct audience *audience)
{
	const struct gw_mark *mark = gw_mark(mbuf);
	const struct gw_interface *interface = &gw_interfaces[mark->interface];
	const uint16_t bridge = interface->master;
	const struct gw_segment *segment = &gw_segments[gw_interfaces[bridge].segment];
	const uint16_t flags = __atomic_load_n(&segment->flags, __ATOMIC_ACQUIRE);
	const bool tunnel = interface->flags & GW_IF_TUNNEL;

	*audience = (struct audience){
		.bridge = gw_interfaces[bridge].flags,
		.longest = UINT32_MAX,
		.interface = mark->interface,
	};
	if (!(flags & GW_SEGMENT_FLOODS))
		return;
	if (flags & GW_SEGMENT_HEARS)
		audience->heard = segment->heard;
	// Split horizon: from one VTEP to others they go by themselves.
	if (!tunnel && !add_tunnels(audience, segment, bridge))
		return;
	add_ports(audience, bridge, tunnel ? GW_NO_PORT : mark->from);
}

// Whether these are all whom the frame is for, and whether the host is one of them.
static bool
is_complete(const struct rte_mbuf *mbuf, const struct audience *audience, bool *host)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const bool group = rte_is_multicast_ether_addr(&ether->dst_addr);

	*host = group || audience->bridge & GW_IF_PROMISC;
	if (!audience->count || (*host && !audience->heard))
		return false;
	if (group)
		return !(audience->bridge & GW_IF_SNOOPS) || gw_group_is_everybody(mbuf);
	// The station may be one of those that the FDB has no room for.
	return !__atomic_load_n(&gw_fdb_left_out, __ATOMIC_RELAXED);
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

// All of them or none. What was taken off in front of the frame is not in front of a copy.
static bool
make_copies(struct rte_mbuf *mbuf, struct rte_mbuf **copies, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		copies[i] = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);
		if (unlikely(!copies[i])) {
			rte_pktmbuf_free_bulk(copies, i);
			return false;
		}
		*gw_mark(copies[i]) = *gw_mark(mbuf);
		*gw_outer(copies[i]) = 0;
	}
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

// The other half of the ring is for what only the kernel can do: BGP, and whom it has to look for.
static bool
has_room(struct rte_mbuf *mbuf)
{
	const struct rte_ring *ring = gw_ports[gw_mark(mbuf)->from].to_kernel;

	return ring && rte_ring_count(ring) < WAITING;
}

// Copies to all but the last, which gets the frame itself. False: there are too few buffers.
static bool
send_all(struct rte_graph *graph, struct rte_node *node, struct rte_mbuf *mbuf,
	 const struct audience *audience, bool host)
{
	const uint32_t last = audience->count - 1;
	const bool hears = host && has_room(mbuf);
	struct rte_mbuf *copies[COPIES];

	if (unlikely(!make_copies(mbuf, copies, last + hears)))
		return false;
	if (hears) {
		gw_because(copies[last], GW_VXLAN_HEARD);
		gw_mark(copies[last])->nexthop = audience->heard;
		rte_node_enqueue_x1(graph, node, EDGE_PUNT, copies[last]);
	} else if (host) {
		gw_count(gw_node_lcore(node), gw_mark(mbuf)->from, GW_DROP_PUNT_FULL, 1);
	}
	for (uint32_t number = 0; number < last; number++)
		send_one(graph, node, copies[number], audience, number, GW_VXLAN_COPY);
	send_one(graph, node, mbuf, audience, last, GW_VXLAN_FLOOD);
	return true;
}

/* Of any interfaces. The mark says what a frame counts as if the kernel has to serve it. */
static uint16_t
flood(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	struct audience audience;
	uint32_t copies = 0;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = objs[i];
		bool host;

		if (!i || gw_mark(mbuf)->interface != audience.interface)
			find_audience(mbuf, &audience);
		if (is_complete(mbuf, &audience, &host)) {
			// Also where the answer is no: to look for it takes time as well.
			copies += audience.count - 1 + host;
			if (copies <= COPIES && reaches_all(mbuf, &audience) &&
			    send_all(graph, node, mbuf, &audience, host))
				continue;
		}
		rte_node_enqueue_x1(graph, node, EDGE_PUNT, mbuf);
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
