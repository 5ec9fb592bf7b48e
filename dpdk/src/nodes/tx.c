/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Out by mbuf->port, and counted for what the mark says that it is. What a port does not take is
 * freed and counted as that instead. Both at the port that it came in by.
 */
#include "node.h"

// Once a driver has the frames, nobody can look into them. Returns whether they differ.
static inline bool
note_fates(struct rte_mbuf **mbufs, uint16_t count, uint16_t *fates)
{
	uint16_t differ = 0;

	fates[0] = gw_mark(mbufs[0])->fate;
	for (uint16_t i = 1; i < count; i++) {
		fates[i] = gw_mark(mbufs[i])->fate;
		differ |= fates[i] ^ fates[0];
	}
	return differ != 0;
}

static inline void
count_fates(struct gw_lcore *lcore, const uint16_t *fates, uint16_t count, bool differ)
{
	for (uint16_t i = 0; i < count; i++) {
		const struct gw_mark mark = {.fate = fates[i]};

		gw_count(lcore, mark.from, mark.reason, differ ? 1 : count);
		if (likely(!differ))
			break;
	}
}

static void
lose(struct gw_lcore *lcore, struct rte_mbuf **mbufs, uint16_t count, enum gw_counter reason)
{
	for (uint16_t i = 0; i < count; i++)
		gw_count(lcore, gw_mark(mbufs[i])->from, reason, 1);
	rte_pktmbuf_free_bulk(mbufs, count);
}

// A VLAN tag comes on top of the MTU.
static bool
too_long(const struct rte_mbuf *mbuf, uint32_t max_frame)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
	    ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ))
		max_frame += RTE_VLAN_HLEN;
	return mbuf->pkt_len > max_frame;
}

static uint16_t
without_long_ones(struct gw_lcore *lcore, struct rte_mbuf **mbufs, uint16_t count,
		  uint32_t max_frame)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < count; i++) {
		if (too_long(mbufs[i], max_frame))
			lose(lcore, &mbufs[i], 1, GW_DROP_TX_TOO_LONG);
		else
			mbufs[kept++] = mbufs[i];
	}
	return kept;
}

// Drivers may take less than a whole burst at once and still have room; and af_packet makes room
// in a full ring only after it has looked whether there is some.
static uint16_t
push(uint16_t id, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t sent = rte_eth_tx_burst(id, queue, mbufs, count), taken;

	if (likely(sent == count))
		return sent;
	do {
		taken = rte_eth_tx_burst(id, queue, mbufs + sent, count - sent);
		sent += taken;
	} while (sent < count && taken > 0);
	return sent;
}

// At most GW_BURST, all to one port; none is longer than `longest`.
static void
send_run(struct gw_lcore *lcore, uint16_t id, struct rte_mbuf **mbufs, uint16_t count,
	 uint32_t longest)
{
	struct gw_worker_port *port = &gw_ports[id];
	uint16_t fates[GW_BURST];
	uint16_t sent;
	bool differ;

	if (unlikely(port->state != GW_PORT_RUNNING || !port->up)) {
		lose(lcore, mbufs, count, GW_DROP_PORT_DOWN);
		return;
	}
	if (unlikely(longest > port->max_frame))
		count = without_long_ones(lcore, mbufs, count, port->max_frame);
	if (unlikely(count == 0))
		return;
	differ = note_fates(mbufs, count, fates);
	if (likely(port->tx_queues == gw_lcore_count)) {
		sent = push(id, lcore->index, mbufs, count);
	} else {
		rte_spinlock_lock(&port->tx_lock);
		sent = push(id, 0, mbufs, count);
		rte_spinlock_unlock(&port->tx_lock);
	}
	count_fates(lcore, fates, sent, differ);
	if (unlikely(sent < count))
		lose(lcore, mbufs + sent, count - sent, GW_DROP_TX_FULL);
}

// Picks out those of the first one's port, in their order, again and again. What rx and
// from-kernel bring in one walk may be more than a burst.
static void
send_mixed(struct gw_lcore *lcore, struct rte_mbuf **mbufs, uint16_t count, uint32_t longest)
{
	struct rte_mbuf *run[GW_BURST];

	while (count > 0) {
		const uint16_t port = mbufs[0]->port;
		uint16_t picked = 0, left = 0;

		for (uint16_t i = 0; i < count; i++) {
			if (mbufs[i]->port == port && picked < GW_BURST)
				run[picked++] = mbufs[i];
			else
				mbufs[left++] = mbufs[i];
		}
		send_run(lcore, port, run, picked, longest);
		count = left;
	}
}

static uint16_t
tx(struct rte_graph *graph __rte_unused, struct rte_node *node, void **objs, uint16_t count)
{
	struct gw_lcore *lcore = gw_node_lcore(node);
	struct rte_mbuf **mbufs = (struct rte_mbuf **)objs;
	const uint16_t port = mbufs[0]->port;
	uint32_t longest = 0;
	uint16_t others = 0;

	for (uint16_t i = 0; i < count; i++) {
		others |= mbufs[i]->port ^ port;
		longest = RTE_MAX(longest, mbufs[i]->pkt_len);
	}
	if (likely(others == 0 && count <= GW_BURST))
		send_run(lcore, port, mbufs, count, longest);
	else
		send_mixed(lcore, mbufs, count, longest);
	return count;
}

static struct rte_node_register registration = {
	.name = "tx",
	.process = tx,
	.init = gw_node_init,
};
RTE_NODE_REGISTER(registration)
