/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RTM_NEWROUTE and RTM_DELROUTE. */
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "parts.h"

enum {
	USER_HZ = 100, /* in which the kernel tells times, whatever its own HZ is */
	EXPIRY_MAX = 3600 * USER_HZ, /* then it is looked at again */
};

/* Of the link itself or of all; the data path leaves both to the kernel before it looks. */
static bool
is_beyond_us(const struct prefix *prefix)
{
	const uint8_t *address = prefix->address;

	return (prefix->length >= 8 && address[0] == 0xff) ||
	       (prefix->length >= 10 && address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

static bool
read_gateway(const struct nlattr *gateway, const struct nlattr *via, struct hop_key *key,
	     enum family family)
{
	const struct rtvia *other = via ? mnl_attr_get_payload(via) : NULL;
	const void *address = attribute_bytes(gateway, family == FAMILY4 ? 4 : 16);

	if (address) {
		memcpy(key->address, address, family == FAMILY4 ? 4 : 16);
		return true;
	}
	if (other && other->rtvia_family == AF_INET6 &&
	    mnl_attr_get_payload_len(via) == sizeof(*other) + 16) {
		key->family = FAMILY6;
		memcpy(key->address, other->rtvia_addr, 16);
		return true;
	}
	return !gateway && !via;
}

// One next hop, of a message or of one of several in it.
static void
add_hop(struct way *way, enum family family, uint32_t ifindex, uint32_t flags, uint32_t weight,
	const struct nlattr **attr)
{
	struct way_hop *hop = &way->hops[way->count];
	struct hop_key key = {.ifindex = ifindex, .family = family};

	// The kernel says so too of those without carrier that it is told to ignore.
	if (flags & RTNH_F_DEAD) {
		way->partial = true;
		return;
	}
	key.connected = !attr[RTA_GATEWAY] && !attr[RTA_VIA];
	*hop = (struct way_hop){.weight = weight};
	if (attr[RTA_ENCAP_TYPE] || !slot_of(ifindex) ||
	    !read_gateway(attr[RTA_GATEWAY], attr[RTA_VIA], &key, family))
		key = (struct hop_key){};
	hop->key = key;
	way->count++;
}

static bool
add_hops(struct way *way, enum family family, const struct nlattr *several)
{
	const struct nlattr *attr[RTA_ENCAP + 1];
	uint32_t left = mnl_attr_get_payload_len(several);
	const struct rtnexthop *next = mnl_attr_get_payload(several);

	while (RTNH_OK(next, left)) {
		if (way->count == WAY_HOPS)
			return false;
		attributes(RTNH_DATA(next), next->rtnh_len - RTNH_LENGTH(0), attr, RTE_DIM(attr));
		add_hop(way, family, next->rtnh_ifindex, next->rtnh_flags, next->rtnh_hops + 1,
			attr);
		left -= RTE_MIN(left, (uint32_t)RTNH_ALIGN(next->rtnh_len));
		next = RTNH_NEXT(next);
	}
	return true;
}

static uint32_t
mtu_of(const struct nlattr *metrics)
{
	const struct nlattr *attr[RTAX_MTU + 1];

	if (!metrics)
		return 0;
	attributes(mnl_attr_get_payload(metrics), mnl_attr_get_payload_len(metrics), attr,
		   RTE_DIM(attr));
	return attribute_u32(attr[RTAX_MTU], 0);
}

// What all next hops have in common; and if all are elsewhere, there is nothing to choose.
static void
finish(struct way *way, uint32_t mtu)
{
	uint32_t elsewhere = 0;

	for (uint32_t i = 0; i < way->count; i++) {
		if (!way->hops[i].key.ifindex)
			elsewhere++;
		else
			way->hops[i].key.mtu = mtu;
	}
	// Which those are is not kept.
	if (elsewhere && way->count > 1)
		way->partial = true;
	if (!elsewhere || elsewhere < way->count)
		return;
	way->count = 0;
	way->fixed = GW_NEXTHOP_ELSEWHERE;
}

static void
unicast(struct way *way, enum family family, const struct rtmsg *rt, const struct nlattr **attr)
{
	bool known = true;

	way->object = attribute_u32(attr[RTA_NH_ID], 0);
	if (attr[RTA_MULTIPATH])
		known = add_hops(way, family, attr[RTA_MULTIPATH]);
	else if (attr[RTA_OIF] || !way->object)
		add_hop(way, family, attribute_u32(attr[RTA_OIF], 0), rt->rtm_flags, 1, attr);
	else
		known = object_way(way->object, way);
	if (!known) {
		way->count = 0;
		way->fixed = GW_NEXTHOP_POLICY;
		way->partial = true;
		// An object that was not heard of yet; but what has too many next hops stays so.
		if (!attr[RTA_MULTIPATH] && !dump_decoding())
			dump_want(WANT_ROUTES | WANT(STEP_OBJECTS));
	}
	finish(way, mtu_of(attr[RTA_METRICS]));
}

static void
decode_way(struct way *way, enum family family, const struct rtmsg *rt, const struct nlattr **attr)
{
	way->object = way->count = 0;
	way->partial = false;
	way->fixed = GW_NEXTHOP_NONE;
	switch (rt->rtm_type) {
	case RTN_UNICAST:
		unicast(way, family, rt, attr);
		return;
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
		way->fixed = GW_NEXTHOP_LOCAL;
		break;
	case RTN_BLACKHOLE:
		way->fixed = GW_NEXTHOP_BLACKHOLE;
		break;
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		way->fixed = GW_NEXTHOP_UNREACHABLE;
		break;
	default:
		// RTN_THROW goes on in the next table, RTN_MULTICAST in other ways.
		way->fixed = GW_NEXTHOP_POLICY;
	}
	way->object = attribute_u32(attr[RTA_NH_ID], 0);
	if (rt->rtm_flags & RTNH_F_DEAD)
		way->fixed = GW_NEXTHOP_NONE;
}

// The kernel does not use it from then on, removes it half a minute later, and until then may be told
// by a router, without a word to us, that it lasts longer.
static bool
is_expired(const struct nlattr *cacheinfo)
{
	struct rta_cacheinfo info;
	const void *bytes = attribute_bytes(cacheinfo, sizeof(info));

	if (!bytes)
		return false;
	memcpy(&info, bytes, sizeof(info));
	if (info.rta_expires > 0)
		dump_at_expiry(RTE_MIN(info.rta_expires, EXPIRY_MAX) * (1000 / USER_HZ));
	return info.rta_expires < 0;
}

static bool
decode_prefix(const struct rtmsg *rt, const struct nlattr **attr, struct route *route)
{
	uint32_t size = route->family == FAMILY4 ? 4 : 16;
	const void *address = attribute_bytes(attr[RTA_DST], size);

	memset(&route->prefix, 0, sizeof(route->prefix));
	if (rt->rtm_dst_len > size * 8 || (rt->rtm_dst_len && !address))
		return false;
	route->prefix.length = rt->rtm_dst_len;
	if (address)
		memcpy(route->prefix.address, address, size);
	return route->family == FAMILY4 || !is_beyond_us(&route->prefix);
}

static bool
decode_rank(uint32_t table, enum rank *rank)
{
	if (table == RT_TABLE_LOCAL)
		*rank = RANK_LOCAL;
	else if (table == RT_TABLE_MAIN)
		*rank = RANK_MAIN;
	else if (table == RT_TABLE_DEFAULT)
		*rank = RANK_DEFAULT;
	else
		return false;
	return true;
}

void
decode_route(const struct nlmsghdr *message)
{
	static struct route route; /* large; gw_control is held */
	const struct nlattr *attr[RTA_NH_ID + 1];
	const struct rtmsg *rt = mnl_nlmsg_get_payload(message);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*rt) || rt->rtm_flags & RTM_F_CLONED ||
	    (rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6))
		return;
	attributes(rt + 1, mnl_nlmsg_get_payload_len(message) - sizeof(*rt), attr, RTE_DIM(attr));
	route.family = rt->rtm_family == AF_INET ? FAMILY4 : FAMILY6;
	if (!decode_rank(attribute_u32(attr[RTA_TABLE], rt->rtm_table), &route.rank) ||
	    !decode_prefix(rt, attr, &route))
		return;
	route.metric = attribute_u32(attr[RTA_PRIORITY], 0);
	route.special = rt->rtm_tos || rt->rtm_src_len;
	decode_way(&route.way, route.family, rt, attr);
	if (is_expired(attr[RTA_CACHEINFO])) {
		route.way.count = 0;
		route.way.fixed = GW_NEXTHOP_NONE;
	}
	if (dump_decoding())
		route_dumped(&route);
	else if (message->nlmsg_type == RTM_NEWROUTE)
		route_new(&route, message->nlmsg_flags);
	else
		route_deleted(&route);
}
