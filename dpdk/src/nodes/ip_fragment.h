/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header of IPv6 fragments (RFC 8200 section 4.5), which DPDK has differently in each version. */
#ifndef GW_IP_FRAGMENT_H
#define GW_IP_FRAGMENT_H

#include <rte_byteorder.h>

enum { GW_NEXT_FRAGMENT = 44, GW_FRAGMENT6_MORE = 1 };

struct gw_fragment6 {
	uint8_t next;
	uint8_t reserved;
	rte_be16_t offset; /* bytes, a multiple of 8, and GW_FRAGMENT6_MORE */
	rte_be32_t identification;
};

#endif
