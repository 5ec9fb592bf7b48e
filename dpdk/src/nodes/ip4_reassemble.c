/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4: pieces of UDP packets from VTEPs (RFC 791 section 3.2). */
#include "../fib.h"
#include "ip_reassemble.h"

static const uint8_t PLAIN = 0x45; /* version 4, no options */

static bool
read_piece(const struct rte_mbuf *mbuf, struct gw_piece *piece)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	const uint32_t room = rte_pktmbuf_data_len(mbuf);
	uint16_t place, length;

	if (room < RTE_ETHER_HDR_LEN + sizeof(*ip) || ip->version_ihl != PLAIN ||
	    ip->next_proto_id != IPPROTO_UDP)
		return false;
	length = rte_be_to_cpu_16(ip->total_length);
	if (length < sizeof(*ip) || length > room - RTE_ETHER_HDR_LEN ||
	    rte_raw_cksum(ip, sizeof(*ip)) != 0xffff)
		return false;
	memset(&piece->key, 0, sizeof(piece->key));
	memcpy(piece->key.source, &ip->src_addr, sizeof(ip->src_addr));
	memcpy(piece->key.destination, &ip->dst_addr, sizeof(ip->dst_addr));
	piece->key.identification = ip->packet_id;
	piece->key.family = 4;
	piece->key.protocol = ip->next_proto_id;
	place = rte_be_to_cpu_16(ip->fragment_offset);
	piece->offset = (place & RTE_IPV4_HDR_OFFSET_MASK) * RTE_IPV4_HDR_OFFSET_UNITS;
	piece->more = place & RTE_IPV4_HDR_MF_FLAG;
	piece->length = length - sizeof(*ip);
	piece->headers = RTE_ETHER_HDR_LEN + sizeof(*ip);
	piece->ecn = ip->type_of_service & GW_ECN_MASK;
	return true;
}

static void
mend(struct rte_mbuf *mbuf, uint32_t length, bool congested)
{
	struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	ip->total_length = rte_cpu_to_be_16(sizeof(*ip) + length);
	ip->fragment_offset = 0;
	if (congested)
		ip->type_of_service |= GW_ECN_CE;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

static bool
is_ours(const uint8_t *address)
{
	uint32_t word;

	memcpy(&word, address, sizeof(word));
	return !__atomic_load_n(&gw_fib4_closed, __ATOMIC_ACQUIRE) &&
	       gw_fib4_find(rte_be_to_cpu_32(word)) == GW_NEXTHOP_LOCAL;
}

static uint16_t
ip4_reassemble(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	static struct gw_reassemble_memo memos[GW_WORKER_LCORES];
	static const struct gw_reassemble_family family = {
		.read = read_piece,
		.is_ours = is_ours,
		.mend = mend,
		.memos = memos,
	};

	return gw_reassemble_burst(graph, node, objs, count, &family);
}

static struct rte_node_register registration = {
	.name = "ip4-reassemble",
	.process = ip4_reassemble,
	.init = gw_node_init,
	.nb_edges = GW_REASSEMBLE_EDGES,
	.next_nodes =
		{
			[GW_REASSEMBLE_DECAP] = "vxlan4-decap",
			[GW_REASSEMBLE_PUNT] = "punt",
			[GW_REASSEMBLE_IP] = "ip4-lookup",
		},
};
RTE_NODE_REGISTER(registration)
