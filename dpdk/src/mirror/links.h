/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links, what is switched for them, and those of them that the data path knows. */
#ifndef GW_MIRROR_LINKS_H
#define GW_MIRROR_LINKS_H

#include "facts.h"

enum link_flags {
	LINK_KNOWN = 1, /* there was more than a switch of it */
	LINK_UP = 2,
	LINK_CARRIER = 4,
	LINK_BRIDGE = 8,
	LINK_VLAN_AWARE = 16,
	LINK_MASTERED = 32, /* has a master, of whatever kind */
	LINK_STP_BLOCKED = 64,
	LINK_CHOOSY = 128, /* a bridge port with restrictions that the data path does not know */
	LINK_FORWARD4 = 256,
	LINK_FORWARD6 = 512, /* although net.ipv6.conf.all says no (6.17) */
	LINK_IGNORES4 = 1024, /* routes without carrier */
	LINK_IGNORES6 = 2048,
	LINK_NO_IPV6 = 4096, /* net.ipv6.conf.DEV.disable_ipv6 */
	LINK_TAP = 8192, /* or TUN */
	LINK_VXLAN = 16384, /* with one VNI */
	LINK_SUPPRESS =
		1 << 15, /* a bridge port by which ARP and ND need not go (neigh_suppress) */
	LINK_LEARNS = 1 << 16, /* a bridge port that learns */
	LINK_QUIET = 1 << 17, /* a bridge port to which something is not flooded, or not as it is */
	LINK_SNOOPS = 1 << 18, /* a bridge that looks into IGMP and MLD */
	/* What a bridge says of its port. */
	LINK_OF_PORT = LINK_STP_BLOCKED | LINK_CHOOSY | LINK_SUPPRESS | LINK_LEARNS | LINK_QUIET,
};

struct link {
	uint32_t link[2]; /* table.h */
	uint32_t ifindex;
	uint32_t mtu, mtu6; /* 0: not known */
	uint32_t master; /* ifindex */
	uint32_t lower; /* ifindex that it sits upon */
	uint32_t promiscuity;
	uint32_t ageing; /* of a bridge's or a VXLAN device's FDB, s */
	uint32_t vni;
	uint32_t flags; /* enum link_flags */
	uint16_t slot; /* of gw_interfaces */
	uint16_t vxlan_port; /* UDP destination, host order */
	uint8_t vxlan_family; /* 4 or 6; 0: not known */
	uint8_t rp_filter;
	uint8_t mac[6];
	struct stamp stamp;
};

/* What is said of a link; the rest of struct link is other messages'. */
struct link_news {
	uint32_t ifindex, mtu, mtu6, master, lower, promiscuity, ageing, vni, flags;
	uint16_t vxlan_port;
	uint8_t vxlan_family;
	uint8_t mac[6];
};

struct link *link_find(uint32_t ifindex);
/* NULL: no memory. */
struct link *link_get(uint32_t ifindex);
void link_seen(const struct link_news *news);
void link_gone(uint32_t ifindex);
void links_sweep(void);
/* -1: all. */
void switches_seen(enum family family, int32_t ifindex, const int32_t *forwarding,
		   const int32_t *rp_filter, const int32_t *ignores, const int32_t *force);

/* The slot of gw_interfaces of a device of ours, or GW_NO_INTERFACE. */
uint16_t slot_of(uint32_t ifindex);
/* Gives a VXLAN device one; false: there are no more. */
bool slot_claim(uint32_t ifindex, bool *wanted);
/* Something in the bridge, of VLANs or of a port, keeps all of it with the kernel. */
bool bridge_is_choosy(const struct link *bridge);
/* A port of it, other than that device, that is not the worker's, or does not get all that is flooded.
 * NULL: there is none. */
const struct link *bridge_exception(const struct link *bridge, uint32_t device);
/* Makes slots agree with links, switches and ports. */
void slots_review(void);
uint32_t slots_used(void);

#endif
