/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Out of VXLAN (RFC 7348 section 4); the same for IPv4 and IPv6. A packet is believed if its VNI is
 * one of ours at that address, if its checksum is right, and if its sender is a VTEP of that VNI.
 * What is no VXLAN goes on to the kernel with the mark that it came with.
 */
#ifndef GW_VXLAN_DECAP_H
#define GW_VXLAN_DECAP_H

#include <rte_hash.h>

#include "../tunnel.h"
#include "node.h"
#include "vxlan_header.h"

enum gw_decap_edge {
	GW_DECAP_BRIDGE,
	GW_DECAP_PUNT,
	GW_DECAP_DROP,
	GW_DECAP_PIECE, /* to be put together first */
	GW_DECAP_EDGES,
};

/* What a packet says of itself. */
struct gw_arrival {
	struct gw_sender_key sender;
	const uint8_t *local; /* its destination, 4 or 16 bytes in the frame */
	uint8_t size; /* of the outer headers */
	uint8_t address; /* bytes of an address */
	uint8_t source_at; /* where the tunnel's own header has the address that it sends from */
	uint8_t tos;
};

/* Fills all of it but the sender's VNI and port; an edge other than GW_DECAP_BRIDGE is the
 * answer. `udp` is set with that edge alone. */
typedef uint8_t (*gw_decap_parse)(struct rte_mbuf *mbuf, struct gw_arrival *arrival,
				  const struct rte_udp_hdr **udp, uint32_t *room);
/* Whether the checksum that is there is right. */
typedef bool (*gw_decap_check)(const struct rte_mbuf *mbuf, const struct rte_udp_hdr *udp);

/* vxlan_decap.c: one whose sender is not known, or not behind that interface. */
uint8_t gw_decap_unknown(struct rte_mbuf *mbuf, const struct gw_arrival *arrival);
bool gw_decap_is_behind(const struct rte_mbuf *mbuf, uint16_t tunnel);
/* Whether fragments from there are put together here. */
bool gw_decap_is_peer(const struct gw_sender_key *sender);
/* Carries what congestion the outer packet met into the inner one; an edge. */
uint8_t gw_decap_ecn(struct rte_mbuf *mbuf, const struct gw_arrival *arrival);

static inline uint8_t
gw_decap_because(struct rte_mbuf *mbuf, enum gw_counter reason, uint8_t edge)
{
	gw_because(mbuf, reason);
	return edge;
}

static inline bool
gw_is_vxlan_port(rte_be16_t port)
{
	return port && (port == gw_vxlan_ports[0] || port == gw_vxlan_ports[1] ||
			port == gw_vxlan_ports[2] || port == gw_vxlan_ports[3]);
}

/* The UDP checksum over the pseudo header, whose addresses are in front of UDP, and the datagram. */
static inline bool
gw_decap_checksum(const struct rte_mbuf *mbuf, const void *addresses, uint32_t size,
		  const struct rte_udp_hdr *udp)
{
	const uint32_t length = rte_be_to_cpu_16(udp->dgram_len);
	uint16_t sum = 0;

	// One run over addresses and datagram, which are next to each other.
	if (likely(mbuf->nb_segs == 1))
		sum = rte_raw_cksum(addresses, size + length);
	else if (rte_raw_cksum_mbuf(
			 mbuf, (const uint8_t *)addresses - rte_pktmbuf_mtod(mbuf, const uint8_t *),
			 size + length, &sum))
		return false;
	return gw_fold((uint32_t)sum + udp->dgram_len + RTE_BE16(IPPROTO_UDP)) == 0xffff;
}

/* UDP and VXLAN; `room` is what IP has for them, which may be less than the frame has. */
static __rte_always_inline uint8_t
gw_decap_udp(struct rte_mbuf *mbuf, const struct rte_udp_hdr *udp, uint32_t room,
	     struct gw_arrival *arrival, gw_decap_check check)
{
	const struct gw_vxlan_header *vxlan = (const struct gw_vxlan_header *)(udp + 1);
	const uint32_t length = rte_be_to_cpu_16(udp->dgram_len);
	const uint32_t frame = mbuf->pkt_len - (arrival->size - GW_VXLAN_UDP);

	if (unlikely(!gw_is_vxlan_port(udp->dst_port)))
		return GW_DECAP_PUNT;
	if (unlikely(length < GW_VXLAN_UDP || length > room))
		return gw_decap_because(mbuf, GW_DROP_VXLAN, GW_DECAP_DROP);
	if (udp->dgram_cksum && unlikely(!check(mbuf, udp)))
		return gw_decap_because(mbuf, GW_DROP_CHECKSUM, GW_DECAP_DROP);
	// With something behind it the inner frame would be longer than it is.
	if (unlikely(length != frame))
		return gw_decap_because(mbuf, GW_PUNT_VXLAN, GW_DECAP_PUNT);
	if (unlikely(!(vxlan->flags & RTE_BE32(GW_VXLAN_I))))
		return gw_decap_because(mbuf, GW_DROP_VXLAN, GW_DECAP_DROP);
	arrival->sender.vni = vxlan->vni & RTE_BE32(GW_VXLAN_VNI);
	arrival->sender.port = udp->dst_port;
	return GW_DECAP_BRIDGE;
}

/* Whether the packet came to the address that the tunnel sends from, or it has none. */
static inline bool
gw_decap_is_local(const struct gw_tunnel *tunnel, const struct gw_arrival *arrival)
{
	const uint8_t *source = &tunnel->header[arrival->source_at];

	return likely(!memcmp(source, arrival->local, arrival->address)) ||
	       tunnel->flags & GW_TUNNEL_KERNEL;
}

