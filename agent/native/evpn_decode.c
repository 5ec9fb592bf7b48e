// SPDX-License-Identifier: GPL-2.0-or-later
/* Netlink messages become facts. Whatever is too short or too long says nothing. */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "evpn.h"

enum {
	EXT_LOCKED = 1 << 1, /* NTF_EXT_LOCKED, in no header of Debian 12: not let in (802.1X) */
	ATTRIBUTES = NDA_NH_ID + 3 + 1, /* as far as NDA_FLAGS_EXT and RTA_TABLE, which are 15 */
	VALID = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
	STAYS = NUD_PERMANENT | NUD_NOARP,
};

static int
keep_attribute(const struct nlattr *attr, void *data)
{
	const struct nlattr **by_type = data;
	__u32 type = mnl_attr_get_type(attr);

	if (type < ATTRIBUTES)
		by_type[type] = attr;
	return MNL_CB_OK;
}

static bool
has(const struct nlattr *attr, size_t size)
{
	return attr && mnl_attr_get_payload_len(attr) == size;
}

static __u32
number(const struct nlattr *attr)
{
	return has(attr, sizeof(__u32)) ? mnl_attr_get_u32(attr) : 0;
}

size_t
evpn_address_size(__u8 family)
{
	return family == 6 ? 16 : 4;
}

/* 4, 6, or 0: it is no address. */
static __u8
read_address(const struct nlattr *attr, __u8 *address)
{
	size_t size = attr ? mnl_attr_get_payload_len(attr) : 0;

	if (size != 4 && size != 16)
		return 0;
	memcpy(address, mnl_attr_get_payload(attr), size);
	return size == 4 ? 4 : 6;
}

static int
compare(const void *one, const void *other)
{
	const __u32 *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

bool
evpn_follows(const struct evpn_devices *devices, __u32 ifindex)
{
	return bsearch(&ifindex, devices->ifindexes, devices->count, sizeof(ifindex), compare);
}

static bool
is_zero_mac(const __u8 *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

/* ---- FDBs --------------------------------------------------------------------------------- */

static __u8
flags_of(const struct ndmsg *nd, __u16 stays)
{
	__u8 flags = 0;

	if (nd->ndm_state & stays)
		flags |= GW_EVPN_STATIC;
	if (nd->ndm_flags & NTF_EXT_LEARNED)
		flags |= GW_EVPN_EXTERN;
	if (nd->ndm_flags & NTF_STICKY)
		flags |= GW_EVPN_STICKY;
	return flags;
}

/* The FDB of a bridge. */
static void
decode_station(struct gw_evpn *evpn, const struct ndmsg *nd, const struct nlattr **attr, bool gone)
{
	struct gw_evpn_key key = {.kind = GW_EVPN_STATION, .ifindex = number(attr[NDA_MASTER])};
	struct gw_evpn_value value = {.port = nd->ndm_ifindex, .flags = flags_of(nd, STAYS)};

	memcpy(key.mac, mnl_attr_get_payload(attr[NDA_LLADDR]), EVPN_MAC);
	if (key.mac[0] & 1 || is_zero_mac(key.mac) || !evpn_follows(&evpn->bridges, key.ifindex))
		return;
	if (has(attr[NDA_VLAN], sizeof(key.vlan)))
		key.vlan = mnl_attr_get_u16(attr[NDA_VLAN]);
	if (nd->ndm_state & NUD_PERMANENT)
		value.flags |= GW_EVPN_OWN;
	if (gone || number(attr[NDA_FLAGS_EXT]) & EXT_LOCKED)
		fact_gone(evpn, &key);
	else
		fact_seen(evpn, &key, &value);
}

/* The FDB of a VXLAN device itself. */
static void
decode_entry(struct gw_evpn *evpn, const struct ndmsg *nd, const struct nlattr **attr, bool gone)
{
	struct gw_evpn_key key = {
		.kind = GW_EVPN_ENTRY,
		.ifindex = nd->ndm_ifindex,
		.vni = number(attr[NDA_SRC_VNI]),
	};
	struct gw_evpn_value value = {.flags = flags_of(nd, STAYS)};
	const __u8 *mac = mnl_attr_get_payload(attr[NDA_LLADDR]);

	if (is_zero_mac(mac)) {
		key.kind = GW_EVPN_FLOOD;
		key.family = read_address(attr[NDA_DST], key.address);
		if (!key.family)
			return;
	} else if (mac[0] & 1) {
		return;
	} else {
		memcpy(key.mac, mac, EVPN_MAC);
		value.family = read_address(attr[NDA_DST], value.address);
	}
	if (gone)
		fact_gone(evpn, &key);
	else
		fact_seen(evpn, &key, &value);
}

/* ---- neighbours --------------------------------------------------------------------------- */

static void
decode_neighbour(struct gw_evpn *evpn, const struct ndmsg *nd, const struct nlattr **attr,
		 bool gone)
{
	struct gw_evpn_key key = {.kind = GW_EVPN_NEIGHBOUR, .ifindex = nd->ndm_ifindex};
	struct gw_evpn_value value = {.flags = flags_of(nd, NUD_PERMANENT)};

	if (!evpn_follows(&evpn->bridges, key.ifindex))
		return;
	key.family = read_address(attr[NDA_DST], key.address);
	if (!key.family)
		return;
	if (has(attr[NDA_LLADDR], EVPN_MAC))
		memcpy(value.mac, mnl_attr_get_payload(attr[NDA_LLADDR]), EVPN_MAC);
	if (nd->ndm_flags & NTF_ROUTER)
		value.flags |= GW_EVPN_ROUTER;
	/* The number stays with what somebody else made of the entry, the flag does not. */
	if (value.flags & GW_EVPN_EXTERN && has(attr[NDA_PROTOCOL], sizeof(__u8)) &&
	    mnl_attr_get_u8(attr[NDA_PROTOCOL]) == evpn->protocol)
		value.flags |= GW_EVPN_OURS;
	if (gone || value.mac[0] & 1 || is_zero_mac(value.mac) || !(nd->ndm_state & VALID))
		fact_gone(evpn, &key);
	else
		fact_seen(evpn, &key, &value);
}

static void
decode_nd(struct gw_evpn *evpn, const struct nlmsghdr *message)
{
	const struct nlattr *attr[ATTRIBUTES] = {};
	const struct ndmsg *nd = mnl_nlmsg_get_payload(message);
	bool gone = message->nlmsg_type == RTM_DELNEIGH;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*nd))
		return;
	mnl_attr_parse(message, sizeof(*nd), keep_attribute, attr);
	if (nd->ndm_family == AF_INET || nd->ndm_family == AF_INET6)
		decode_neighbour(evpn, nd, attr, gone);
	else if (nd->ndm_family != AF_BRIDGE || !has(attr[NDA_LLADDR], EVPN_MAC))
		return;
	else if (attr[NDA_MASTER] && !(nd->ndm_flags & NTF_SELF))
		decode_station(evpn, nd, attr, gone);
	/* Older kernels say a request again, without the VTEP, after what the VXLAN device says of
	 * it (6.1 does); only the device tells of times. */
	else if (nd->ndm_flags & NTF_SELF && attr[NDA_CACHEINFO] &&
		 evpn_follows(&evpn->tunnels, nd->ndm_ifindex))
		decode_entry(evpn, nd, attr, gone);
}

