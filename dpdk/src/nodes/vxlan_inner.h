/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the outer headers take over from the frame inside: a hash of its flow, DSCP and ECN, DF. */
#ifndef GW_VXLAN_INNER_H
#define GW_VXLAN_INNER_H

#include <rte_hash_crc.h>
#include <rte_mbuf.h>

#include "vxlan_header.h"

struct gw_inner {
	uint32_t hash; /* of the flow; the fragments of one packet have the same */
	uint8_t tos; /* DSCP and ECN; 0 for what is not IP */
	uint8_t ttl; /* 0 for what is not IP */
	uint8_t dont_fragment;
	uint8_t pad;
};

static inline bool
gw_has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* CRC is linear, and takes a difference in one bit to a few; the port range takes the upper ones. */
static inline uint32_t
gw_inner_mix(uint32_t hash)
{
	return hash * 0x9e3779b1U;
}

static inline void
gw_inner_ip4(const struct rte_ipv4_hdr *ip, uint32_t room, struct gw_inner *inner)
{
	const rte_be16_t fragment = RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
	uint32_t ports = 0;
	uint64_t addresses;

	inner->tos = ip->type_of_service;
	inner->ttl = ip->time_to_live;
	inner->dont_fragment = !!(ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG));
	if (likely(ip->version_ihl == 0x45) && gw_has_ports(ip->next_proto_id) &&
	    !(ip->fragment_offset & fragment) && room >= sizeof(*ip) + sizeof(ports))
		memcpy(&ports, ip + 1, sizeof(ports));
	memcpy(&addresses, &ip->src_addr, sizeof(addresses));
	inner->hash = rte_hash_crc_8byte(addresses, ip->next_proto_id);
	inner->hash = gw_inner_mix(rte_hash_crc_4byte(ports, inner->hash));
}

static inline void
gw_inner_ip6(const struct rte_ipv6_hdr *ip, uint32_t room, struct gw_inner *inner)
{
	uint32_t ports = 0, hash = ip->proto;
	uint64_t words[4];

	inner->tos = gw_ip6_class(ip);
	inner->ttl = ip->hop_limits;
	// Routers do not cut it (RFC 8200 section 5); `df inherit` of the kernel's takes it for DF.
	inner->dont_fragment = 1;
	if (gw_has_ports(ip->proto) && room >= sizeof(*ip) + sizeof(ports))
		memcpy(&ports, ip + 1, sizeof(ports));
	memcpy(words, (const uint8_t *)ip + offsetof(struct rte_ipv6_hdr, src_addr), sizeof(words));
	for (int i = 0; i < 4; i++)
		hash = rte_hash_crc_8byte(words[i], hash);
	inner->hash = gw_inner_mix(rte_hash_crc_4byte(ports, hash));
}

/* Of a frame with at least an Ethernet header; one that is shorter than its IP header is hashed by
 * its MAC addresses. */
static inline void
gw_inner_read(const struct rte_mbuf *mbuf, struct gw_inner *inner)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const uint32_t room = rte_pktmbuf_data_len(mbuf) - RTE_ETHER_HDR_LEN;
	uint64_t head;

	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
	    room >= sizeof(struct rte_ipv4_hdr)) {
		gw_inner_ip4((const struct rte_ipv4_hdr *)(ether + 1), room, inner);
		return;
	}
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
	    room >= sizeof(struct rte_ipv6_hdr)) {
		gw_inner_ip6((const struct rte_ipv6_hdr *)(ether + 1), room, inner);
		return;
	}
	memcpy(&head, ether, sizeof(head));
	inner->hash = gw_inner_mix(rte_hash_crc_8byte(head, 0));
	memcpy(&head, (const uint8_t *)ether + RTE_ETHER_HDR_LEN - sizeof(head), sizeof(head));
	inner->hash = gw_inner_mix(rte_hash_crc_8byte(head, inner->hash));
	inner->tos = inner->ttl = inner->dont_fragment = 0;
}

#endif
