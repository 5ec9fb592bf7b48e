/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv6: is the header sound, and what does the FIB say? */
#include <rte_ip.h>

#include "../compat.h"
#include "../fib.h"
#include "../neighbour.h"
#include "ip_next.h"

enum { HOP_BY_HOP = 0 };

// -1: to be looked up; else why it is the kernel's.
static inline int
refuses(const struct rte_mbuf *mbuf, const uint8_t *ip)
{
	const struct rte_ipv6_hdr *header = (const struct rte_ipv6_hdr *)ip;
	const uint8_t *source = ip + offsetof(struct rte_ipv6_hdr, src_addr);
	const uint8_t *destination = ip + offsetof(struct rte_ipv6_hdr, dst_addr);

	// The header is in the first segment; a jumbo frame has more of them.
	if (unlikely(rte_pktmbuf_data_len(mbuf) < RTE_ETHER_HDR_LEN + sizeof(*header)))
		return GW_PUNT_MALFORMED;
	if (unlikely(ip[0] >> 4 != 6 ||
		     rte_pktmbuf_pkt_len(mbuf) < RTE_ETHER_HDR_LEN + sizeof(*header) +
							 rte_be_to_cpu_16(header->payload_len)))
		return GW_PUNT_MALFORMED;
	// RFC 8200 section 4.3: the one extension header that routers on the way look at.
	if (unlikely(header->proto == HOP_BY_HOP))
		return GW_PUNT_OPTIONS;
	if (unlikely(destination[0] == 0xff))
		return GW_PUNT_MULTICAST;
	// fe80::/10, never forwarded (RFC 4291 section 2.5.6).
	if (unlikely((destination[0] == 0xfe && (destination[1] & 0xc0) == 0x80) ||
		     (source[0] == 0xfe && (source[1] & 0xc0) == 0x80)))
		return GW_PUNT_LINK_LOCAL;
	// Groups, and ::/8 with unspecified, loopback and IPv4-mapped addresses.
	if (unlikely(source[0] == 0xff || source[0] == 0))
		return GW_PUNT_SOURCE;
	return -1;
}

// Kernel: net.ipv6.fib_multipath_hash_policy 0, addresses and flow label.
static uint32_t
flow(struct rte_mbuf *mbuf)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, RTE_ETHER_HDR_LEN);
	uint32_t label;

	memcpy(&label, ip, sizeof(label));
	label &= RTE_BE32(0x000fffff);
	return rte_hash_crc_4byte(label, gw_flow_hash(ip + 8, 16, ip + 24));
}

static void
neighbours(struct rte_mbuf **mbufs, const uint64_t *nexthops, uint32_t *found, uint16_t count)
{
	struct gw_neighbour6_key keys[RTE_HASH_LOOKUP_BULK_MAX];
	const void *pointers[RTE_HASH_LOOKUP_BULK_MAX];
	void *data[RTE_HASH_LOOKUP_BULK_MAX];
	uint64_t hits = 0;

	for (uint16_t i = 0; i < count; i++) {
		memcpy(keys[i].address,
		       rte_pktmbuf_mtod_offset(mbufs[i], const uint8_t *, RTE_ETHER_HDR_LEN + 24),
		       sizeof(keys[i].address));
		keys[i].interface = gw_nexthops[nexthops[i]].interface;
		pointers[i] = &keys[i];
	}
	rte_hash_lookup_bulk_data(gw_neighbours6, pointers, count, &hits, data);
	for (uint16_t i = 0; i < count; i++)
		found[i] = hits >> i & 1 ? (uint32_t)(uintptr_t)data[i] : GW_NEXTHOP_NONE;
}

static uint16_t
ip6_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	gw_ip6_address addresses[GW_BURST];
	uint64_t nexthops[GW_BURST];
	uint8_t next[GW_BURST], refused[GW_BURST];
	struct gw_ip_burst burst = {flow, neighbours, nexthops, next};

	// No node is called with nothing; gcc 14 does not know, and sees what nobody has set.
	if (count == 0)
		__builtin_unreachable();
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = objs[i];
		const uint8_t *ip =
			rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, RTE_ETHER_HDR_LEN);
		int reason = refuses(mbuf, ip);

		if (likely(i + GW_AHEAD < count))
			rte_prefetch0(
				rte_pktmbuf_mtod((struct rte_mbuf *)objs[i + GW_AHEAD], void *));
		refused[i] = reason >= 0;
		if (unlikely(reason >= 0))
			gw_because(mbuf, reason);
		// In a frame that is too short this reads its tail room; nobody looks at the answer.
		memcpy(&addresses[i], ip + offsetof(struct rte_ipv6_hdr, dst_addr),
		       sizeof(addresses[i]));
	}
	rte_fib6_lookup_bulk(gw_fib6, addresses, nexthops, count);
	for (uint16_t i = 0; i < count; i++) {
		if (unlikely(refused[i]))
			nexthops[i] = GW_NEXTHOP_REFUSED;
		rte_prefetch0(&gw_nexthops[nexthops[i]]);
	}
	gw_node_send(graph, node, objs, next, count, gw_ip_next(&burst, objs, count));
	return count;
}

static struct rte_node_register registration = {
	.name = "ip6-lookup",
	.process = ip6_lookup,
	.init = gw_node_init,
	.nb_edges = GW_IP_EDGES,
	.next_nodes =
		{
			[GW_IP_REWRITE] = "ip6-rewrite",
			[GW_IP_PUNT] = "punt",
			[GW_IP_DROP] = "drop",
			[GW_IP_VXLAN] = "vxlan6-decap",
		},
};
RTE_NODE_REGISTER(registration)
