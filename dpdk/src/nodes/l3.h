/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a frame for a MAC address of ours goes; for ports, and for bridges. */
#ifndef GW_L3_H
#define GW_L3_H

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "../tunnel.h"
#include "node.h"
#include "vxlan_header.h"

enum gw_l3_edge { GW_L3_IP4, GW_L3_IP6, GW_L3_OTHER, GW_L3_PUNT, GW_L3_VXLAN4, GW_L3_VXLAN6 };

/* For protocols that are not routed, and devices that the kernel routes for. */
static inline uint8_t
gw_l3_punt(struct rte_mbuf *mbuf, uint16_t type)
{
	enum gw_counter reason = GW_PUNT_ETHERTYPE;

	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV4) || type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		reason = GW_PUNT_NOT_FORWARDING;
	else if (type == RTE_BE16(RTE_ETHER_TYPE_ARP))
		reason = GW_PUNT_ARP;
	else if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || type == RTE_BE16(RTE_ETHER_TYPE_QINQ))
		reason = GW_PUNT_VLAN;
	gw_because(mbuf, reason);
	return GW_L3_PUNT;
}

/* Whether frames of a bridge may leave by the port. The FDB may have it there although it has left
 * the bridge meanwhile, or spanning tree has blocked it. */
static inline bool
gw_is_bridge_port(uint16_t port, uint16_t bridge)
{
	const struct gw_interface *interface;

	if (unlikely(port == (uint16_t)GW_NO_PORT))
		return false;
	interface = &gw_interfaces[gw_ports[port].interface];
	return interface->master == bridge && !(interface->flags & GW_IF_STP_BLOCKED);
}

/* Whether it is VXLAN for us, where nothing is forwarded; else it is marked, and the kernel's. */
static inline uint8_t
gw_l3_local(struct rte_mbuf *mbuf, uint16_t type)
{
	const uint8_t edge = gw_l3_punt(mbuf, type);

	if (gw_mark(mbuf)->reason != GW_PUNT_NOT_FORWARDING || !gw_segment_count)
		return edge;
	return type == RTE_BE16(RTE_ETHER_TYPE_IPV4) ? GW_L3_VXLAN4 : GW_L3_VXLAN6;
}

/* `flags` are those of the L3 device; IP frames are not looked into here. */
static inline uint8_t
gw_l3_edge(struct rte_mbuf *mbuf, const struct rte_ether_hdr *ether, uint32_t flags)
{
	if (likely(ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) &&
	    likely(flags & GW_IF_FORWARD4))
		return GW_L3_IP4;
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && likely(flags & GW_IF_FORWARD6))
		return GW_L3_IP6;
	return gw_l3_local(mbuf, ether->ether_type);
}

/* One of several. */
static inline bool
gw_ip4_is_piece(const uint8_t *ip)
{
	rte_be16_t place;

	memcpy(&place, ip + offsetof(struct rte_ipv4_hdr, fragment_offset), sizeof(place));
	return place & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
}

/* UDP to a port that VXLAN segments have, or a piece that may be of such a packet; what else has to be
 * right is looked at later. */
static inline bool
gw_l3_is_vxlan(const struct rte_mbuf *mbuf, const struct rte_ether_hdr *ether)
{
	const uint8_t *ip = (const uint8_t *)(ether + 1);
	rte_be16_t port;

	if (unlikely(rte_pktmbuf_data_len(mbuf) < GW_VXLAN_OUTER6))
		return false;
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
		if (ip[offsetof(struct rte_ipv4_hdr, next_proto_id)] != IPPROTO_UDP)
			return false;
		if (unlikely(gw_ip4_is_piece(ip)))
			return true;
		memcpy(&port, ip + sizeof(struct rte_ipv4_hdr) + sizeof(port), sizeof(port));
	} else if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		const uint8_t next = ip[offsetof(struct rte_ipv6_hdr, proto)];

		if (next != IPPROTO_UDP)
			return next == IPPROTO_FRAGMENT;
		memcpy(&port, ip + sizeof(struct rte_ipv6_hdr) + sizeof(port), sizeof(port));
	} else {
		return false;
	}
	return gw_is_vxlan_port(port);
}

/*
 * For frames from a wire. What looks like VXLAN goes past the FIB: a sender that is believed names an
 * address of ours itself. What is not believed comes back to IP, see vxlan_decap.h.
 */
static inline uint8_t
gw_l3_arrives(struct rte_mbuf *mbuf, const struct rte_ether_hdr *ether, uint32_t flags)
{
	if (!gw_segment_count || !gw_l3_is_vxlan(mbuf, ether))
		return gw_l3_edge(mbuf, ether, flags);
	gw_because(mbuf, GW_VXLAN_DECAP);
	return ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) ? GW_L3_VXLAN4 : GW_L3_VXLAN6;
}

#endif
