/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4: is the header sound (RFC 1812 section 5.2.2), and what does the FIB say? */
#include "../neighbour.h"
#include "ip4_header.h"
#include "ip4_source.h"
#include "ip_next.h"

// The destination, or 0 for what is the kernel's; then the mark has the reason.
static inline uint32_t
destination(struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	if (unlikely(!gw_ip4_sound(mbuf, ip))) {
		gw_because(mbuf, GW_PUNT_MALFORMED);
		return 0;
	}
	if (unlikely(ip->version_ihl != 0x45)) {
		gw_because(mbuf, GW_PUNT_OPTIONS);
		return 0;
	}
	if (gw_ip4_is_odd(rte_be_to_cpu_32(ip->src_addr))) {
		gw_because(mbuf, GW_PUNT_SOURCE);
		return 0;
	}

	uint32_t address = rte_be_to_cpu_32(ip->dst_addr);

	if (unlikely(address >= GW_IP4_GROUPS || address == 0)) {
		gw_because(mbuf, address ? GW_PUNT_MULTICAST : GW_PUNT_LOCAL);
		return 0;
	}
	return address;
}

// Kernel: net.ipv4.fib_multipath_hash_policy 0, the addresses.
static uint32_t
flow(struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	return gw_flow_hash(&ip->src_addr, sizeof(ip->src_addr), &ip->dst_addr);
}

static void
neighbours(struct rte_mbuf **mbufs, const uint64_t *nexthops, uint32_t *found, uint16_t count)
{
	struct gw_neighbour4_key keys[RTE_HASH_LOOKUP_BULK_MAX];
	const void *pointers[RTE_HASH_LOOKUP_BULK_MAX];
	void *data[RTE_HASH_LOOKUP_BULK_MAX];
	uint64_t hits = 0;

	for (uint16_t i = 0; i < count; i++) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(
			mbufs[i], const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

		keys[i].address = ip->dst_addr;
		keys[i].interface = gw_nexthops[nexthops[i]].interface;
		pointers[i] = &keys[i];
	}
	rte_hash_lookup_bulk_data(gw_neighbours4, pointers, count, &hits, data);
	for (uint16_t i = 0; i < count; i++)
		found[i] = hits >> i & 1 ? (uint32_t)(uintptr_t)data[i] : GW_NEXTHOP_NONE;
}

// RFC 3704, as the kernel's rp_filter.
static __rte_noinline void
filter_sources(struct rte_mbuf **mbufs, uint32_t *addresses, uint16_t count)
{
	uint32_t sources[GW_BURST];
	uint64_t nexthops[GW_BURST];

	for (uint16_t i = 0; i < count; i++) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(
			mbufs[i], const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

		sources[i] = addresses[i] ? rte_be_to_cpu_32(ip->src_addr) : 0;
	}
	rte_fib_lookup_bulk(gw_fib4, sources, nexthops, count);
	for (uint16_t i = 0; i < count; i++) {
		const uint16_t interface = gw_mark(mbufs[i])->interface;
		const uint32_t flags = gw_interfaces[interface].flags;

		if (!addresses[i] || !(flags & GW_IF_RP_FILTER) ||
		    gw_ip4_way_back(&gw_nexthops[nexthops[i]], interface, flags & GW_IF_RP_STRICT))
			continue;
		gw_because(mbufs[i], GW_PUNT_RP_FILTER);
		addresses[i] = 0;
	}
}

// All frames of a burst came in by one device, but for those out of tunnels.
static inline bool
filters(struct rte_mbuf **mbufs, uint16_t count)
{
	const uint16_t interface = gw_mark(mbufs[0])->interface;
	uint32_t flags = gw_interfaces[interface].flags;

	if (unlikely(*gw_outer(mbufs[0]) | *gw_outer(mbufs[count - 1])))
		for (uint16_t i = 1; i < count; i++)
			flags |= gw_interfaces[gw_mark(mbufs[i])->interface].flags;
	return flags & GW_IF_RP_FILTER;
}

static uint16_t
ip4_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	uint32_t addresses[GW_BURST];
	uint64_t nexthops[GW_BURST];
	uint8_t next[GW_BURST];
	struct gw_ip_burst burst = {flow, neighbours, nexthops, next};

	for (uint16_t i = 0; i < count; i++) {
		if (likely(i + GW_AHEAD < count))
			rte_prefetch0(
				rte_pktmbuf_mtod((struct rte_mbuf *)objs[i + GW_AHEAD], void *));
		addresses[i] = destination(objs[i]);
	}
	if (filters((struct rte_mbuf **)objs, count))
		filter_sources((struct rte_mbuf **)objs, addresses, count);
	rte_fib_lookup_bulk(gw_fib4, addresses, nexthops, count);
	for (uint16_t i = 0; i < count; i++) {
		// What was refused above keeps its reason, whatever the table has for 0.0.0.0.
		if (unlikely(addresses[i] == 0))
			nexthops[i] = GW_NEXTHOP_REFUSED;
		rte_prefetch0(&gw_nexthops[nexthops[i]]);
	}
	gw_node_send(graph, node, objs, next, count, gw_ip_next(&burst, objs, count));
	return count;
}

static struct rte_node_register registration = {
	.name = "ip4-lookup",
	.process = ip4_lookup,
	.init = gw_node_init,
	.nb_edges = GW_IP_EDGES,
	.next_nodes =
		{
			[GW_IP_REWRITE] = "ip4-rewrite",
			[GW_IP_PUNT] = "punt",
			[GW_IP_DROP] = "drop",
			[GW_IP_VXLAN] = "vxlan4-decap",
		},
};
RTE_NODE_REGISTER(registration)