/* ---- addresses, links and routes ---------------------------------------------------------- */

static void
decode_address(struct gw_evpn *evpn, const struct nlmsghdr *message)
{
	const struct nlattr *attr[ATTRIBUTES] = {};
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
	struct gw_evpn_key key = {.kind = GW_EVPN_ADDRESS};
	const struct gw_evpn_value value = {};

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*address) ||
	    !evpn_follows(&evpn->bridges, address->ifa_index))
		return;
	mnl_attr_parse(message, sizeof(*address), keep_attribute, attr);
	key.ifindex = address->ifa_index;
	/* Of a link to one peer, IFA_ADDRESS is the peer's. */
	key.family =
		read_address(attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS], key.address);
	if (!key.family)
		return;
	if (message->nlmsg_type == RTM_DELADDR)
		fact_gone(evpn, &key);
	else
		fact_seen(evpn, &key, &value);
}

static void
decode_link(struct gw_evpn *evpn, const struct nlmsghdr *message)
{
	struct gw_evpn_key key = {.kind = GW_EVPN_LINK};
	struct gw_evpn_value value = {};
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*link) || link->ifi_family != AF_UNSPEC)
		return;
	key.ifindex = link->ifi_index;
	if (!evpn_follows(&evpn->bridges, key.ifindex) &&
	    !evpn_follows(&evpn->tunnels, key.ifindex))
		return;
	if (link->ifi_flags & IFF_UP)
		value.flags |= GW_EVPN_UP;
	if (message->nlmsg_type == RTM_DELLINK)
		fact_gone(evpn, &key);
	else
		fact_seen(evpn, &key, &value);
}

/* Of ours alone: see evpn_open.c. */
static void
decode_route(struct gw_evpn *evpn, const struct nlmsghdr *message)
{
	const struct nlattr *attr[ATTRIBUTES] = {};
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	struct gw_evpn_key key = {.kind = GW_EVPN_ROUTE};

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*route) ||
	    route->rtm_protocol != evpn->protocol)
		return;
	mnl_attr_parse(message, sizeof(*route), keep_attribute, attr);
	key.vni = attr[RTA_TABLE] ? number(attr[RTA_TABLE]) : route->rtm_table;
	key.vlan = route->rtm_dst_len;
	key.family = route->rtm_family == AF_INET6 ? 6 : 4;
	/* The default route names no destination. */
	if (attr[RTA_DST] && read_address(attr[RTA_DST], key.address) != key.family)
		return;
	fact_ended(evpn, &key);
}

void
evpn_decode(struct gw_evpn *evpn, const struct nlmsghdr *message)
{
	evpn->status.messages++;
	switch (message->nlmsg_type) {
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		decode_nd(evpn, message);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		decode_link(evpn, message);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		decode_address(evpn, message);
		break;
	case RTM_DELROUTE:
		decode_route(evpn, message);
		break;
	default:
		break;
	}
}
