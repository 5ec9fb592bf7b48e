/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vxlan-cut can do, for whoever sends frames there. */
#ifndef GW_VXLAN_CUT_H
#define GW_VXLAN_CUT_H

/*
 * An outer packet comes with its Ethernet header and mbuf->port, all of it as if it were not cut;
 * mark.nexthop is the MTU of the way, at least GW_CUT_MTU_MIN bytes of IP packet, and the next hop.
 */
enum gw_cut_limits {
	GW_CUT_MTU_SHIFT = 16, /* of the MTU in mark.nexthop */
	GW_CUT_MTU_MIN =
		576, /* RFC 791: what every host takes; an underlay of less is not served */
	GW_CUT_PIECES = 32, /* of one outer packet */
};

#endif
