/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of the kernel that the worker routes or bridges for: the TAP of each port, each bridge
 * that has one of them, and VXLAN devices in these. The mirror writes them, the data path reads.
 */
#ifndef GW_INTERFACE_H
#define GW_INTERFACE_H

#include <rte_common.h>
#include <rte_ether.h>

enum gw_interface_limits {
	GW_INTERFACES = 512,
	GW_NO_INTERFACE = 0, /* slot 0 is none */
	GW_NO_PORT = 0xffff,
};

enum gw_interface_flags {
	GW_IF_UP = 1,
	GW_IF_FORWARD4 = 2, /* net.ipv4.conf.DEV.forwarding */
	GW_IF_FORWARD6 = 4,
	GW_IF_RP_FILTER = 8, /* rp_filter 1 or 2: IPv4 sources need a way back (RFC 3704) */
	GW_IF_RP_STRICT = 512, /* rp_filter 1: by this device */
	GW_IF_BRIDGE = 16, /* a bridge; else the TAP of a port */
	GW_IF_PROMISC = 32, /* somebody listens: frames for others go to the kernel */
	GW_IF_BRIDGED = 64, /* a port of the bridge `master` */
	GW_IF_STP_BLOCKED = 128,
	GW_IF_TUNNEL = 1024, /* a VXLAN device; `port` is GW_NO_PORT */
	GW_IF_SNOOPS = 2048, /* a bridge that knows who listens to which group */
	GW_IF_VLAN_AWARE = 256, /* a bridge that filters VLANs: its frames are the kernel's */
};

struct gw_interface {
	uint32_t flags; /* enum gw_interface_flags; 0: the slot is free */
	uint32_t ifindex;
	uint32_t mtu; /* bytes of an IP packet */
	uint16_t port; /* GW_NO_PORT for a bridge */
	uint16_t master; /* slot of its bridge, or GW_NO_INTERFACE */
	struct rte_ether_addr mac;
	uint16_t
		segment; /* of a VXLAN device; of a bridge that has just one: see tunnel.h; 0: none */
	uint8_t spare[40];
} __rte_cache_aligned;

static_assert(sizeof(struct gw_interface) == 64, "one cache line");

extern struct gw_interface gw_interfaces[GW_INTERFACES];

#endif
