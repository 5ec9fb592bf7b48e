/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vxlan-cut can do, for whoever sends frames there. */
#ifndef GW_VXLAN_CUT_H
#define GW_VXLAN_CUT_H

enum gw_cut_limits {
	GW_CUT_MTU_MIN =
		576, /* RFC 791: what every host takes; an underlay of less is not served */
	GW_CUT_PIECES = 32, /* of one outer packet */
};

#endif
