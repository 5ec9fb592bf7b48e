/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether an IPv4 header makes sense: RFC 1812 section 5.2.2. */
#ifndef GW_IP4_HEADER_H
#define GW_IP4_HEADER_H

#include <stdbool.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

/* Of a frame behind an Ethernet header; one with options is not checked to its end. */
static inline bool
gw_ip4_sound(const struct rte_mbuf *mbuf, const struct rte_ipv4_hdr *ip)
{
	// The header is in the first segment; a jumbo frame has more of them.
	if (unlikely(rte_pktmbuf_data_len(mbuf) < RTE_ETHER_HDR_LEN + sizeof(*ip)))
		return false;
	// A header with options has a checksum of another length: it is punted before this matters.
	if (unlikely(ip->version_ihl < 0x45 || ip->version_ihl > 0x4f))
		return false;

	uint32_t total = rte_be_to_cpu_16(ip->total_length);

	if (unlikely(total < sizeof(*ip) || rte_pktmbuf_pkt_len(mbuf) < RTE_ETHER_HDR_LEN + total))
		return false;
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		return true;
	return ip->version_ihl != 0x45 || rte_raw_cksum(ip, sizeof(*ip)) == 0xffff;
}

#endif
