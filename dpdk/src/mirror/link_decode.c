/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links: of the device itself, of it as a port of its bridge, and of its IPv6. */
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>

#include "../port.h"
#include "parts.h"

enum {
	USER_HZ = 100, /* in which the kernel tells ages, whatever its own HZ is */
};

/* Attributes of a nested one. */
static void
nested(const struct nlattr *attr, const struct nlattr **by_type, uint32_t count)
{
	attributes(attr ? mnl_attr_get_payload(attr) : NULL,
		   attr ? mnl_attr_get_payload_len(attr) : 0, by_type, count);
}

static uint8_t
byte_of(const struct nlattr *attr, uint8_t otherwise)
{
	const uint8_t *byte = attribute_bytes(attr, 1);

	return byte ? *byte : otherwise;
}

static uint32_t
port_flags(const struct nlattr *data)
{
	const struct nlattr *attr[IFLA_BRPORT_LOCKED + 1];
	uint32_t flags = 0;

	nested(data, attr, RTE_DIM(attr));
	if (byte_of(attr[IFLA_BRPORT_STATE], BR_STATE_FORWARDING) != BR_STATE_FORWARDING)
		flags |= LINK_STP_BLOCKED;
	// The data path knows neither who may not talk to whom nor who has to sign in first.
	if (byte_of(attr[IFLA_BRPORT_ISOLATED], 0) || byte_of(attr[IFLA_BRPORT_LOCKED], 0) ||
	    byte_of(attr[IFLA_BRPORT_MODE], 0))
		flags |= LINK_CHOOSY;
	if (byte_of(attr[IFLA_BRPORT_NEIGH_SUPPRESS], 0))
		flags |= LINK_SUPPRESS;
	if (byte_of(attr[IFLA_BRPORT_LEARNING], 1))
		flags |= LINK_LEARNS;
	if (!byte_of(attr[IFLA_BRPORT_UNICAST_FLOOD], 1) ||
	    !byte_of(attr[IFLA_BRPORT_MCAST_FLOOD], 1) ||
	    !byte_of(attr[IFLA_BRPORT_BCAST_FLOOD], 1) ||
	    byte_of(attr[IFLA_BRPORT_MCAST_TO_UCAST], 0) ||
	    byte_of(attr[IFLA_BRPORT_PROXYARP], 0) || byte_of(attr[IFLA_BRPORT_PROXYARP_WIFI], 0))
		flags |= LINK_QUIET;
	return flags;
}

static void
decode_bridge(const struct nlattr *data, struct link_news *news)
{
	const struct nlattr *attr[IFLA_BR_MCAST_SNOOPING + 1];

	nested(data, attr, RTE_DIM(attr));
	news->flags |= LINK_BRIDGE;
	if (byte_of(attr[IFLA_BR_VLAN_FILTERING], 0))
		news->flags |= LINK_VLAN_AWARE;
	if (byte_of(attr[IFLA_BR_MCAST_SNOOPING], 1))
		news->flags |= LINK_SNOOPS;
	news->ageing = attribute_u32(attr[IFLA_BR_AGEING_TIME], 0) / USER_HZ;
}

// A single VXLAN device has no VNI of its own: its bridge filters VLANs, and is the kernel's.
static void
decode_vxlan(const struct nlattr *data, struct link_news *news)
{
	const struct nlattr *attr[IFLA_VXLAN_COLLECT_METADATA + 1];
	const rte_be16_t *port;

	nested(data, attr, RTE_DIM(attr));
	news->vni = attribute_u32(attr[IFLA_VXLAN_ID], 0);
	port = attribute_bytes(attr[IFLA_VXLAN_PORT], sizeof(*port));
	if (!news->vni || !port || byte_of(attr[IFLA_VXLAN_COLLECT_METADATA], 0))
		return;
	news->flags |= LINK_VXLAN;
	news->vxlan_port = rte_be_to_cpu_16(*port);
	news->ageing = attribute_u32(attr[IFLA_VXLAN_AGEING], 0);
	if (attr[IFLA_VXLAN_LOCAL] || attr[IFLA_VXLAN_GROUP])
		news->vxlan_family = 4;
	else if (attr[IFLA_VXLAN_LOCAL6] || attr[IFLA_VXLAN_GROUP6])
		news->vxlan_family = 6;
}

static void
decode_kind(const struct nlattr *info, struct link_news *news)
{
	const struct nlattr *attr[IFLA_INFO_SLAVE_DATA + 1];
	const char *kind;

	nested(info, attr, RTE_DIM(attr));
	kind = attr[IFLA_INFO_KIND] ? mnl_attr_get_str(attr[IFLA_INFO_KIND]) : "";
	if (!strcmp(kind, "tun"))
		news->flags |= LINK_TAP;
	else if (!strcmp(kind, "bridge"))
		decode_bridge(attr[IFLA_INFO_DATA], news);
	else if (!strcmp(kind, "vxlan"))
		decode_vxlan(attr[IFLA_INFO_DATA], news);
	if (attr[IFLA_INFO_SLAVE_KIND] &&
	    !strcmp(mnl_attr_get_str(attr[IFLA_INFO_SLAVE_KIND]), "bridge"))
		news->flags |= port_flags(attr[IFLA_INFO_SLAVE_DATA]);
}

