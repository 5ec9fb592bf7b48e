/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the parts of VXLAN's outer headers are (RFC 7348 section 5), and ECN (RFC 6040). */
#ifndef GW_VXLAN_HEADER_H
#define GW_VXLAN_HEADER_H

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "../tunnel.h"

struct gw_vxlan_header {
	rte_be32_t flags; /* GW_VXLAN_I; the rest is reserved, and ignored */
	rte_be32_t vni; /* 24 bits, and a reserved byte */
};

enum gw_vxlan_sizes {
	GW_VXLAN_I = 0x08000000,
	GW_VXLAN_VNI = 0xffffff00,
	GW_VXLAN_UDP = sizeof(struct rte_udp_hdr) + sizeof(struct gw_vxlan_header),
	/* From the Ethernet header to the inner frame. */
	GW_VXLAN_OUTER4 = RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) + GW_VXLAN_UDP,
	GW_VXLAN_OUTER6 = RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr) + GW_VXLAN_UDP,
};

/* Whether segments have it for their UDP destination port. */
static inline bool
gw_is_vxlan_port(rte_be16_t port)
{
	return port && (port == gw_vxlan_ports[0] || port == gw_vxlan_ports[1] ||
			port == gw_vxlan_ports[2] || port == gw_vxlan_ports[3]);
}

enum gw_ecn {
	GW_ECN_NOT_ECT = 0,
	GW_ECN_ECT1 = 1,
	GW_ECN_CE = 3,
	GW_ECN_MASK = 3,
};

/* IPv6: DSCP and ECN are the eight bits behind the version. */
enum { GW_IP6_CLASS_SHIFT = 20 };

static inline uint8_t
gw_ip6_class(const struct rte_ipv6_hdr *ip)
{
	return rte_be_to_cpu_32(ip->vtc_flow) >> GW_IP6_CLASS_SHIFT;
}

/* To 16 bits, with the carries put back in (RFC 1071). */
static inline uint16_t
gw_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

#endif