/* The outer headers off; they are still there in front of the frame. */
static inline uint8_t
gw_decap_strip(struct rte_mbuf *mbuf, const struct gw_arrival *arrival, uint16_t segment,
	       uint16_t tunnel)
{
	struct gw_mark *mark = gw_mark(mbuf);

	// Longer than the headers, or it would have no room for VXLAN in its UDP.
	if (unlikely(mbuf->pkt_len < arrival->size + (uint32_t)RTE_ETHER_HDR_LEN ||
		     mbuf->data_len < arrival->size + (uint32_t)RTE_ETHER_HDR_LEN))
		return gw_decap_because(mbuf, GW_DROP_VXLAN, GW_DECAP_DROP);
	if (arrival->tos & GW_ECN_MASK && gw_decap_ecn(mbuf, arrival) != GW_DECAP_BRIDGE)
		return GW_DECAP_DROP;
	rte_pktmbuf_adj(mbuf, arrival->size);
	*gw_outer(mbuf) = arrival->size;
	mark->interface = gw_segments[segment].interface;
	mark->nexthop = tunnel;
	mark->reason = GW_VXLAN_DECAP;
	return GW_DECAP_BRIDGE;
}

/* Of a sender that was found. */
static inline uint8_t
gw_decap_believe(struct rte_mbuf *mbuf, const struct gw_arrival *arrival, uint16_t slot)
{
	const struct gw_tunnel *tunnel = &gw_tunnels[slot];
	const uint16_t segment = __atomic_load_n(&tunnel->segment, __ATOMIC_ACQUIRE);

	if (unlikely(!segment || !gw_decap_is_local(tunnel, arrival)))
		return gw_decap_unknown(mbuf, arrival);
	// A host of a bridge may claim any source address: there a VTEP is one that is answered by it.
	if (unlikely(gw_interfaces[gw_mark(mbuf)->interface].flags & GW_IF_BRIDGE) &&
	    !(gw_segments[segment].flags & GW_SEGMENT_ANY_SOURCE) &&
	    !gw_decap_is_behind(mbuf, slot))
		return gw_decap_because(mbuf, GW_DROP_VTEP, GW_DECAP_DROP);
	return gw_decap_strip(mbuf, arrival, segment, slot);
}

/* Senders of frames in a row are the same one as often as not, and looked up once. */
struct gw_decap_senders {
	struct gw_sender_key keys[RTE_HASH_LOOKUP_BULK_MAX];
	void *found[RTE_HASH_LOOKUP_BULK_MAX];
	uint64_t hits;
	uint16_t count;
};

static inline uint16_t
gw_decap_note(struct gw_decap_senders *senders, const struct gw_sender_key *key)
{
	if (senders->count && !memcmp(&senders->keys[senders->count - 1], key, sizeof(*key)))
		return senders->count - 1;
	senders->keys[senders->count] = *key;
	return senders->count++;
}

static inline void
gw_decap_find(struct gw_decap_senders *senders)
{
	const void *pointers[RTE_HASH_LOOKUP_BULK_MAX];

	senders->hits = 0;
	for (uint16_t i = 0; i < senders->count; i++)
		pointers[i] = &senders->keys[i];
	if (likely(senders->count))
		rte_hash_lookup_bulk_data(gw_senders, pointers, senders->count, &senders->hits,
					  senders->found);
}

/* At most as many frames as one lookup takes. */
static __rte_always_inline void
gw_decap_some(struct rte_mbuf **mbufs, uint16_t count, uint8_t *next, gw_decap_parse parse,
	      gw_decap_check check)
{
	struct gw_arrival arrivals[RTE_HASH_LOOKUP_BULK_MAX];
	uint8_t whose[RTE_HASH_LOOKUP_BULK_MAX];
	struct gw_decap_senders senders;

	senders.count = 0;
	for (uint16_t i = 0; i < count; i++) {
		const struct rte_udp_hdr *udp = NULL;
		uint32_t room = 0;

		if (likely(i + GW_AHEAD < count))
			rte_prefetch0(rte_pktmbuf_mtod_offset(mbufs[i + GW_AHEAD], void *,
							      RTE_CACHE_LINE_SIZE));
		next[i] = parse(mbufs[i], &arrivals[i], &udp, &room);
		if (likely(next[i] == GW_DECAP_BRIDGE))
			next[i] = gw_decap_udp(mbufs[i], udp, room, &arrivals[i], check);
		if (likely(next[i] == GW_DECAP_BRIDGE))
			whose[i] = gw_decap_note(&senders, &arrivals[i].sender);
	}
	gw_decap_find(&senders);
	for (uint16_t i = 0; i < count; i++) {
		if (unlikely(next[i] != GW_DECAP_BRIDGE))
			continue;
		if (likely(senders.hits >> whose[i] & 1))
			next[i] = gw_decap_believe(mbufs[i], &arrivals[i],
						   (uintptr_t)senders.found[whose[i]]);
		else
			next[i] = gw_decap_unknown(mbufs[i], &arrivals[i]);
	}
}

static __rte_always_inline uint16_t
gw_decap_burst(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count,
	       gw_decap_parse parse, gw_decap_check check)
{
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i += RTE_HASH_LOOKUP_BULK_MAX)
		gw_decap_some((struct rte_mbuf **)&objs[i],
			      RTE_MIN(count - i, RTE_HASH_LOOKUP_BULK_MAX), &next[i], parse, check);
	for (uint16_t i = 1; i < count; i++)
		mixed |= next[i] ^ next[0];
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

#endif
