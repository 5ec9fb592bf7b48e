/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Out of VXLAN (RFC 7348 section 4); the same for IPv4 and IPv6. A packet is believed if its VNI is
 * one of ours at that address, if its checksum is right, and if its sender is a VTEP of that VNI.
 *
 * A frame comes by once or twice. At first, marked VXLAN_DECAP, straight from its device: it goes
 * through here if its sender is known and has that destination for its tunnel's own address. All
 * others go on to IP, and come back if they are for this host, marked with why they are the kernel's:
 * what is no VXLAN gets there with that mark.
 */
#ifndef GW_VXLAN_DECAP_H
#define GW_VXLAN_DECAP_H

#include <rte_hash.h>

#include "../sum.h"
#include "../tunnel.h"
#include "node.h"
#include "vxlan_ecn.h"
#include "vxlan_header.h"

enum gw_decap_edge {
	GW_DECAP_BRIDGE,
	GW_DECAP_PUNT,
	GW_DECAP_DROP,
	GW_DECAP_PIECE, /* to be put together first */
	GW_DECAP_IP, /* to be judged as any packet is */
	GW_DECAP_EDGES,
};

enum { GW_DECAP_MEMO = 512, GW_DECAP_WORDS = sizeof(struct gw_sender_key) / sizeof(uint64_t) };

static_assert(GW_DECAP_WORDS * sizeof(uint64_t) == sizeof(struct gw_sender_key), "whole words");

/* What is written as words[2] of a sender, and where that has the family; VNI and port come first. */
enum { GW_DECAP_FAMILY_SHIFT = 48 };

static_assert(offsetof(struct gw_sender_key, vni) == 16 &&
		      offsetof(struct gw_sender_key, port) == 20 &&
		      offsetof(struct gw_sender_key, family) == 22,
	      "the last word, as little-endian machines have it");

/* A sender that was looked up lately: of a lcore, and true as long as the version is. */
struct gw_decap_memo {
	uint64_t words[GW_DECAP_WORDS]; /* its struct gw_sender_key */
	uint32_t version; /* gw_ways_version */
	uint16_t tunnel; /* 0: it is none */
	uint16_t pad;
};

/* What a packet says of itself. */
struct gw_arrival {
	union {
		struct gw_sender_key sender;
		uint64_t words[GW_DECAP_WORDS];
	};
	const struct rte_udp_hdr *udp;
	const uint8_t *local; /* its destination */
	uint32_t room; /* what IP has for UDP, which may be less than the frame has */
	uint8_t tos;
};

/* What differs by the family; constants where it is used. */
struct gw_decap_family {
	uint32_t size; /* of the outer headers */
	uint32_t address; /* bytes of one */
	uint32_t source_at; /* where the tunnel's own header has the address that it sends from */
	uint32_t forwards; /* flag of a device that routes it */
	/* Fills the arrival but for VNI and port; an edge other than GW_DECAP_BRIDGE is the answer.
	 * `early`: nobody has looked at the IP header. */
	uint8_t (*parse)(struct rte_mbuf *mbuf, struct gw_arrival *arrival, bool early);
	/* Of a device with an rp_filter: whether the way back to the tunnel's end is in order. */
	bool (*filter)(const struct rte_mbuf *mbuf, struct gw_tunnel *tunnel);
	/* Of a piece from a VTEP's address: whether that comes from where the packet came in. */
	bool (*takes_piece)(struct rte_mbuf *mbuf);
};

/* vxlan_decap.c: what is rare. */
extern struct gw_decap_memo gw_decap_memos[GW_WORKER_LCORES][GW_DECAP_MEMO];
uint16_t gw_decap_look_up(struct gw_decap_memo *memo, const struct gw_arrival *arrival,
			  const struct rte_hash *table);
uint16_t gw_decap_segment(const struct gw_arrival *arrival, uint32_t address, uint8_t *answer,
			  struct rte_mbuf *mbuf);
bool gw_decap_is_behind(const struct rte_mbuf *mbuf, uint16_t tunnel);

static inline uint8_t
gw_decap_because(struct rte_mbuf *mbuf, enum gw_counter reason, uint8_t edge)
{
	gw_because(mbuf, reason);
	return edge;
}

