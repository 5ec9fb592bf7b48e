/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv6: pieces of UDP packets from VTEPs (RFC 8200 section 4.5). */
#include "../fib.h"
#include "ip_fragment.h"
#include "ip_reassemble.h"

enum { OFFSET_MASK = 0xfff8 };

/* A frame whose headers are nothing but these. */
struct headers {
	struct rte_ether_hdr ether;
	struct rte_ipv6_hdr ip;
	struct gw_fragment6 fragment;
} __rte_packed __rte_aligned(2);

static bool
read_piece(const struct rte_mbuf *mbuf, struct gw_piece *piece)
{
	const struct headers *headers = rte_pktmbuf_mtod(mbuf, const struct headers *);
	const uint32_t room = rte_pktmbuf_data_len(mbuf);
	uint16_t place, length;

	if (room < sizeof(*headers) || headers->ip.proto != GW_NEXT_FRAGMENT ||
	    headers->fragment.next != IPPROTO_UDP)
		return false;
	length = rte_be_to_cpu_16(headers->ip.payload_len);
	if (length < sizeof(headers->fragment) ||
	    length > room - (sizeof(*headers) - sizeof(headers->fragment)))
		return false;
	memset(&piece->key, 0, sizeof(piece->key));
	memcpy(piece->key.source, &headers->ip.src_addr, sizeof(piece->key.source));
	memcpy(piece->key.destination, &headers->ip.dst_addr, sizeof(piece->key.destination));
	piece->key.identification = headers->fragment.identification;
	piece->key.family = 6;
	piece->key.protocol = headers->fragment.next;
	place = rte_be_to_cpu_16(headers->fragment.offset);
	piece->offset = place & OFFSET_MASK;
	piece->more = place & GW_FRAGMENT6_MORE;
	piece->length = length - sizeof(headers->fragment);
	piece->headers = sizeof(*headers);
	piece->ecn = gw_ip6_class(&headers->ip) & GW_ECN_MASK;
	return true;
}

// What is in front of the fragment header takes its place.
static void
mend(struct rte_mbuf *mbuf, uint32_t length, bool congested)
{
	struct headers *headers = rte_pktmbuf_mtod(mbuf, struct headers *);

	headers->ip.proto = headers->fragment.next;
	headers->ip.payload_len = rte_cpu_to_be_16(length);
	if (congested)
		headers->ip.vtc_flow |= rte_cpu_to_be_32(GW_ECN_CE << GW_IP6_CLASS_SHIFT);
	memmove((char *)headers + sizeof(headers->fragment), headers,
		sizeof(*headers) - sizeof(headers->fragment));
	rte_pktmbuf_adj(mbuf, sizeof(headers->fragment));
}

static bool
is_ours(const uint8_t *address)
{
	return !__atomic_load_n(&gw_fib6_closed, __ATOMIC_ACQUIRE) &&
	       gw_fib6_find(address) == GW_NEXTHOP_LOCAL;
}

static uint16_t
ip6_reassemble(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
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
	.name = "ip6-reassemble",
	.process = ip6_reassemble,
	.init = gw_node_init,
	.nb_edges = GW_REASSEMBLE_EDGES,
	.next_nodes =
		{
			[GW_REASSEMBLE_DECAP] = "vxlan6-decap",
			[GW_REASSEMBLE_PUNT] = "punt",
			[GW_REASSEMBLE_IP] = "ip6-lookup",
		},
};
RTE_NODE_REGISTER(registration)
