/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ARP requests and neighbour solicitations from a bridge's ports, answered for stations behind VTEPs
 * (RFC 9161 section 3) as the kernel's bridge does with neigh_suppress. Whom nobody is known to be,
 * and whoever asks for itself, gets no answer: the question goes on as if this node were not there.
 */
#include <rte_hash.h>

#include "../fdb.h"
#include "../tunnel.h"
#include "arp.h"
#include "nd.h"
#include "node.h"

enum edge { EDGE_TX, EDGE_PUNT, EDGES };

/* A question that makes sense: who wants to know whose MAC address. */
struct question {
	struct gw_binding_key key;
	struct rte_ether_addr asker; /* to whom the answer goes */
};

static inline const struct gw_fdb_entry *
station(const struct rte_ether_addr *mac, uint16_t bridge)
{
	const struct gw_fdb_key key = {.mac = *mac, .bridge = bridge};
	const int32_t place = rte_hash_lookup(gw_fdb, &key);

	return place < 0 ? NULL : &gw_fdb_entries[place];
}

// The kernel learns where stations are: it has to see those that it does not know there.
static inline bool
is_known(struct rte_mbuf *mbuf, uint16_t bridge, uint32_t now)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	struct gw_fdb_entry *source = (struct gw_fdb_entry *)station(&ether->src_addr, bridge);
	union gw_fdb_place place;

	if (!source)
		return false;
	place = gw_fdb_place(source);
	if (place.port != gw_mark(mbuf)->from || place.flags & GW_FDB_TUNNEL)
		return false;
	if (source->seen != now)
		source->seen = now;
	return true;
}

// The one whose address it is; false: nobody that is known to be behind a VTEP, or the asker.
static inline bool
binding_of(const struct question *question, union gw_binding *binding)
{
	const struct gw_fdb_entry *place;
	void *data;

	if (rte_hash_lookup_data(gw_bindings, &question->key, &data) < 0)
		return false;
	binding->word = (uint64_t)(uintptr_t)data;
	if (!binding->valid || rte_is_same_ether_addr(&binding->mac, &question->asker))
		return false;
	place = station(&binding->mac, question->key.bridge);
	return place && gw_fdb_place(place).flags & GW_FDB_TUNNEL;
}

// Whether the frame has become the answer.
static inline bool
answer(struct rte_mbuf *mbuf, uint32_t now)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const bool is_arp = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP);
	const uint16_t bridge = gw_interfaces[gw_mark(mbuf)->interface].master;
	struct question question = {.key = {.bridge = bridge, .family = is_arp ? 4 : 6}};
	union gw_binding binding;

	if (unlikely(mbuf->nb_segs > 1 || !(gw_interfaces[bridge].flags & GW_IF_UP)))
		return false;
	if (!(is_arp ? gw_arp_read(mbuf, question.key.address, &question.asker) :
		       gw_nd_read(mbuf, question.key.address, &question.asker)))
		return false;
	if (!is_known(mbuf, bridge, now) || !binding_of(&question, &binding))
		return false;
	if (!is_arp && !gw_nd_answer(mbuf, &question.asker, &binding.mac, binding.router))
		return false;
	if (is_arp)
		gw_arp_answer(mbuf, &binding.mac);
	mbuf->port = gw_mark(mbuf)->from;
	gw_because(mbuf, is_arp ? GW_ANSWERED_ARP : GW_ANSWERED_ND);
	return true;
}

/* Frames with a group's MAC address from ports of bridges; those that are no questions pass. */
static uint16_t
suppress(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t count)
{
	const uint32_t now = gw_node_lcore(node)->now;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = objs[i];
		const struct rte_ether_hdr *ether =
			rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

		if (answer(mbuf, now)) {
			rte_node_enqueue_x1(graph, node, EDGE_TX, mbuf);
			continue;
		}
		gw_because(mbuf, ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP) ?
					 GW_PUNT_ARP :
					 GW_PUNT_MULTICAST);
		rte_node_enqueue_x1(graph, node, EDGE_PUNT, mbuf);
	}
	return count;
}

static struct rte_node_register registration = {
	.name = "suppress",
	.process = suppress,
	.init = gw_node_init,
	.nb_edges = EDGES,
	.next_nodes = {[EDGE_TX] = "tx", [EDGE_PUNT] = "punt"},
};
RTE_NODE_REGISTER(registration)
