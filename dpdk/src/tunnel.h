/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VXLAN (RFC 7348): segments, that is one VNI of one VXLAN device of the kernel in one bridge, and
 * tunnels, one for each VTEP of a segment. The mirror writes, the data path reads; what is freed is
 * used again after a grace period.
 */
#ifndef GW_TUNNEL_H
#define GW_TUNNEL_H

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_hash.h>

enum gw_tunnel_limits {
	GW_SEGMENTS = 256, /* slot 0 is none */
	GW_SEGMENT_OF_KERNEL =
		0, /* of an arrival: the kernel has such a VNI, and takes the packet */
	GW_TUNNELS_MAX = 32768, /* of all segments together */
	GW_TUNNEL_HEADER = 80, /* Ethernet, IPv6, UDP, VXLAN: 70 */
	GW_FLOOD_MAX = 1024, /* VTEPs of one segment that get what is flooded */
};

enum gw_segment_flags {
	GW_SEGMENT_ANY_SOURCE = 1, /* every sender is believed */
	GW_SEGMENT_LEARNS = 2, /* inner sources that the FDB does not have there are the kernel's */
	GW_SEGMENT_FRAGMENT = 4, /* what does not fit the underlay is cut */
	GW_SEGMENT_SUPPRESS = 8, /* ARP and ND are answered from what is known (neigh_suppress) */
	GW_SEGMENT_CHECKSUM = 16, /* a real UDP checksum */
	GW_SEGMENT_TTL_INHERIT = 32,
	GW_SEGMENT_TOS_INHERIT = 64, /* DSCP of the inner packet; ECN always follows RFC 6040 */
	GW_SEGMENT_DF = 128,
	GW_SEGMENT_DF_INHERIT = 256,
	/* The bridge's other ports are all ours. Whether VTEPs can be sent to is said by the flood
	 * list alone: a reader takes flags and list at different times. */
	GW_SEGMENT_FLOODS = 512,
	GW_SEGMENT_HEARS = 1024, /* and the host hears it by the TAP `heard` */
};

/* Who gets what is flooded: as a whole, under RCU. */
struct gw_flood {
	uint32_t count;
	uint16_t tunnels[GW_FLOOD_MAX];
};

struct gw_segment {
	uint16_t flags; /* enum gw_segment_flags */
	uint16_t interface; /* slot of the VXLAN device; 0: the segment is free */
	uint16_t bridge; /* slot of its bridge */
	uint16_t ports; /* how many UDP source ports, from `first_port` */
	uint16_t first_port; /* host order */
	uint16_t mtu; /* of the VXLAN device: largest inner packet without Ethernet header */
	rte_be32_t vni; /* as in the header: 24 bits and a reserved byte, which is 0 */
	const struct gw_flood *flood; /* NULL: the kernel floods; nobody on it is a list as well */
	uint32_t ifindex; /* of the VXLAN device */
	uint8_t family; /* 4 or 6 */
	uint8_t pad[3];
	uint32_t link; /* ifindex of the device that outer packets are bound to; 0: none */
	uint32_t heard; /* id of the TAP by which the bridge hears what is flooded, see heard.h */
	uint8_t spare[24];
} __rte_cache_aligned;

static_assert(sizeof(struct gw_segment) == 64, "one cache line");

/*
 * Where a tunnel's packets go, as the FIB said when its version was `version`: an index of
 * gw_nexthops, of kind CONNECTED only while the neighbour is not known, and the MTU of the route,
 * which may be less than that of the next hop. Lcores write it as one word.
 */
union gw_tunnel_way {
	struct {
		uint32_t version;
		uint16_t nexthop;
		uint16_t mtu; /* of a group: not told, look at the member */
	};
	uint64_t word;
};

struct gw_tunnel {
	union gw_tunnel_way way;
	uint16_t segment; /* 0: the tunnel is free */
	uint8_t flags; /* enum gw_tunnel_flags */
	uint8_t length; /* of `header` that is sent: 50 or 70 bytes */
	uint32_t pad;
	/* Ethernet header (addresses zero), IPv4 or IPv6, UDP (source port, length, checksum zero),
	 * VXLAN: complete but for lengths, checksums, source port, identification, and what is
	 * inherited. With IPv4, the checksum is that of this header as it is here. */
	uint8_t header[GW_TUNNEL_HEADER];
	uint8_t spare[32];
} __rte_cache_aligned;

