/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Congestion that the outer packet has met (RFC 6040 section 4.2). It is carried into the inner one
 * when it is known that the frame goes on from here: the kernel, which does the same with what it
 * gets, has it as it came.
 */
#ifndef GW_VXLAN_ECN_H
#define GW_VXLAN_ECN_H

#include <stdbool.h>

#include <rte_mbuf.h>

/* From decapsulation to vxlan-bridge the outer ECN field is in mark.nexthop, above the tunnel. */
enum { GW_ECN_SHIFT = 16 };

/*
 * Into the inner packet, of a frame with its outer headers still in front of it: who routes it may
 * leave it to the kernel even then, and checksums agree with it. False: its ends would never hear of
 * it, so that it has to be dropped.
 */
bool gw_ecn_carry(struct rte_mbuf *mbuf, uint8_t outer);

#endif