/* The UDP checksum over the pseudo header, whose addresses are in front of UDP, and the datagram. */
static inline bool
gw_decap_checksum(const struct rte_mbuf *mbuf, const struct rte_udp_hdr *udp, uint32_t addresses)
{
	const uint8_t *start = (const uint8_t *)udp - addresses;
	const uint32_t length = rte_be_to_cpu_16(udp->dgram_len);
	uint16_t sum;

	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (likely(mbuf->nb_segs == 1))
		sum = gw_sum(start, addresses + length);
	else
		sum = gw_sum_segments(mbuf, start - rte_pktmbuf_mtod(mbuf, const uint8_t *),
				      addresses + length);
	return gw_fold((uint32_t)sum + udp->dgram_len + RTE_BE16(IPPROTO_UDP)) == 0xffff;
}

/* UDP and VXLAN. */
static __rte_always_inline uint8_t
gw_decap_udp(struct rte_mbuf *mbuf, struct gw_arrival *arrival,
	     const struct gw_decap_family *family)
{
	const struct rte_udp_hdr *udp = arrival->udp;
	const struct gw_vxlan_header *vxlan = (const struct gw_vxlan_header *)(udp + 1);
	const uint32_t length = rte_be_to_cpu_16(udp->dgram_len);

	if (unlikely(!gw_is_vxlan_port(udp->dst_port)))
		return GW_DECAP_PUNT;
	if (unlikely(length < GW_VXLAN_UDP || length > arrival->room))
		return gw_decap_because(mbuf, GW_DROP_VXLAN, GW_DECAP_DROP);
	if (udp->dgram_cksum && unlikely(!gw_decap_checksum(mbuf, udp, 2 * family->address)))
		return gw_decap_because(mbuf, GW_DROP_CHECKSUM, GW_DECAP_DROP);
	// With something behind it the inner frame would be longer than it is.
	if (unlikely(length + family->size - GW_VXLAN_UDP != mbuf->pkt_len))
		return gw_decap_because(mbuf, GW_PUNT_VXLAN, GW_DECAP_PUNT);
	if (unlikely(!(vxlan->flags & RTE_BE32(GW_VXLAN_I))))
		return gw_decap_because(mbuf, GW_DROP_VXLAN, GW_DECAP_DROP);
	// As a word, for as a word it is compared at once.
	arrival->words[2] |= (vxlan->vni & RTE_BE32(GW_VXLAN_VNI)) | (uint64_t)udp->dst_port << 32;
	return GW_DECAP_BRIDGE;
}

/* What the table has for its sender; 0: nothing. Keys of gw_senders and gw_peers are never the same. */
static __rte_always_inline uint16_t
gw_decap_sender(const struct gw_arrival *arrival, struct gw_decap_memo *memos,
		const struct rte_hash *table)
{
	const uint64_t mixed = arrival->words[0] ^ arrival->words[1] ^ arrival->words[2];
	struct gw_decap_memo *memo =
		&memos[(mixed * 0x9e3779b97f4a7c15ULL) >> (64 - rte_bsf32(GW_DECAP_MEMO))];
	const uint64_t differ = (arrival->words[0] ^ memo->words[0]) |
				(arrival->words[1] ^ memo->words[1]) |
				(arrival->words[2] ^ memo->words[2]);

	if (likely(!differ && memo->version == __atomic_load_n(&gw_ways_version, __ATOMIC_ACQUIRE)))
		return memo->tunnel;
	return gw_decap_look_up(memo, arrival, table);
}

/* The outer headers off; they are still there in front of the frame. */
static __rte_always_inline uint8_t
gw_decap_strip(struct rte_mbuf *mbuf, const struct gw_arrival *arrival,
	       const struct gw_decap_family *family, uint16_t segment, uint16_t tunnel)
{
	struct gw_mark *mark = gw_mark(mbuf);

	// Longer than the headers, or it would have no room for VXLAN in its UDP.
	if (unlikely(mbuf->data_len < family->size + RTE_ETHER_HDR_LEN))
		return mbuf->nb_segs == 1 ? gw_decap_because(mbuf, GW_DROP_VXLAN, GW_DECAP_DROP) :
					    gw_decap_because(mbuf, GW_PUNT_VXLAN, GW_DECAP_PUNT);
	rte_pktmbuf_adj(mbuf, family->size);
	// That was said of the outer headers.
	mbuf->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	*gw_outer(mbuf) = family->size;
	mark->interface = gw_segments[segment].interface;
	mark->nexthop = (uint32_t)(arrival->tos & GW_ECN_MASK) << GW_ECN_SHIFT | tunnel;
	mark->reason = GW_VXLAN_DECAP;
	return GW_DECAP_BRIDGE;
}