static_assert(sizeof(struct gw_tunnel) == 128, "two cache lines");

enum gw_tunnel_flags {
	GW_TUNNEL_SENDS = 1, /* it may send to us: in gw_senders */
	GW_TUNNEL_KERNEL = 2, /* sending to it is the kernel's: it has no local address */
};

/* Who sends: what arrives is looked up once, and is believed if this is found. */
struct gw_sender_key {
	uint8_t remote[16]; /* IPv4: the first four bytes, others zero */
	rte_be32_t vni; /* as in struct gw_segment */
	rte_be16_t port; /* UDP destination */
	uint8_t family; /* 4 or 6 */
	uint8_t pad;
};

/* Which segment a packet is for whose sender is not known: one address of ours, or any. The data is
 * a slot of gw_segments, or GW_SEGMENT_OF_KERNEL. */
struct gw_arrival_key {
	uint8_t local[16]; /* zero: whichever is ours */
	rte_be32_t vni;
	rte_be16_t port;
	uint8_t family;
	uint8_t pad;
};

/* A bridge's known IP addresses with their MAC address, for answers to ARP and ND. */
struct gw_binding_key {
	uint8_t address[16];
	uint16_t bridge; /* slot */
	uint8_t family;
	uint8_t pad;
};

/* The data of the hash, as a word. */
union gw_binding {
	struct {
		struct rte_ether_addr mac;
		uint8_t router; /* NTF_ROUTER */
		uint8_t valid; /* 1 */
	};
	uint64_t word;
};

static_assert(sizeof(union gw_binding) == sizeof(void *), "fits the hash's data");

extern struct gw_segment gw_segments[GW_SEGMENTS];
extern struct gw_tunnel *gw_tunnels; /* as many as the options say, and slot 0, which is none */
extern struct rte_hash *gw_senders; /* to a tunnel's slot */
extern struct rte_hash *gw_arrivals; /* to a segment's slot */
extern struct rte_hash
	*gw_peers; /* address and family alone (a sender key, the rest zero): counts */
extern struct rte_hash *gw_bindings; /* to a union gw_binding's word */

/* UDP destination ports that segments have, 0: none; at most as many as XDP takes. */
enum { GW_VXLAN_PORTS = 4 };
extern rte_be16_t gw_vxlan_ports[GW_VXLAN_PORTS];
/* Segments there are; 0: nothing that is addressed to this host has to be looked into. */
extern uint32_t gw_segment_count;

/* 0 tunnels: no tables, and no memory for them. */
int gw_tunnels_create(uint32_t tunnels, uint32_t bindings);
void gw_tunnels_destroy(void);
uint64_t gw_tunnels_bytes(uint32_t tunnels, uint32_t bindings);

/* The calls below are the mirror's; -ENOSPC with a sentence when there is no room. */

/* A free slot, which stays free for readers until its `segment` is set. */
int gw_tunnel_new(void);
/* Out of gw_senders first, by whoever put it there. Free after a grace period, which this waits for. */
void gw_tunnels_free(const uint16_t *slots, uint32_t count);
int gw_sender_set(const struct gw_sender_key *key, uint16_t tunnel);
void gw_sender_delete(const struct gw_sender_key *key);
int gw_arrival_set(const struct gw_arrival_key *key, uint16_t segment);
void gw_arrival_delete(const struct gw_arrival_key *key);
int gw_binding_set(const struct gw_binding_key *key, union gw_binding binding);
void gw_binding_delete(const struct gw_binding_key *key);
/* Replaces the flood list, and frees the one before after a grace period. `tunnels` NULL: the kernel
 * floods; a list without any is one. */
int gw_flood_set(uint16_t segment, const uint16_t *tunnels, uint32_t count);

#endif
