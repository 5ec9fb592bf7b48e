/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames for groups that go to everybody even where the bridge knows who listens (RFC 4541 sections
 * 2.1.2 and 3): broadcast, IPv4's groups of one link, IPv6's all nodes. Solicited-node groups are
 * among them, so that nobody's neighbour discovery depends on what the bridge has seen of MLD.
 * What it looks into itself (IGMP, PIM, MLD behind its hop-by-hop header) is not, and neither is what
 * such a bridge drops, for it does not make sense.
 */
#ifndef GW_GROUP_H
#define GW_GROUP_H

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

// 224.0.0.0/24; options may be a router alert.
static inline bool
gw_group_is_link4(const struct rte_ipv4_hdr *ip, uint32_t room)
{
	uint32_t length;

	if (room < sizeof(*ip) || ip->version_ihl != RTE_IPV4_VHL_DEF)
		return false;
	length = rte_be_to_cpu_16(ip->total_length);
	if (length < sizeof(*ip) || length > room)
		return false;
	return (ip->dst_addr & RTE_BE32(0xffffff00)) == RTE_BE32(RTE_IPV4(224, 0, 0, 0)) &&
	       ip->next_proto_id != IPPROTO_IGMP && ip->next_proto_id != IPPROTO_PIM;
}

static inline bool
gw_group_is_link6(const struct rte_ipv6_hdr *ip, uint32_t room)
{
	static const uint8_t nodes[16] = {0xff, 0x02, [15] = 1};
	static const uint8_t solicited[13] = {0xff, 0x02, [11] = 1, [12] = 0xff};
	uint32_t length;

	if (room < sizeof(*ip) || *(const uint8_t *)ip >> 4 != 6 || ip->proto == IPPROTO_HOPOPTS)
		return false;
	length = rte_be_to_cpu_16(ip->payload_len);
	if (!length || length > room - sizeof(*ip))
		return false;
	return !memcmp(&ip->dst_addr, nodes, sizeof(nodes)) ||
	       !memcmp(&ip->dst_addr, solicited, sizeof(solicited));
}

/* Of a frame that is for a group, without a VLAN tag. */
static inline bool
gw_group_is_everybody(const struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const uint32_t room = rte_pktmbuf_data_len(mbuf) - RTE_ETHER_HDR_LEN;
	const void *ip = ether + 1;

	if (rte_is_broadcast_ether_addr(&ether->dst_addr))
		return true;
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return gw_group_is_link4(ip, room);
	return ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && gw_group_is_link6(ip, room);
}

#endif
