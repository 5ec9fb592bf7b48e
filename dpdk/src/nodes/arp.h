/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ARP requests for IPv4 over Ethernet (RFC 826), and answers to them. */
#ifndef GW_ARP_H
#define GW_ARP_H

#include <string.h>

#include <rte_arp.h>
#include <rte_mbuf.h>

enum { GW_ARP_FRAME = RTE_ETHER_HDR_LEN + sizeof(struct rte_arp_hdr) };

/*
 * Of a frame in one segment. False: it asks nothing, or for the address that it says it has itself
 * (RFC 5227 section 3). Probes, which have no sender address, ask.
 */
static inline bool
gw_arp_read(const struct rte_mbuf *mbuf, uint8_t *address, struct rte_ether_addr *asker)
{
	const struct rte_arp_hdr *arp =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_arp_hdr *, RTE_ETHER_HDR_LEN);
	const struct rte_arp_ipv4 *data = &arp->arp_data;

	if (rte_pktmbuf_data_len(mbuf) < GW_ARP_FRAME ||
	    arp->arp_hardware != RTE_BE16(RTE_ARP_HRD_ETHER) ||
	    arp->arp_protocol != RTE_BE16(RTE_ETHER_TYPE_IPV4) ||
	    arp->arp_hlen != RTE_ETHER_ADDR_LEN || arp->arp_plen != sizeof(data->arp_tip) ||
	    arp->arp_opcode != RTE_BE16(RTE_ARP_OP_REQUEST))
		return false;
	if (data->arp_sip == data->arp_tip || !rte_is_valid_assigned_ether_addr(&data->arp_sha))
		return false;
	memcpy(address, &data->arp_tip, sizeof(data->arp_tip));
	*asker = data->arp_sha;
	return true;
}

/* The request becomes the answer of whoever has that MAC address. */
static inline void
gw_arp_answer(struct rte_mbuf *mbuf, const struct rte_ether_addr *mac)
{
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(ether + 1);
	const struct rte_arp_ipv4 asked = arp->arp_data;

	ether->dst_addr = asked.arp_sha;
	ether->src_addr = *mac;
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_sha = *mac;
	arp->arp_data.arp_sip = asked.arp_tip;
	arp->arp_data.arp_tha = asked.arp_sha;
	arp->arp_data.arp_tip = asked.arp_sip;
	mbuf->data_len = mbuf->pkt_len = GW_ARP_FRAME;
}

#endif