/* One whose sender is not known, or not at that address. */
static __rte_always_inline uint8_t
gw_decap_unknown(struct rte_mbuf *mbuf, const struct gw_arrival *arrival,
		 const struct gw_decap_family *family)
{
	uint8_t answer = GW_DECAP_BRIDGE;
	const uint16_t segment = gw_decap_segment(arrival, family->address, &answer, mbuf);

	return answer == GW_DECAP_BRIDGE ? gw_decap_strip(mbuf, arrival, family, segment, 0) :
					   answer;
}

static __rte_always_inline uint8_t
gw_decap_believe(struct rte_mbuf *mbuf, const struct gw_arrival *arrival,
		 const struct gw_decap_family *family, uint16_t slot, bool early)
{
	struct gw_tunnel *tunnel = &gw_tunnels[slot];
	const uint16_t segment = __atomic_load_n(&tunnel->segment, __ATOMIC_ACQUIRE);
	const uint32_t flags = gw_interfaces[gw_mark(mbuf)->interface].flags;
	const bool exact =
		!memcmp(&tunnel->header[family->source_at], arrival->local, family->address);

	// A tunnel without an address of its own takes what is for any of ours.
	if (unlikely(!slot || !segment || (!exact && !(tunnel->flags & GW_TUNNEL_KERNEL))))
		return early ? GW_DECAP_IP : gw_decap_unknown(mbuf, arrival, family);
	if (early && unlikely(!exact || (flags & GW_IF_RP_FILTER && !family->filter(mbuf, tunnel))))
		return GW_DECAP_IP;
	// A host of a bridge may claim any source address: there a VTEP is one that is answered by it.
	if (unlikely(flags & GW_IF_BRIDGE) &&
	    !(gw_segments[segment].flags & GW_SEGMENT_ANY_SOURCE) &&
	    !gw_decap_is_behind(mbuf, slot))
		return gw_decap_because(mbuf, GW_DROP_VTEP, GW_DECAP_DROP);
	return gw_decap_strip(mbuf, arrival, family, segment, slot);
}

static __rte_always_inline uint8_t
gw_decap_judge(struct rte_mbuf *mbuf, const struct gw_decap_family *family,
	       struct gw_decap_memo *memos, bool early)
{
	struct gw_arrival arrival;
	uint8_t edge = family->parse(mbuf, &arrival, early);
	uint16_t tunnel;

	// Others' pieces are none of our business; the sender's address is all of the key by now.
	if (edge == GW_DECAP_PIECE &&
	    (!gw_decap_sender(&arrival, memos, gw_peers) || !family->takes_piece(mbuf)))
		return GW_DECAP_PUNT;
	if (unlikely(edge != GW_DECAP_BRIDGE))
		return edge;
	edge = gw_decap_udp(mbuf, &arrival, family);
	if (unlikely(edge != GW_DECAP_BRIDGE))
		return edge;
	tunnel = gw_decap_sender(&arrival, memos, gw_senders);
	return gw_decap_believe(mbuf, &arrival, family, tunnel, early);
}

static __rte_always_inline uint8_t
gw_decap_one(struct rte_mbuf *mbuf, const struct gw_decap_family *family,
	     struct gw_decap_memo *memos)
{
	uint8_t edge;

	if (unlikely(gw_mark(mbuf)->reason != GW_VXLAN_DECAP))
		return gw_decap_judge(mbuf, family, memos, false);
	edge = gw_decap_judge(mbuf, family, memos, true);
	if (likely(edge == GW_DECAP_BRIDGE))
		return edge;
	// Who puts pieces together looks first whether they are for this host.
	if (gw_interfaces[gw_mark(mbuf)->interface].flags & family->forwards)
		return edge == GW_DECAP_PIECE ? GW_DECAP_PIECE : GW_DECAP_IP;
	gw_because(mbuf, GW_PUNT_NOT_FORWARDING);
	return gw_decap_judge(mbuf, family, memos, false);
}

static __rte_always_inline uint16_t
gw_decap_burst(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count,
	       const struct gw_decap_family *family)
{
	struct gw_decap_memo *memos = gw_decap_memos[gw_node_lcore(node)->index];
	uint8_t next[GW_BURST];
	int mixed = 0;

	for (uint16_t i = 0; i < count; i++) {
		// Where the inner frame goes on.
		if (likely(i + GW_AHEAD < count))
			rte_prefetch0(rte_pktmbuf_mtod_offset((struct rte_mbuf *)objs[i + GW_AHEAD],
							      void *, RTE_CACHE_LINE_SIZE));
		next[i] = gw_decap_one(objs[i], family, memos);
		mixed |= next[i] ^ next[0];
	}
	gw_node_send(graph, node, objs, next, count, mixed);
	return count;
}

#endif