// From the IPv6 part of a link's message; a router may advertise a smaller MTU than the device has.
static void
decode_conf6(const struct nlattr *inet6, uint32_t *mtu6, uint32_t *flags)
{
	const struct nlattr *attr[IFLA_INET6_CONF + 1];
	const int32_t *conf;

	nested(inet6, attr, RTE_DIM(attr));
	if (!attr[IFLA_INET6_CONF] || mnl_attr_get_payload_len(attr[IFLA_INET6_CONF]) <
					      (DEVCONF_DISABLE_IPV6 + 1) * sizeof(*conf))
		return;
	conf = mnl_attr_get_payload(attr[IFLA_INET6_CONF]);
	*mtu6 = conf[DEVCONF_MTU6] > 0 ? conf[DEVCONF_MTU6] : 0;
	*flags = conf[DEVCONF_DISABLE_IPV6] ? LINK_NO_IPV6 : 0;
}

static void
decode_device(const struct ifinfomsg *info, const struct nlattr **attr)
{
	const struct nlattr *families[AF_INET6 + 1];
	struct link_news news = {
		.ifindex = info->ifi_index,
		.mtu = attribute_u32(attr[IFLA_MTU], 0),
		.master = attribute_u32(attr[IFLA_MASTER], 0),
		.promiscuity = attribute_u32(attr[IFLA_PROMISCUITY], 0),
	};
	const void *mac = attribute_bytes(attr[IFLA_ADDRESS], sizeof(news.mac));

	// Of a device in another namespace (a veth's peer) the number means another one here.
	if (!attr[IFLA_LINK_NETNSID])
		news.lower = attribute_u32(attr[IFLA_LINK], 0);
	if (mac)
		memcpy(news.mac, mac, sizeof(news.mac));
	nested(attr[IFLA_AF_SPEC], families, RTE_DIM(families));
	decode_conf6(families[AF_INET6], &news.mtu6, &news.flags);
	if (info->ifi_flags & IFF_UP)
		news.flags |= LINK_UP;
	if (info->ifi_flags & IFF_LOWER_UP)
		news.flags |= LINK_CARRIER;
	if (news.master)
		news.flags |= LINK_MASTERED;
	decode_kind(attr[IFLA_LINKINFO], &news);
	link_seen(&news);
}

// What a bridge says of a port, when its state changes.
static void
decode_port(const struct ifinfomsg *info, const struct nlattr **attr, bool gone)
{
	struct link *link = link_find(info->ifi_index);
	uint32_t flags;

	if (!link || !(link->flags & LINK_KNOWN))
		return;
	mirror.review = true;
	if (gone) {
		// It left the bridge; what it is now, its own message says.
		if (link->master == attribute_u32(attr[IFLA_MASTER], 0)) {
			link->master = 0;
			link->flags &= ~(LINK_MASTERED | LINK_OF_PORT);
		}
		return;
	}
	if (!attr[IFLA_PROTINFO] || !mnl_attr_get_payload_len(attr[IFLA_PROTINFO]))
		return;
	flags = link->flags & ~LINK_OF_PORT;
	link->flags = flags | port_flags(attr[IFLA_PROTINFO]);
}

static void
decode_inet6(const struct ifinfomsg *info, const struct nlattr **attr)
{
	struct link *link = link_find(info->ifi_index);
	uint32_t mtu6 = 0, flags = 0;

	decode_conf6(attr[IFLA_PROTINFO], &mtu6, &flags);
	if (!link || !mtu6)
		return;
	link->mtu6 = mtu6;
	link->flags = (link->flags & ~LINK_NO_IPV6) | flags;
	mirror.review = true;
}

// A port on a device of the kernel has its carrier, and ends with it, whatever has its ifindex next.
static void
notice_wire(uint32_t ifindex, bool gone)
{
	for (uint16_t id = 0; id < GW_WORKER_PORTS; id++) {
		if (gw_ports[id].netdev != ifindex)
			continue;
		mirror.wires |= 1u << id;
		if (gone)
			mirror.cut |= 1u << id;
	}
}

void
decode_link(const struct nlmsghdr *message)
{
	const struct nlattr *attr[IFLA_LINK_NETNSID + 1];
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	bool gone = message->nlmsg_type == RTM_DELLINK;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*info) || info->ifi_index <= 0)
		return;
	// Of parts of a link, which have no stamps: what the dump says may be older than this.
	if (info->ifi_family != AF_UNSPEC && dump_of(STEP_LINKS))
		dump_want(WANT(STEP_LINKS));
	attributes(info + 1, mnl_nlmsg_get_payload_len(message) - sizeof(*info), attr,
		   RTE_DIM(attr));
	notice_wire(info->ifi_index, gone && info->ifi_family == AF_UNSPEC);
	if (info->ifi_family == AF_BRIDGE)
		decode_port(info, attr, gone);
	else if (info->ifi_family == AF_INET6 && !gone)
		decode_inet6(info, attr);
	else if (info->ifi_family == AF_UNSPEC && gone)
		link_gone(info->ifi_index);
	else if (info->ifi_family == AF_UNSPEC)
		decode_device(info, attr);
}
